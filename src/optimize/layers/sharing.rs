//! Of layers that can serve each other's consumers, one is computed: the mean comes with the variance.

use super::walk::{needs, replace};
use crate::graph::{Key, LayerRef, in_order};
use rustc_hash::{FxHashMap, FxHashSet};

/// The same roots, in which of all layers of one sharing key that are no roots only the one of the highest rank is used.
///
/// One sharing key is dealt with at a time, as what is done for one can change what needs what for the next. A layer that the
/// best itself needs keeps its place, or there would be a circle.
///
/// ```text
///   x --> moment_chunk --> mean --.              x --> moment_chunk --> mean --.
///   |                              > divide                          |          > divide
///   '---> moment_chunk --> std ---'                                  '--> std -'
/// ```
///
/// ```
/// use chunkstore::{Persist, array::{Array, keep}, graph::Graph, optimize::share_layers};
/// let x = Array::from_ndarray(ndarray::arr1(&[1.0, 2.0, 3.0, 4.0]), 2);
/// let roots = vec![(x.mean(keep(0)) / x.std(keep(0))).layer()?];
/// assert_eq!(Graph::from_layers(&roots).len(), 9);
/// assert_eq!(Graph::from_layers(&share_layers(roots)).len(), 7);
/// # Ok::<(), chunkstore::Error>(())
/// ```
pub fn share_layers(mut roots: Vec<LayerRef>) -> Vec<LayerRef> {
    let mut done = FxHashSet::<Key>::default();
    loop {
        let order = in_order(&roots);
        let Some(group) = next_group(&order, &mut done) else { return roots };
        // The first of the highest rank.
        let Some(best) = group.iter().rev().max_by_key(|layer| layer.sharing().map(|(_, rank)| rank)).cloned() else { return roots };
        let mut instead = FxHashMap::<Key, LayerRef>::default();
        for layer in group {
            if layer.key() != best.key() && layer.blocks() == best.blocks() && !needs(&best, layer.key()) {
                instead.insert(layer.key(), best.clone());
            }
        }
        if !instead.is_empty() {
            roots = replace(&roots, &instead, false);
        }
    }
}

/// The layers of the first sharing key that has several and is not done yet.
fn next_group(order: &[LayerRef], done: &mut FxHashSet<Key>) -> Option<Vec<LayerRef>> {
    let mut groups = FxHashMap::<Key, Vec<LayerRef>>::default();
    for layer in order {
        if let Some((sharing, _)) = layer.sharing() {
            groups.entry(sharing).or_default().push(layer.clone());
        }
    }
    let sharing = order.iter().filter_map(|layer| layer.sharing()).map(|(key, _)| key);
    let mut several = sharing.filter(|key| groups.get(key).is_some_and(|group| group.len() > 1));
    let next = several.find(|key| done.insert(*key))?;
    groups.remove(&next)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::fake::{add, leaf, names, ranked, values};

    #[test]
    fn the_highest_rank_serves_all() {
        let x = leaf("x", &[1, 2]);
        let (low, high) = (ranked("mean", &x, 7, 0), ranked("var", &x, 7, 1));
        let roots = vec![add("a", [low.clone(), leaf("y", &[3, 4])]), add("b", [high]), add("c", [low])];
        let before = values(&roots);
        let after = share_layers(roots);
        assert_eq!(values(&after), before);
        assert!(!names(&after).contains(&"mean".to_owned()));
    }

    #[test]
    fn roots_keep_what_they_are() {
        let x = leaf("x", &[1, 2]);
        let (low, high) = (ranked("mean", &x, 7, 0), ranked("var", &x, 7, 1));
        let after = share_layers(vec![low.clone(), high, add("a", [low])]);
        assert_eq!(after[0].name(), "mean");
        assert_eq!(after[2].inputs()[0].name(), "var");
    }

    #[test]
    fn no_circle_comes_of_it() {
        let x = leaf("x", &[1]);
        let low = ranked("low", &x, 7, 0);
        let high = ranked("high", &add("between", [low.clone()]), 7, 1);
        let roots = vec![add("a", [low, high])];
        let before = values(&roots);
        assert_eq!(values(&share_layers(roots)), before);
    }
}
