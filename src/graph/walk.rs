//! Going through layers without recursion: chains may be as long as memory allows.

use super::{Key, LayerRef};
use rustc_hash::FxHashSet;

/// All layers that `roots` need, each key once, inputs before their users.
pub(crate) fn in_order(roots: &[LayerRef]) -> Vec<LayerRef> {
    let mut order = Vec::new();
    let mut seen = FxHashSet::<Key>::default();
    let mut stack: Vec<(LayerRef, bool)> = roots.iter().rev().map(|root| (root.clone(), false)).collect();
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
