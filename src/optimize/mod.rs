//! stub
use crate::graph::LayerRef;
pub(crate) fn optimize(l: Vec<LayerRef>) -> Vec<LayerRef> {
    l
}
