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
pub(crate) use walk::replace;

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

    fn check(pass: impl Fn(Vec<LayerRef>) -> Vec<LayerRef>, before: Vec<LayerRef>, pictures: [&str; 2]) {
        assert_eq!(picture(&before), pictures[0]);
        assert_eq!(picture(&pass(before)), pictures[1]);
    }

    /// The pictures in the documentation of the passes.
    #[test]
    fn pictures() {
        let x = Array::from_ndarray(ndarray::arr1(&[1.0, 2.0, 3.0, 4.0]), 2);
        check(
            |roots| fuse_layers(roots, u64::MAX),
            vec![(x.exp() + 1.0).layer().unwrap()],
            [
                "{('from_ndarray', 0): (array.from_ndarray[0],),\n ('from_ndarray', 1): (array.from_ndarray[1],),\n \
                 ('exp', 0): (array.elementwise[0], ('from_ndarray', 0)),\n ('exp', 1): (array.elementwise[1], ('from_ndarray', 1)),\n \
                 ('add', 0): (array.elementwise[0], ('exp', 0)),\n ('add', 1): (array.elementwise[1], ('exp', 1))}",
                "{('from_ndarray', 0): (array.from_ndarray[0],),\n ('from_ndarray', 1): (array.from_ndarray[1],),\n \
                 ('add', 0): (array.elementwise[0], ('from_ndarray', 0)),\n ('add', 1): (array.elementwise[1], ('from_ndarray', 1))}",
            ],
        );
        check(
            push_down_layers,
            vec![x.exp().slice(s![2..3]).layer().unwrap()],
            [
                "{('from_ndarray', 1): (array.from_ndarray[1],),\n ('exp', 1): (array.elementwise[1], ('from_ndarray', 1)),\n \
                 ('getitem', 0): (array.elementwise[0], ('exp', 1))}",
                "{('from_ndarray', 0): (array.from_ndarray[0],),\n ('getitem', 0): (array.elementwise[0], ('from_ndarray', 0))}",
            ],
        );
        let parts = "{('from_ndarray', 0): (array.from_ndarray[0],),\n ('from_ndarray', 1): (array.from_ndarray[1],),\n ";
        let moments = "('moment_chunk', 0): (array.reduce[0], ('from_ndarray', 0)),\n \
                       ('moment_chunk', 1): (array.reduce[1], ('from_ndarray', 1)),\n ";
        let [mean, std] =
            ["mean", "std"].map(|name| format!("('{name}', 0): (array.combine[0], ('moment_chunk', 0), ('moment_chunk', 1)),\n "));
        let divide = "('divide', 0): (array.elementwise[0], ('mean', 0), ('std', 0))}";
        check(
            share_layers,
            vec![(x.mean(keep(0)) / x.std(keep(0))).layer().unwrap()],
            [&format!("{parts}{moments}{mean}{moments}{std}{divide}"), &format!("{parts}{moments}{mean}{std}{divide}")],
        );
    }
}
