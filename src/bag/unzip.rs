//! The places of tuples as bags of their own.

use super::lazy::Bag;
use super::map::Map;
use super::pipeline::Item;
use super::stream::BoxStream;
use std::panic::Location;

macro_rules! unzip {
    ($(#[$doc:meta])* $($T:ident $n:tt),+) => {
        impl<$($T: Item),+> Bag<($($T,)+)> {
            $(#[$doc])*
            #[track_caller]
            pub fn unzip(&self) -> ($(Bag<$T>,)+) {
                let line = Location::caller();
                ($(self.plain_step("unzip", &[$n], line, |inner, _| part(inner, |row| row.$n)),)+)
            }
        }
    };
}

fn part<S: 'static, T: 'static>(inner: BoxStream<S>, f: fn(S) -> T) -> BoxStream<T> {
    Box::new(Map { inner, f: move |row| Ok(f(row)) })
}

unzip! {
    /// The first, second and further parts of the tuples, each as a bag of its own with the same partitions; for tuples of two to eight.
    /// Where several of these bags are computed, the tuples are computed once.
    ///
    /// ```
    /// use chunkstore::bag;
    /// let (numbers, squares) = bag::range(4, 2).map(|x| (x, x * x)).unzip();
    /// assert_eq!((numbers.sum().compute()?, squares.compute()?), (6, vec![0, 1, 4, 9]));
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    A 0, B 1
}
unzip! {
    /// The parts of the tuples, each as a bag of its own with the same partitions.
    A 0, B 1, C 2
}
unzip! {
    /// The parts of the tuples, each as a bag of its own with the same partitions.
    A 0, B 1, C 2, D 3
}
unzip! {
    /// The parts of the tuples, each as a bag of its own with the same partitions.
    A 0, B 1, C 2, D 3, E 4
}
unzip! {
    /// The parts of the tuples, each as a bag of its own with the same partitions.
    A 0, B 1, C 2, D 3, E 4, F 5
}
unzip! {
    /// The parts of the tuples, each as a bag of its own with the same partitions.
    A 0, B 1, C 2, D 3, E 4, F 5, G 6
}
unzip! {
    /// The parts of the tuples, each as a bag of its own with the same partitions.
    A 0, B 1, C 2, D 3, E 4, F 5, G 6, H 7
}
