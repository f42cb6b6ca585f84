//! Which layers of a run are worth saving.
//!
//! Barriers and what they hold are, and layers that shrink what goes into them to an eighth or less: partials of reductions, which
//! take little room, and without which all that they were made of would be read again. Of a tree of such layers the first is enough.
//! Of delayed calls those are that another process would know by their keys; which of these take long enough is seen when they have run.

use super::Checkpoint;
use super::calls::{known_calls, place_of};
use super::target::Target;
use crate::graph::{Key, LayerRef, NodeLayer, NodeRef, in_order};
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::Arc;

/// What a layer gives must be so many times smaller than what goes into it.
const SHRINKS: u64 = 8;

/// At most so many blocks of a layer are looked at.
const LOOKED_AT: u32 = 1024;

/// What is known of a layer.
#[derive(Clone)]
struct Known {
    /// Whether its key means the same to another process.
    portable: bool,
    /// Whether it is made of little else than what is saved.
    covered: bool,
    /// Of delayed calls, which have such a key.
    calls: Option<Arc<[bool]>>,
}

/// Chosen layers, in an order that follows from the layers, and those that barriers hold.
pub(super) struct Choice {
    pub(super) layers: Vec<LayerRef>,
    /// Layers of delayed calls, and which of their calls are worth saving.
    pub(super) calls: Vec<(LayerRef, Arc<[bool]>)>,
    /// The keys of all that barriers hold, where they mean the same to another process.
    pub(super) held: Vec<Key>,
}

impl Choice {
    /// How many of the blocks and calls that are worth saving a dataset has.
    pub(super) fn present(&self, target: &Target) -> u64 {
        let blocks = self.layers.iter().map(|layer| u64::from(target.found(layer.key()).count(layer.blocks())));
        let calls = self.calls.iter().flat_map(|(layer, calls)| chosen(layer, calls));
        blocks.sum::<u64>() + calls.filter(|call| place_of(target, call.key()).is_some()).count() as u64
    }
}

/// The calls of a layer that are worth saving.
pub(super) fn chosen<'a>(layer: &'a LayerRef, calls: &'a [bool]) -> impl Iterator<Item = &'a NodeRef> + 'a {
    let all = calls.iter().enumerate().filter(|(_, chosen)| **chosen);
    all.filter_map(move |(block, _)| NodeLayer::of(layer)?.node(block as u32))
}

/// The layers behind `roots` that are worth saving, except for those with the keys `apart`, which are saved in any case where they
/// can be; held layers in `known`, or of which the checkpoint knows, are taken for what they stand for.
pub(super) fn choose(checkpoint: &Checkpoint, roots: &[LayerRef], apart: &FxHashSet<Key>, known: &FxHashSet<Key>) -> Choice {
    let order = in_order(roots);
    let mut held = FxHashSet::<Key>::default();
    for layer in &order {
        let inputs = layer.barrier().map(|barrier| barrier.held()).unwrap_or_default();
        held.extend(inputs.into_iter().filter_map(|input| layer.inputs().get(input)).map(|input| input.key()));
    }
    let mut choice = Choice { layers: Vec::new(), calls: Vec::new(), held: Vec::new() };
    let mut all = FxHashMap::<Key, Known>::default();
    for layer in &order {
        let key = layer.key();
        if let Some(tasks) = NodeLayer::of(layer) {
            let is_known = |layer: Key, block: u32| match all.get(&layer) {
                Some(Known { calls: Some(calls), .. }) => calls.get(block as usize).copied().unwrap_or(false),
                known => known.is_some_and(|known| known.portable),
            };
            let calls: Arc<[bool]> = known_calls(tasks, is_known).into();
            if calls.contains(&true) {
                choice.calls.push((layer.clone(), calls.clone()));
            }
            all.insert(key, Known { portable: false, covered: false, calls: Some(calls) });
            continue;
        }
        let inputs: Vec<&Known> = layer.inputs().iter().filter_map(|input| all.get(&input.key())).collect();
        let own = layer.operator().parameters().is_some();
        let stands_for = !own && inputs.is_empty() && (known.contains(&key) || checkpoint.knows(key));
        let portable = stands_for || own && inputs.iter().all(|input| input.portable);
        let (bytes, taken) = moved(layer);
        let covered = !inputs.is_empty() && bytes <= taken && inputs.iter().all(|input| input.covered);
        if portable && held.contains(&key) {
            choice.held.push(key);
        }
        let decides = layer.barrier().is_some() || held.contains(&key);
        let shrinks = !covered && bytes.saturating_mul(SHRINKS) <= taken && taken > 0;
        let fits = portable && own && !layer.is_source() && !apart.contains(&key);
        let chosen = fits && (decides || shrinks);
        if chosen {
            choice.layers.push(layer.clone());
        }
        all.insert(key, Known { portable, covered: covered || chosen || portable && apart.contains(&key), calls: None });
    }
    choice
}

/// Whether the key of each layer behind `layer`, and its own, means the same to another process.
pub(super) fn is_portable(checkpoint: &Checkpoint, layer: &LayerRef) -> bool {
    let order = in_order(std::slice::from_ref(layer));
    order.iter().all(|layer| layer.operator().parameters().is_some() || layer.inputs().is_empty() && checkpoint.knows(layer.key()))
}

/// The bytes that some of a layer's blocks have, and those of what goes into them.
fn moved(layer: &LayerRef) -> (u64, u64) {
    let (mut out, mut taken) = (0u64, 0u64);
    let mut dependencies = Vec::new();
    for block in (0..layer.blocks()).step_by(layer.blocks().div_ceil(LOOKED_AT).max(1) as usize) {
        dependencies.clear();
        layer.dependencies(block, &mut dependencies);
        let inputs = dependencies.iter().filter_map(|d| Some(layer.inputs().get(d.input as usize)?.sizes(d.block).out.bytes()));
        let inputs = inputs.fold(0, u64::saturating_add);
        out = out.saturating_add(layer.sizes(block).out.bytes());
        taken = taken.saturating_add(inputs.max(layer.consumed(block).unwrap_or(0)));
    }
    (out, taken)
}
