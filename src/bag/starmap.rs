//! A function of several parameters over a bag of tuples, and the tuples' places as bags of their own.

use super::lazy::Bag;
use super::map::Map;
use super::pipeline::Item;
use crate::graph::Op;
use std::panic::Location;
use std::sync::Arc;

macro_rules! starmap {
    ($(#[$doc:meta])* $($T:ident $t:ident),+) => {
        impl<$($T: Item),+> Bag<($($T,)+)> {
            $(#[$doc])*
            #[track_caller]
            pub fn starmap<U: Item, Fun: Fn($($T),+) -> U + Send + Sync + 'static>(&self, f: Fun) -> Bag<U> {
                let (op, f) = (Op::of(&f), Arc::new(f));
                self.step("starmap", op, Location::caller(), move |inner, _| {
                    let f = f.clone();
                    Box::new(Map { inner, f: move |($($t,)+)| Ok(f($($t),+)) })
                })
            }
        }
    };
}
starmap! {
    /// What a function makes of each element, a tuple, whose parts are its parameters.
    A a
}
starmap! {
    /// What a function makes of each element, a tuple, whose parts are its parameters; for tuples of up to eight.
    ///
    /// ```
    /// use chunkstore::bag;
    /// let people = bag::from_sequence([("Ada".to_string(), 36u32), ("Alan".to_string(), 41)], 2);
    /// assert_eq!(people.starmap(|name, age| format!("{name}: {age}")).compute()?, ["Ada: 36", "Alan: 41"]);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    A a, B b
}
starmap! {
    /// What a function makes of each element, a tuple, whose parts are its parameters.
    A a, B b, C c
}
starmap! {
    /// What a function makes of each element, a tuple, whose parts are its parameters.
    A a, B b, C c, D d
}
starmap! {
    /// What a function makes of each element, a tuple, whose parts are its parameters.
    A a, B b, C c, D d, E e
}
starmap! {
    /// What a function makes of each element, a tuple, whose parts are its parameters.
    A a, B b, C c, D d, E e, F f_
}
starmap! {
    /// What a function makes of each element, a tuple, whose parts are its parameters.
    A a, B b, C c, D d, E e, F f_, G g
}
starmap! {
    /// What a function makes of each element, a tuple, whose parts are its parameters.
    A a, B b, C c, D d, E e, F f_, G g, H h
}
