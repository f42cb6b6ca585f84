//! From layers to layers of the same values, block for block.

mod common;
mod fuse;
mod push_down;
mod sharing;
mod walk;

pub use common::common_layers;
pub use fuse::fuse_layers;
pub use push_down::push_down_layers;
pub use sharing::share_layers;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::array::{Array, keep};
    use crate::graph::{Graph, LayerRef};
    use crate::{Persist, s};

    /// A graph as it is shown, without the digits of keys.
    fn picture(roots: &[LayerRef]) -> String {
        let mut shown = Graph::from_layers(roots).to_string();
        while let Some(at) = shown.find('-') {
            shown.replace_range(at..at + 9, "");
        }
        shown
    }

    #[test]
    fn pictures() {
        let x = Array::from_ndarray(ndarray::arr1(&[1.0, 2.0, 3.0, 4.0]), 2);
        let show = |name: &str, before: Vec<LayerRef>, pass: &dyn Fn(Vec<LayerRef>) -> Vec<LayerRef>| {
            println!("{name}\n{}\n\n{}\n", picture(&before), picture(&pass(before.clone())));
        };
        show("fuse", vec![(x.exp() + 1.0).layer().unwrap()], &|roots| fuse_layers(roots, u64::MAX));
        show("push down", vec![x.exp().slice(s![2..3]).layer().unwrap()], &push_down_layers);
        show("share", vec![(x.mean(keep(0)) / x.std(keep(0))).layer().unwrap()], &share_layers);
        let ones = || Array::<f64>::ones([2], 2).exp().layer().unwrap();
        show("common", vec![ones(), ones()], &common_layers);
    }
}
