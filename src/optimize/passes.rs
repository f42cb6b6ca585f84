//! The default pipelines: which passes run on layers and on users' graphs, and in which order.

use super::graphs::{FuseOptions, cull_and_inline_constants, fuse, registered_subexpressions};
use super::layers::{common_layers, fuse_layers, push_down_layers, share_layers};
use crate::graph::{Graph, GraphKey, LayerRef};

/// Layers that give the same values as `roots`, block for block, for less work: [`optimize_within`] no bound.
///
/// ```
/// let roots = chunkstore::optimize::optimize(Vec::new());
/// assert!(roots.is_empty());
/// ```
pub fn optimize(roots: Vec<LayerRef>) -> Vec<LayerRef> {
    optimize_within(roots, u64::MAX)
}

/// Layers that give the same values as `roots`, block for block, for less work, of which no fused task needs more than `bound` bytes. An engine gives
/// the bytes that its tasks may use.
///
/// 1. *common* ([`common_layers`]): layers of equal keys become one.
/// 2. *sharing* ([`share_layers`]): of layers that can serve each other's consumers, the one that serves most takes the others' places.
/// 3. *push down* ([`push_down_layers`]): slices and transpositions move below what they are taken of, down to the source.
/// 4. *common* again.
/// 5. *fuse* ([`fuse_layers`]): a layer does its input's work where no other layer needs that, or where it is cheap to do again.
///
/// Only the tasks that are wanted are made afterwards, so that there is no pass that culls. What comes out depends on
/// the layers and the bound alone. A root keeps its place in the list, its number of blocks and their order.
pub fn optimize_within(roots: Vec<LayerRef>, bound: u64) -> Vec<LayerRef> {
    let passes: [fn(Vec<LayerRef>) -> Vec<LayerRef>; 4] = [common_layers, share_layers, push_down_layers, common_layers];
    fuse_layers(passes.iter().fold(roots, |roots, pass| pass(roots)), bound)
}

/// A user's graph that gives the same values for `keys` in fewer tasks.
///
/// 1. *cull* ([`super::cull`]): only what `keys` need.
/// 2. *inline* ([`super::inline`]): literals and aliases stand where they are used.
/// 3. *common sub-expressions* ([`super::common_subexpressions`]), of calls of registered functions only.
/// 4. *fuse* ([`super::fuse`]): chains become one task, of at most 64 MiB.
///
/// Every task runs as often as before, or less. [`crate::Engine::get`] does not apply it: making the new graph takes about as long as running
/// tasks that do next to nothing. It pays where a graph is run more than once, or is to be looked at.
///
/// ```
/// use chunkstore::{graph::{Graph, call, key}, optimize::optimize_graph};
/// fn inc(x: i64) -> i64 { x + 1 }
/// fn add(x: i64, y: i64) -> i64 { x + y }
/// let mut g = Graph::new();
/// g.set("n", 1);
/// g.set("m", key("n"));
/// g.set("x", call(inc, (key("m"),)));
/// g.set("y", call(inc, (key("x"),)));
/// g.set("z", call(add, (key("y"), key("n"))));
/// g.set("unused", call(inc, (key("z"),)));
/// assert_eq!(optimize_graph(&g, &["z"]).to_string(), "{'z': (add, (inc, (inc, 1)), 1)}");
/// ```
pub fn optimize_graph<K: Clone + Into<GraphKey>>(graph: &Graph, keys: &[K]) -> Graph {
    let graph = cull_and_inline_constants(graph, keys);
    let graph = registered_subexpressions(&graph, keys).unwrap_or(graph);
    fuse(&graph, keys, FuseOptions::default())
}
