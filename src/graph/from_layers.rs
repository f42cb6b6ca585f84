//! A collection's layers as a graph of keys and tasks.

use super::link::{NodeLayer, link};
use super::{Dependency, Graph, GraphKey, Key, LayerRef, Picked, in_order};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::BinaryHeap;

/// The fewest digits of a layer's key that stand in its tasks' keys.
const DIGITS: usize = 8;

pub(crate) fn from_layers(layers: &[LayerRef]) -> Graph {
    let mut graph = Graph::new();
    add_layers(&mut graph, layers);
    graph
}

/// Adds the tasks that `layers` need to a graph; tasks that stand on their own have keys of their own.
pub(crate) fn add_layers(graph: &mut Graph, layers: &[LayerRef]) {
    match link(layers.to_vec()) {
        Ok(linked) => add_linked(graph, &linked.layers),
        Err(error) => {
            graph.program.error.get_or_insert(error);
        }
    }
}

fn add_linked(graph: &mut Graph, layers: &[LayerRef]) {
    let order = in_order(layers);
    let names = names(&order);
    let name = |layer: &LayerRef, block: u32| match NodeLayer::of(layer).and_then(|tasks| tasks.node(block)) {
        Some(node) => node.graph_key(),
        None => {
            let text = names.get(&layer.key()).map_or("", String::as_str);
            GraphKey::with_indices(text, &layer.position(block))
        }
    };
    let needed = needed(layers, &order);
    let mut dependencies = Vec::new();
    for (layer, blocks) in order.iter().zip(&needed) {
        let picked = Picked::of(layer).filter(|picked| picked.is_plain());
        for block in blocks.iter().copied() {
            dependencies.clear();
            layer.dependencies(block, &mut dependencies);
            let input = |place: usize| {
                let Dependency { input, block } = *dependencies.get(place)?;
                Some(name(layer.inputs().get(input as usize).unwrap_or(layer), block))
            };
            if let Some(picked) = picked {
                // A value that is taken as it is has its task's key.
                let own = picked.nodes().get(block as usize).map(|node| node.graph_key());
                if let (Some(own), Some(target)) = (own, input(0))
                    && own != target
                {
                    graph.put(own, |program| program.key(target));
                }
                continue;
            }
            let node = NodeLayer::of(layer).and_then(|tasks| tasks.node(block));
            let key = name(layer, block);
            graph.put(key.clone(), |program| match node {
                Some(node) => node.write(program, |place| input(place as usize).unwrap_or_else(|| GraphKey::from(""))),
                None => program.block(layer, block, |program| {
                    (0..dependencies.len()).filter_map(input).for_each(|key| program.key(key));
                    dependencies.len() as u32
                }),
            });
            if let (Some(node), Some(id)) = (node, graph.id(&key)) {
                graph.say(id, node.said());
            }
        }
    }
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
        let mut own = needed.get_mut(i).map(std::mem::take).unwrap_or_default();
        let inputs: Vec<_> = layer.inputs().iter().map(|input| index.get(&input.key()).copied()).collect();
        // A block may need blocks of smaller numbers of its own layer.
        let mut open: BinaryHeap<u32> = own.iter().copied().collect();
        while let Some(block) = open.pop() {
            dependencies.clear();
            layer.dependencies(block, &mut dependencies);
            for Dependency { input, block } in &dependencies {
                match inputs.get(*input as usize) {
                    Some(input) => {
                        if let Some(set) = input.and_then(|input| needed.get_mut(input)) {
                            set.insert(*block);
                        }
                    }
                    None if own.insert(*block) => open.push(*block),
                    None => {}
                }
            }
        }
        let mut blocks: Vec<u32> = own.into_iter().collect();
        blocks.sort_unstable();
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
