//! Layers of equal keys become one.

use super::walk::replace;
use crate::graph::LayerRef;
use rustc_hash::FxHashMap;

/// The same roots, in which every key has one layer.
pub(super) fn common(roots: Vec<LayerRef>) -> Vec<LayerRef> {
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
        let roots = common(vec![twice(), twice()]);
        assert!(Arc::ptr_eq(&roots[0], &roots[1]));
        assert!(Arc::ptr_eq(&roots[0].inputs()[0], &roots[0].inputs()[1]));
    }
}
