//! A layer does its input's work: one pass over a block in place of two, and no block between them.
//!
//! An input is taken in where no other layer needs it and nobody asked for it, or where it is cheap to do again. It is not
//! taken in where a block of it would be made more than once for it, unless it is cheap, or a stream that would take a large part of the memory where it is kept; nor where the tasks would come to need many more inputs at once, or more
//! bytes than a bound: inputs, output and scratch are all in memory while a task runs.

use super::walk::{consumers, on_inputs};
use crate::graph::{Dependency, Key, LayerRef, in_order};
use rustc_hash::{FxHashMap, FxHashSet};

/// Layers that a fused layer may take blocks from, unless it had more to begin with.
const INPUTS: usize = 8;

/// A block that may take more than such a part of the bound is streamed by each consumer rather than kept for all, where it can be.
const KEPT: u64 = 4;

/// A layer's use of an input's blocks is looked at in at most so many of its own.
const LOOKED_AT: u32 = 4096;

/// Of a layer's blocks so many are looked at to see what they need, at most.
const WEIGHED: u32 = 16_384;

/// The same roots, with what can be done in one pass over a block done in one, where no task comes to need more than `bound` bytes: inputs, output and scratch.
///
/// Layers whose tasks need more on their own stay as they are.
///
/// ```text
/// {('from_ndarray', 0): (array.from_ndarray[0],),                  {('from_ndarray', 0): (array.from_ndarray[0],),
///  ('exp', 0): (array.elementwise[0], ('from_ndarray', 0)),         ('add', 0): (array.elementwise[0], ('from_ndarray', 0))}
///  ('add', 0): (array.elementwise[0], ('exp', 0))}
/// ```
///
/// ```
/// use chunkstore::{Persist, array::Array, graph::Graph, optimize::fuse_layers};
/// let x = Array::from_ndarray(ndarray::arr1(&[1.0, 2.0, 3.0, 4.0]), 2);
/// let roots = vec![(x.exp() + 1.0).layer()?];
/// assert_eq!(Graph::from_layers(&roots).len(), 6);
/// assert_eq!(Graph::from_layers(&fuse_layers(roots.clone(), 1 << 20)).len(), 4);
/// // A task of two blocks of 16 bytes needs more than 16.
/// assert_eq!(Graph::from_layers(&fuse_layers(roots, 16)).len(), 6);
/// # Ok::<(), chunkstore::Error>(())
/// ```
pub fn fuse_layers(roots: Vec<LayerRef>, bound: u64) -> Vec<LayerRef> {
    let order = in_order(&roots);
    let wanted: FxHashSet<Key> = roots.iter().map(|root| root.key()).collect();
    let mut fusion = Fusion { consumers: consumers(&order), owners: FxHashMap::default(), wanted, built: FxHashMap::default(), bound };
    for layer in &order {
        fusion.owners.entry(layer.key()).or_default().insert(layer.key());
    }
    for layer in &order {
        fusion.build(layer);
    }
    roots.into_iter().map(|root| fusion.built.get(&root.key()).cloned().unwrap_or(root)).collect()
}

/// What is known on the way, inputs first. Consumers are named by the keys that they had at first; layers that have been built may have
/// new keys, and several may have become one.
struct Fusion {
    /// For each layer's present key, its consumers.
    consumers: FxHashMap<Key, FxHashSet<Key>>,
    /// For each layer's present key, the keys that it had at first.
    owners: FxHashMap<Key, FxHashSet<Key>>,
    /// The present keys of the roots.
    wanted: FxHashSet<Key>,
    /// For each layer's first key, what has become of it.
    built: FxHashMap<Key, LayerRef>,
    /// The bytes that a task may need.
    bound: u64,
}

impl Fusion {
    fn build(&mut self, old: &LayerRef) {
        let key = old.key();
        let inputs = old.inputs().iter().map(|input| self.built.get(&input.key()).unwrap_or(input).clone()).collect();
        let mut layer = on_inputs(old, inputs);
        if layer.key() != key {
            self.rename(key, layer.key());
        }
        let mut input = 0;
        while let Some(candidate) = layer.inputs().get(input).cloned() {
            match self.absorbed(key, &layer, input, &candidate) {
                Some(fused) => {
                    self.moved(key, &layer, &fused);
                    layer = fused;
                    input = 0;
                }
                None => input += 1,
            }
        }
        self.built.insert(key, layer);
    }

