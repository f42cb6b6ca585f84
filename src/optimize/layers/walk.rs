//! What needs what among layers, and building them anew, without recursion: chains may be as long as memory allows.

use crate::graph::{Key, LayerRef, in_order};
use rustc_hash::{FxHashMap, FxHashSet};

/// The layers that take blocks from each layer, by key; a layer that takes from another twice counts once.
pub(super) fn consumers(order: &[LayerRef]) -> FxHashMap<Key, FxHashSet<Key>> {
    let mut consumers = FxHashMap::<Key, FxHashSet<Key>>::default();
    for layer in order {
        for input in layer.inputs() {
            consumers.entry(input.key()).or_default().insert(layer.key());
        }
    }
    consumers
}

/// `layer` on `inputs`; itself where these are what it has, or where it takes no others.
pub(super) fn on_inputs(layer: &LayerRef, inputs: Vec<LayerRef>) -> LayerRef {
    let same = inputs.iter().zip(layer.inputs()).all(|(new, old)| std::ptr::addr_eq(&raw const **new, &raw const **old));
    match same {
        true => layer.clone(),
        false => layer.with_inputs(inputs).unwrap_or_else(|| layer.clone()),
    }
}

/// The roots with every layer in `instead` replaced, in the roots and in all that they need; layers of equal keys become one.
///
/// A replacement may need others that are replaced, but no circle may come of it.
pub(crate) fn replace(roots: &[LayerRef], instead: &FxHashMap<Key, LayerRef>, in_roots: bool) -> Vec<LayerRef> {
    let target = |layer: &LayerRef| instead.get(&layer.key()).unwrap_or(layer).clone();
    let tops: Vec<_> = roots.iter().map(|root| if in_roots { target(root) } else { root.clone() }).collect();
    let mut built = FxHashMap::<Key, LayerRef>::default();
    let mut stack: Vec<(LayerRef, bool)> = tops.iter().rev().map(|top| (top.clone(), false)).collect();
    while let Some((layer, ready)) = stack.pop() {
        let key = layer.key();
        if built.contains_key(&key) {
            continue;
        }
        let inputs = layer.inputs().iter().map(target);
        if ready {
            let inputs = inputs.map(|input| built.get(&input.key()).cloned().unwrap_or(input)).collect();
            built.insert(key, on_inputs(&layer, inputs));
        } else {
            let inputs: Vec<_> = inputs.map(|input| (input, false)).collect();
            stack.push((layer, true));
            stack.extend(inputs.into_iter().rev());
        }
    }
    tops.into_iter().map(|top| built.get(&top.key()).cloned().unwrap_or(top)).collect()
}

/// Whether `layer` needs a layer of key `sought`, or is it.
pub(super) fn needs(layer: &LayerRef, sought: Key) -> bool {
    in_order(std::slice::from_ref(layer)).iter().any(|layer| layer.key() == sought)
}
