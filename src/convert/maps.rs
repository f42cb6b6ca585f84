//! Maps of arrays and of bags as arguments of delayed functions: each as a whole.

use crate::array::Array;
use crate::bag::{Bag, Item};
use crate::delayed::Delayed;
use crate::graph::{Argument, IntoArg, IntoTask, Node, Program};
use chunkstore_store::Element;
use ndarray::ArrayD;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::panic::Location;

macro_rules! maps {
    ($($map:ident: $($bound:path),*;)*) => { $(
        impl<K: Clone + Send + Sync + 'static $(+ $bound)*, T: Element> IntoTask for $map<K, Array<T>> {
            fn encode(self, program: &mut Program) {
                let values: $map<K, Delayed<ArrayD<T>>> = self.into_iter().map(|(key, array)| (key, array.to_value())).collect();
                values.encode(program);
            }
        }
        impl<K: Clone + Send + Sync + 'static $(+ $bound)*, T: Element> IntoArg<$map<K, ArrayD<T>>> for $map<K, Array<T>> {}

        impl<K: Clone + Send + Sync + 'static $(+ $bound)*, T: Item + Sync + Argument + Clone> IntoTask for $map<K, Bag<T>> {
            fn encode(self, program: &mut Program) {
                let line = Location::caller();
                let whole = |bag: Bag<T>| Delayed::of(Node::expression(|program| bag.encode(program), line));
                let values: $map<K, Delayed<Vec<T>>> = self.into_iter().map(|(key, bag)| (key, whole(bag))).collect();
                values.encode(program);
            }
        }
        impl<K: Clone + Send + Sync + 'static $(+ $bound)*, T: Item + Sync + Argument + Clone> IntoArg<$map<K, Vec<T>>> for $map<K, Bag<T>> {}
    )* };
}
maps! {
    HashMap: Hash, Eq;
    BTreeMap: Ord;
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::delayed::delayed;

    #[test]
    fn maps_of_collections_are_arguments() {
        let arrays = delayed(|maps: HashMap<String, ArrayD<f64>>| maps["ones"].sum() + maps["twos"].sum());
        let of = |value: f64| Array::<f64>::full([10], value, 4);
        let value = arrays.call((HashMap::from([("ones".to_string(), of(1.0)), ("twos".to_string(), of(2.0))]),));
        assert_eq!(value.compute().unwrap(), 30.0);
        let bags = delayed(|maps: BTreeMap<u8, Vec<i64>>| {
            maps.into_iter().map(|(key, bag)| i64::from(key) * bag.into_iter().sum::<i64>()).sum::<i64>()
        });
        let of = |n: i64| crate::bag::from_sequence((0..n).collect::<Vec<_>>(), 2);
        assert_eq!(bags.call((BTreeMap::from([(1, of(3)), (10, of(4))]),)).compute().unwrap(), 3 + 60);
    }
}
