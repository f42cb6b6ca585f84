//! Slices and transpositions move below what they are taken of.
//!
//! A layer moves below an input that it alone uses. Below one that others use too it moves only where
//! all of them move, and what they take of it is together less than the whole: else the input's work, or its reading, would be
//! done several times over.

use super::walk::{consumers, replace};
use crate::graph::{Key, LayerRef, in_order};
use rustc_hash::{FxHashMap, FxHashSet};

/// How often layers move at most, for each layer that there is: a guard against layers that never come to rest.
const MOVES: usize = 256;
/// A layer's bytes are summed over at most so many blocks, and reckoned from these.
const SUMMED: u32 = 4096;

/// The same roots, with slices, projections and transpositions as low as they go: the layers between, and the sources, then make only what is left.
///
/// A slice of an elementwise layer is that layer, seen through the slice.
///
/// ```text
/// {('from_ndarray', 1): (array.from_ndarray[1],),                  {('from_ndarray', 0): (array.from_ndarray[0],),
///  ('exp', 1): (array.elementwise[1], ('from_ndarray', 1)),         ('getitem', 0): (array.elementwise[0], ('from_ndarray', 0))}
///  ('getitem', 0): (array.elementwise[0], ('exp', 1))}             where from_ndarray reads one number instead of two
/// ```
///
/// ```
/// use chunkstore::{Persist, array::Array, graph::Graph, optimize::push_down_layers, s};
/// let x = Array::from_ndarray(ndarray::arr1(&[1.0, 2.0, 3.0, 4.0]), 2);
/// let roots = vec![x.exp().slice(s![2..3]).layer()?];
/// assert_eq!(Graph::from_layers(&roots).len(), 3);
/// assert_eq!(Graph::from_layers(&push_down_layers(roots)).len(), 2);
/// # Ok::<(), chunkstore::Error>(())
/// ```
pub fn push_down_layers(mut roots: Vec<LayerRef>) -> Vec<LayerRef> {
    let mut moves_left = MOVES * in_order(&roots).len();
    loop {
        let order = in_order(&roots);
        let known: FxHashSet<Key> = order.iter().map(|layer| layer.key()).collect();
        let mut lower: FxHashMap<Key, LayerRef> = FxHashMap::default();
        for layer in &order {
            if let Some(moved) = layer.push_down()
                && moved.blocks() == layer.blocks()
                && !meets(&moved, layer.key(), &known)
            {
                lower.insert(layer.key(), moved);
            }
        }
        let kept = not_worth_it(&roots, &order, &lower);
        lower.retain(|key, _| !kept.contains(key));
        if lower.is_empty() || moves_left < lower.len() {
            return roots;
        }
        moves_left -= lower.len();
        roots = replace(&roots, &lower, true);
    }
}

/// The layers that are better not moved.
fn not_worth_it(roots: &[LayerRef], order: &[LayerRef], lower: &FxHashMap<Key, LayerRef>) -> FxHashSet<Key> {
    let wanted: FxHashSet<Key> = roots.iter().map(|root| root.key()).collect();
    let consumers = consumers(order);
    let by_key: FxHashMap<Key, &LayerRef> = order.iter().map(|layer| (layer.key(), layer)).collect();
    let mut kept = FxHashSet::default();
    for layer in order.iter().filter(|layer| lower.contains_key(&layer.key())) {
        for input in layer.inputs() {
            let users = consumers.get(&input.key()).map_or(0, FxHashSet::len);
            let shared = users > 1 || wanted.contains(&input.key());
            if !shared || input.is_cheap() {
                continue;
            }
            let all_move =
                users == consumers.get(&input.key()).map_or(0, |users| users.iter().filter(|user| lower.contains_key(user)).count());
            let taken = || -> u64 {
                let users = consumers.get(&input.key()).into_iter().flatten();
                users.filter_map(|user| by_key.get(user)).map(|user| bytes(user)).fold(0, u64::saturating_add)
            };
            if wanted.contains(&input.key()) || !all_move || taken() >= bytes(input) {
                kept.insert(layer.key());
            }
        }
    }
    kept
}

/// About how many bytes all blocks of a layer have.
fn bytes(layer: &LayerRef) -> u64 {
    let summed = layer.blocks().min(SUMMED);
    let sum = (0..summed).map(|block| layer.sizes(block).out.bytes()).fold(0, u64::saturating_add);
    match summed == layer.blocks() {
        true => sum,
        false => (u128::from(sum) * u128::from(layer.blocks()) / u128::from(summed.max(1))).min(u64::MAX.into()) as u64,
    }
}

/// Whether `moved` needs `layer` through layers that are new.
fn meets(moved: &LayerRef, layer: Key, known: &FxHashSet<Key>) -> bool {
    let mut stack = vec![moved.clone()];
    let mut seen = FxHashSet::default();
    while let Some(next) = stack.pop() {
        if next.key() == layer {
            return true;
        }
        if !known.contains(&next.key()) && seen.insert(next.key()) {
            stack.extend(next.inputs().iter().cloned());
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::fake::{add, leaf, names, slice, values};

    #[test]
    fn a_slice_moves_down_to_the_source() {
        let x = add("y", [leaf("x", &[1, 2, 3, 4]), leaf("z", &[5, 6, 7, 8])]);
        let roots = vec![slice(&slice(&add("w", [x]), 1, 4), 1, 2)];
        let before = values(&roots);
        let after = push_down_layers(roots);
        assert_eq!(values(&after), before);
        assert!(names(&after).iter().all(|name| !name.starts_with("slice")), "{:?}", names(&after));
        assert_eq!(after[0].name(), "w");
        assert_eq!(after[0].inputs()[0].inputs()[0].blocks(), 1);
    }

    #[test]
    fn what_others_use_is_made_once() {
        let x = add("y", [leaf("x", &[1, 2, 3, 4])]);
        // Shifted slices, and a slice beside another use.
        let shifted = vec![add("d", [slice(&x, 0, 3), slice(&x, 1, 4)])];
        let beside = vec![slice(&x, 0, 1), add("u", [x.clone()])];
        for roots in [shifted, beside] {
            let (before, kept) = (values(&roots), names(&roots));
            let after = push_down_layers(roots);
            assert_eq!((values(&after), names(&after)), (before, kept));
        }
        // Two small parts.
        let roots = vec![slice(&x, 0, 1), slice(&x, 3, 4)];
        let before = values(&roots);
        let after = push_down_layers(roots);
        assert_eq!(values(&after), before);
        assert!(names(&after).iter().all(|name| !name.starts_with("slice")), "{:?}", names(&after));
    }
}
