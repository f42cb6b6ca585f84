//! A collection's layers as a graph of keys and tasks.

use super::{Dependency, Graph, GraphKey, Key, LayerRef};
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

/// All layers, each once, inputs first.
fn in_order(layers: &[LayerRef]) -> Vec<LayerRef> {
    let mut order = Vec::new();
    let mut seen = FxHashSet::<Key>::default();
    let mut stack: Vec<(LayerRef, bool)> = layers.iter().rev().map(|layer| (layer.clone(), false)).collect();
    while let Some((layer, ready)) = stack.pop() {
        if ready {
            order.push(layer);
        } else if seen.insert(layer.key()) {
            stack.push((layer.clone(), true));
            stack.extend(layer.inputs().iter().rev().map(|input| (input.clone(), false)));
        }
    }
    order
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
