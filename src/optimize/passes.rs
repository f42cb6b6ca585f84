//! The passes of the optimiser, in their order.

use super::{common, fuse, push_down, sharing};
use crate::graph::LayerRef;

/// Layers that give the same values as `roots`, block for block, for less work.
///
/// 1. *common*: layers of equal keys become one.
/// 2. *sharing*: of layers that can serve each other's consumers, the one that serves most takes the others' places.
/// 3. *push down*: slices and transpositions move below what they are taken of, down to the source.
/// 4. *fuse*: a layer does its input's work where no other layer needs that, or where it is cheap to do again.
///
/// Only the tasks that are wanted are made afterwards, so that there is no pass that culls. What comes out depends on
/// the layers alone. A root keeps its place in the list, its number of blocks and their order.
///
/// ```
/// let roots = chunkstore::optimize::optimize(Vec::new());
/// assert!(roots.is_empty());
/// ```
pub fn optimize(roots: Vec<LayerRef>) -> Vec<LayerRef> {
    let passes: [fn(Vec<LayerRef>) -> Vec<LayerRef>; 5] =
        [common::common, sharing::sharing, push_down::push_down, common::common, fuse::fuse];
    passes.iter().fold(roots, |roots, pass| pass(roots))
}
