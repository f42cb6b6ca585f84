//! A collection's layers as a graph of keys and tasks.

use super::{Dependency, Graph, GraphKey, Key, LayerRef, in_order};
use rustc_hash::{FxHashMap, FxHashSet};

/// The fewest digits of a layer's key that stand in its tasks' keys.
const DIGITS: usize = 8;

pub(crate) fn from_layers(layers: &[LayerRef]) -> Graph {
    let order = in_order(layers);
    let names = names(&order);
    let name = |layer: &LayerRef, block: u32| {
        let text = names.get(&layer.key()).map_or("", String::as_str);
        GraphKey::with_indices(text, &layer.position(block))
    };
    let needed = needed(layers, &order);
    let mut graph = Graph::new();
    let mut dependencies = Vec::new();
    for (layer, blocks) in order.iter().zip(&needed) {
        for block in blocks.iter().copied() {
            dependencies.clear();
            layer.dependencies(block, &mut dependencies);
            graph.put(name(layer, block), |program| {
                program.block(layer, block, |program| {
                    for Dependency { input, block } in &dependencies {
                        if let Some(input) = layer.inputs().get(*input as usize) {
                            program.key(name(input, *block));
                        }
                    }
                    dependencies.len() as u32
                });
            });
        }
    }
    graph
}

/// For each layer, the blocks that the wanted layers need, in order.
fn needed(wanted: &[LayerRef], order: &[LayerRef]) -> Vec<Vec<u32>> {
    let index: FxHashMap<Key, usize> = order.iter().enumerate().map(|(i, layer)| (layer.key(), i)).collect();
    let mut needed: Vec<FxHashSet<u32>> = vec![FxHashSet::default(); order.len()];
    for layer in wanted {
        if let Some(set) = index.get(&layer.key()).and_then(|i| needed.get_mut(*i)) {
            set.extend(0..layer.blocks());
        }
    }
    let mut sorted = vec![Vec::new(); order.len()];
    let mut dependencies = Vec::new();
    for (i, layer) in order.iter().enumerate().rev() {
        let mut blocks: Vec<u32> = needed.get_mut(i).map(std::mem::take).unwrap_or_default().into_iter().collect();
        blocks.sort_unstable();
        let inputs: Vec<_> = layer.inputs().iter().map(|input| index.get(&input.key()).copied()).collect();
        for block in &blocks {
            dependencies.clear();
            layer.dependencies(*block, &mut dependencies);
            for Dependency { input, block } in &dependencies {
                let input = inputs.get(*input as usize).copied().flatten();
                if let Some(set) = input.and_then(|input| needed.get_mut(input)) {
                    set.insert(*block);
                }
            }
        }
        if let Some(place) = sorted.get_mut(i) {
            *place = blocks;
        }
    }
    sorted
}

/// For each layer its name and as many digits of its key as tell it from all others.
fn names(order: &[LayerRef]) -> FxHashMap<Key, String> {
    let named = |digits: usize| {
        let name = |layer: &LayerRef| format!("{}-{:.digits$}", layer.name(), layer.key().to_string());
        order.iter().map(|layer| (layer.key(), name(layer))).collect::<FxHashMap<_, _>>()
    };
    let distinct = |names: &FxHashMap<Key, String>| names.values().collect::<FxHashSet<_>>().len() == names.len();
    let mut digits = DIGITS;
    let mut names = named(digits);
    while !distinct(&names) && digits < 32 {
        digits *= 2;
        names = named(digits);
    }
    names
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::fake::{add, broadcast, leaf, slice, values};
    use super::super::graph_calls::tests::get;
    use super::super::graph_calls::tests::run;
    use super::super::{FunctionKind, call, key};
    use super::*;

    #[test]
    fn a_collections_graph_gives_its_values() {
        let x = leaf("x", &[1, 2, 3, 4]);
        let roots = vec![add("sum", [slice(&x, 1, 4), broadcast(&slice(&x, 3, 4), 3)]), leaf("x", &[1, 2, 3, 4])];
        let graph = Graph::from_layers(&roots);
        let names = names(&in_order(&roots));
        for (root, values) in roots.iter().zip(values(&roots)) {
            let wanted: Vec<_> = (0..root.blocks()).map(|block| key((&names[&root.key()], block))).collect();
            let lowered = graph.lower(&wanted).unwrap();
            let made = run(&lowered.table).unwrap();
            let made: Vec<i64> = lowered.wanted.iter().map(|task| made[*task as usize].get().unwrap()).collect();
            assert_eq!(made, values);
            assert_eq!(lowered.table.out, vec![8; lowered.table.len()]);
        }
        assert_eq!(graph.len(), 4 + 3 + 1 + 3 + 3);
        assert_eq!(graph.functions().len(), 5);
        assert!(matches!(&graph.functions()[0], FunctionKind::Closure { name } if name == "x"));
    }

    #[test]
    fn only_blocks_that_are_needed_and_tasks_can_be_added() {
        let x = leaf("x", &[1, 2, 3, 4]);
        let mut graph = Graph::from_layers(&[slice(&x, 2, 3)]);
        assert_eq!(graph.len(), 2);
        let shown = graph.to_string();
        let line = shown.lines().next().unwrap();
        assert_eq!(line, format!("{{('x-{:.8}', 2): (x[2],),", x.key().to_string()));
        let last = graph.keys().last().unwrap().clone();
        graph.set("more", call(|n: i64| n * 10, (last,)));
        assert_eq!(get::<i64>(&graph, "more").unwrap(), 30);
    }

    #[test]
    fn long_chains_and_equal_names() {
        let mut layer = leaf("x", &[0]);
        for _ in 0..20_000 {
            layer = slice(&layer, 0, 1);
        }
        let graph = Graph::from_layers(&[layer]);
        assert_eq!(graph.len(), 20_001);
    }
}