    /// `layer` with the work of an input taken in, where that is right.
    fn absorbed(&self, key: Key, layer: &LayerRef, input: usize, candidate: &LayerRef) -> Option<LayerRef> {
        let candidate_key = candidate.key();
        let users = self.consumers.get(&candidate_key);
        let alone = users.is_some_and(|users| users.iter().all(|user| *user == key)) && !self.wanted.contains(&candidate_key);
        let right = || candidate.is_cheap() || alone && once_each(layer, candidate_key) || candidate.is_larger_than(self.bound / KEPT);
        if candidate.is_source() || !right() {
            return None;
        }
        let fused = layer.absorb(input)?;
        let count = |layer: &LayerRef| layer.inputs().iter().map(|input| input.key()).collect::<FxHashSet<_>>().len();
        let still_there = fused.inputs().iter().any(|input| input.key() == candidate_key);
        let grown = count(&fused) > INPUTS.max(count(layer));
        (!still_there && !grown && fused.blocks() == layer.blocks() && fits(&fused, self.bound)).then_some(fused)
    }

    /// Notes that the layer of first key `key` was `old` and is `new`; inputs that nobody needs any more need nothing either.
    fn moved(&mut self, key: Key, old: &LayerRef, new: &LayerRef) {
        for input in new.inputs() {
            self.consumers.entry(input.key()).or_default().insert(key);
        }
        let kept: FxHashSet<Key> = new.inputs().iter().map(|input| input.key()).collect();
        let mut gone: Vec<(Key, LayerRef)> = old.inputs().iter().filter(|i| !kept.contains(&i.key())).map(|i| (key, i.clone())).collect();
        while let Some((user, layer)) = gone.pop() {
            let Some(users) = self.consumers.get_mut(&layer.key()) else { continue };
            if users.remove(&user) && users.is_empty() && !self.wanted.contains(&layer.key()) {
                for owner in self.owners.get(&layer.key()).into_iter().flatten() {
                    gone.extend(layer.inputs().iter().map(|input| (*owner, input.clone())));
                }
            }
        }
        if new.key() != old.key() {
            self.rename(old.key(), new.key());
        }
    }

    fn rename(&mut self, from: Key, to: Key) {
        for map in [&mut self.consumers, &mut self.owners] {
            let keys = map.remove(&from).unwrap_or_default();
            map.entry(to).or_default().extend(keys);
        }
        if self.wanted.remove(&from) {
            self.wanted.insert(to);
        }
    }
}

/// Whether no task of `layer` needs more than `bound` bytes.
fn fits(layer: &LayerRef, bound: u64) -> bool {
    let mut dependencies = Vec::new();
    let step = (layer.blocks() / WEIGHED).max(1);
    (0..layer.blocks()).step_by(step as usize).all(|block| {
        dependencies.clear();
        layer.dependencies(block, &mut dependencies);
        dependencies.sort_unstable_by_key(|d| (d.input, d.block));
        dependencies.dedup();
        let out = |d: &Dependency| layer.inputs().get(d.input as usize).map_or(0, |input| input.sizes(d.block).out.bytes());
        let sizes = layer.sizes(block);
        let need = sizes.out.bytes().saturating_add(sizes.scratch);
        dependencies.iter().fold(need, |need, d| need.saturating_add(out(d))) <= bound
    })
}

