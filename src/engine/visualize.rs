//! Pictures of collections.

use super::several::Persistable;
use crate::Result;
use crate::graph::Graph;
use crate::report::Picture;

/// A picture of the graph of one collection, or of several with what they share drawn once. What an engine would run is the picture of
/// [`Engine::optimize`](super::Engine::optimize)d collections.
///
/// # Errors
/// The first error of a chain that made a collection.
///
/// ```
/// use chunkstore::{Engine, array::Array, delayed::delayed, visualize};
/// let x = (Array::<f64>::ones([100], 50) + 1.0).sqrt();
/// let half = delayed(|n: f64| n / 2.0).call((x.sum(..).item_collection(),));
/// let picture = visualize((&x, &half))?;
/// assert!(picture.svg()?.contains("sqrt"));
/// let engine = Engine::builder().memory("256MiB").build()?;
/// let optimized = visualize(&engine.optimize(&x)?)?;
/// assert!(optimized.dot().len() < visualize(&x)?.dot().len());
/// # Ok::<(), chunkstore::Error>(())
/// ```
pub fn visualize<C: Persistable>(collections: C) -> Result<Picture> {
    let mut layers = Vec::new();
    collections.layers(&mut layers)?;
    Ok(Picture::of_graph(&Graph::from_layers(&layers)))
}
