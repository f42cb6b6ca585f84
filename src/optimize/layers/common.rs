//! Layers of equal keys become one.

use super::walk::replace;
use crate::graph::LayerRef;
use rustc_hash::FxHashMap;

/// The same roots, in which every key has one layer.
///
/// Two layers have one key where they do the same work on the same inputs; closures never have.
///
/// ```
/// use chunkstore::{Persist, array::Array, optimize::common_layers};
/// let x = || Array::<f64>::ones([4], 2).exp();
/// let roots = vec![x().layer()?, x().layer()?];
/// assert_eq!(roots[0].key(), roots[1].key());
/// let roots = common_layers(roots);
/// assert!(std::sync::Arc::ptr_eq(&roots[0], &roots[1]));
/// # Ok::<(), chunkstore::Error>(())
/// ```
pub fn common_layers(roots: Vec<LayerRef>) -> Vec<LayerRef> {
    replace(&roots, &FxHashMap::default(), true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::fake::{add, leaf};
    use std::sync::Arc;

    #[test]
    fn equal_keys_become_one_layer() {
        let twice = || add("add", [leaf("x", &[1, 2]), leaf("x", &[1, 2])]);
        let roots = common_layers(vec![twice(), twice()]);
        assert!(Arc::ptr_eq(&roots[0], &roots[1]));
        assert!(Arc::ptr_eq(&roots[0].inputs()[0], &roots[0].inputs()[1]));
    }
}