/// Whether `layer` uses no block of the input of key `input` for more than one of its own.
fn once_each(layer: &LayerRef, input: Key) -> bool {
    let mut used = FxHashSet::default();
    let mut dependencies = Vec::new();
    let step = (layer.blocks() / LOOKED_AT).max(1);
    // Neighbours share most, so that pairs of neighbours are looked at where not all blocks are.
    let looked_at = (0..layer.blocks()).step_by(step as usize).flat_map(|block| [block, block + 1]);
    let mut last = None;
    for block in looked_at.filter(|block| *block < layer.blocks()) {
        if last.is_some_and(|last| block <= last) {
            continue;
        }
        last = Some(block);
        dependencies.clear();
        layer.dependencies(block, &mut dependencies);
        let mut of_this: Vec<u32> = dependencies
            .iter()
            .filter(|d| layer.inputs().get(d.input as usize).is_some_and(|layer| layer.key() == input))
            .map(|d| d.block)
            .collect();
        of_this.sort_unstable();
        of_this.dedup();
        if of_this.into_iter().any(|block| !used.insert(block)) {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::super::super::passes::{optimize, optimize_within};
    use super::*;
    use crate::graph::fake::{add, broadcast, cheap, leaf, names, slice, values};
    use proptest::prelude::*;

    #[test]
    fn chains_become_one_layer() {
        let x = leaf("x", &[1, 2]);
        let roots = vec![add("c", [add("b", [add("a", [x.clone()]), x.clone()]), x])];
        let before = values(&roots);
        let after = fuse_layers(roots, u64::MAX);
        assert_eq!(values(&after), before);
        assert_eq!(names(&after), ["x", "c"]);
    }

    #[test]
    fn a_diamond_whose_sides_fuse_closes() {
        let top = add("top", [leaf("x", &[1, 2])]);
        let roots = vec![add("c", [add("left", [top.clone()]), add("right", [top])])];
        let before = values(&roots);
        let after = fuse_layers(roots, u64::MAX);
        assert_eq!(values(&after), before);
        assert_eq!(names(&after), ["x", "c"]);
    }

    #[test]
    fn what_is_wanted_or_shared_stays() {
        let a = add("a", [leaf("x", &[1, 2])]);
        let (b, c) = (add("b", [a.clone()]), add("c", [a.clone()]));
        assert_eq!(names(&fuse_layers(vec![b.clone(), c.clone()], u64::MAX)), ["x", "a", "b", "c"]);
        assert_eq!(names(&fuse_layers(vec![a, b], u64::MAX)), ["x", "a", "b"]);
        let ones = cheap("ones", &[1, 1]);
        let roots = vec![add("b", [ones.clone()]), add("c", [ones.clone()]), ones];
        let before = values(&roots);
        let after = fuse_layers(roots, u64::MAX);
        assert_eq!((names(&after), values(&after)), (vec!["b".to_owned(), "c".into(), "ones".into()], before));
    }

    #[test]
    fn a_block_that_many_use_is_made_once() {
        let mean = add("mean", [leaf("m", &[5])]);
        let roots = vec![add("centred", [broadcast(&mean, 4), leaf("x", &[1, 2, 3, 4])])];
        let before = values(&roots);
        let after = fuse_layers(roots, u64::MAX);
        assert_eq!(values(&after), before);
        assert!(names(&after).contains(&"mean".to_owned()), "{:?}", names(&after));
    }

    #[test]
    fn tasks_do_not_come_to_need_more_than_the_bound() {
        // Blocks of 8 bytes: b needs 16 + 8, c with b taken in 24 + 8.
        let [x, y, z] = ["x", "y", "z"].map(|name| leaf(name, &[1, 2]));
        let roots = vec![add("c", [add("b", [x, y]), z])];
        let before = values(&roots);
        for (bound, layers) in [(31, 5), (32, 4)] {
            let after = fuse_layers(roots.clone(), bound);
            assert_eq!((values(&after), names(&after).len()), (before.clone(), layers));
        }
    }

    #[test]
    fn tasks_do_not_come_to_need_many_inputs() {
        let leaves: Vec<_> = (0..32).map(|i| leaf(&format!("x{i}"), &[i, i])).collect();
        let sum = leaves[1..].iter().fold(leaves[0].clone(), |sum, leaf| add("sum", [sum, leaf.clone()]));
        let before = values(std::slice::from_ref(&sum));
        let after = fuse_layers(vec![sum], u64::MAX);
        assert_eq!(values(&after), before);
        assert!(in_order(&after).iter().all(|layer| layer.inputs().len() <= INPUTS));
        assert!(in_order(&after).len() < 40);
    }

    /// The bytes that the largest task needs; blocks have 8 bytes.
    fn largest(roots: &[LayerRef]) -> u64 {
        let mut dependencies = Vec::new();
        let need = |layer: &LayerRef| {
            let blocks = 0..layer.blocks();
            let inputs = blocks.map(|block| {
                dependencies.clear();
                layer.dependencies(block, &mut dependencies);
                dependencies.iter().map(|d| (layer.inputs()[d.input as usize].key(), d.block)).collect::<FxHashSet<_>>().len()
            });
            8 + 8 * inputs.max().unwrap_or(0) as u64
        };
        in_order(roots).iter().map(need).max().unwrap_or(0)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn all_passes_keep_values(
            steps in prop::collection::vec((0..6u8, any::<u8>(), any::<u8>(), any::<u8>()), 1..24),
            wanted in prop::collection::vec(any::<u8>(), 1..4),
            bound in 8..80u64,
        ) {
            let mut layers = vec![leaf("x", &[1, 2, 3, 4]), leaf("y", &[10, 20, 30, 40]), cheap("ones", &[1, 1, 1, 1])];
            for (kind, a, b, c) in steps {
                let pick = |n: u8| layers[n as usize % layers.len()].clone();
                let (left, right) = (pick(a), pick(b));
                let blocks = left.blocks();
                let name = format!("n{}", layers.len());
                layers.push(match kind {
                    0 if blocks > 1 => slice(&left, u32::from(c) % (blocks - 1), blocks),
                    1 if blocks == 1 => broadcast(&left, 4),
                    2 => crate::graph::fake::ranked(&name, &left, a, b % 3),
                    _ if blocks == right.blocks() => add(&name, [left, right]),
                    _ => add(&name, [left]),
                });
            }
            let roots: Vec<_> = wanted.iter().map(|n| layers[*n as usize % layers.len()].clone()).collect();
            let before = values(&roots);
            let after = optimize(roots.clone());
            prop_assert_eq!(values(&after), before.clone());
            let small = optimize_within(roots.clone(), bound);
            prop_assert_eq!(values(&small), before);
            prop_assert!(largest(&small) <= bound.max(largest(&optimize_within(roots.clone(), 0))));
            let again: Vec<_> = optimize(roots).iter().map(|root| root.key()).collect();
            prop_assert_eq!(after.iter().map(|root| root.key()).collect::<Vec<_>>(), again);
        }
    }
}
