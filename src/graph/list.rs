//! Lists as arguments: `list![key("x"), 4]` of different kinds, `list(keys)` of one kind.

use super::Value;
use super::call::{IntoArg, IntoTask, TupleArgs};
use super::program::Program;

/// A list of arguments that are all of one type, such as keys: see [`list()`](fn@list).
pub struct List<I>(I);

/// A list argument of as many elements as `items` gives, which may be keys, literals, calls or [`AnyArg`]s.
///
/// ```
/// use chunkstore::graph::{Graph, call, key, list};
/// fn total(xs: Vec<i64>) -> i64 { xs.iter().sum() }
/// let mut g = Graph::new();
/// g.set("sum", call(total, (list((0..3).map(|i| key(("x", i)))),)));
/// assert_eq!(g.to_string(), "{'sum': (total, [('x', 0), ('x', 1), ('x', 2)])}");
/// ```
pub fn list<I: IntoIterator>(items: I) -> List<I> {
    List(items)
}

impl<I: IntoIterator<Item: IntoTask>> IntoTask for List<I> {
    fn encode(self, program: &mut Program) {
        let items = self.0.into_iter();
        program.list(|program| {
            let mut count = 0;
            items.for_each(|item| {
                item.encode(program);
                count += 1;
            });
            count
        });
    }
}
impl<T, I: IntoIterator<Item: IntoArg<T>>> IntoArg<Vec<T>> for List<I> {}

impl<I: IntoIterator<Item: IntoTask>> TupleArgs for List<I> {
    fn encode_all(self, program: &mut Program) -> u32 {
        let mut count = 0;
        self.0.into_iter().for_each(|item| {
            item.encode(program);
            count += 1;
        });
        count
    }
}

/// An array of arguments is a list.
impl<A: IntoTask, const N: usize> IntoTask for [A; N] {
    fn encode(self, program: &mut Program) {
        list(self).encode(program);
    }
}
impl<T, A: IntoArg<T>, const N: usize> IntoArg<Vec<T>> for [A; N] {}

/// The end of a list that [`list!`](macro@crate::graph::list) makes.
#[doc(hidden)]
pub struct Nil;

/// A list that [`list!`](macro@crate::graph::list) makes: an element and the rest.
#[doc(hidden)]
pub struct Cons<A, L>(pub A, pub L);

impl TupleArgs for Nil {
    fn encode_all(self, _program: &mut Program) -> u32 {
        0
    }
}

impl<A: IntoTask, L: TupleArgs> TupleArgs for Cons<A, L> {
    fn encode_all(self, program: &mut Program) -> u32 {
        self.0.encode(program);
        1 + self.1.encode_all(program)
    }
}

impl IntoTask for Nil {
    fn encode(self, program: &mut Program) {
        program.list(|_| 0);
    }
}
impl<T> IntoArg<Vec<T>> for Nil {}

impl<A: IntoTask, L: TupleArgs> IntoTask for Cons<A, L> {
    fn encode(self, program: &mut Program) {
        program.list(|program| self.encode_all(program));
    }
}
impl<T, A: IntoArg<T>, L: TupleArgs + IntoArg<Vec<T>>> IntoArg<Vec<T>> for Cons<A, L> {}

macro_rules! tuples {
    ($($list:ty, ($($t:ident $a:ident),*);)*) => { $(
        impl<$($t, $a: IntoArg<$t>),*> IntoArg<($($t,)*)> for $list {}
    )* };
}
tuples! {
    Cons<A1, Nil>, (A A1);
    Cons<A1, Cons<B1, Nil>>, (A A1, B B1);
    Cons<A1, Cons<B1, Cons<C1, Nil>>>, (A A1, B B1, C C1);
    Cons<A1, Cons<B1, Cons<C1, Cons<D1, Nil>>>>, (A A1, B B1, C C1, D D1);
    Cons<A1, Cons<B1, Cons<C1, Cons<D1, Cons<E1, Nil>>>>>, (A A1, B B1, C C1, D D1, E E1);
    Cons<A1, Cons<B1, Cons<C1, Cons<D1, Cons<E1, Cons<F1, Nil>>>>>>, (A A1, B B1, C C1, D D1, E E1, F F1);
}

/// Makes a list argument of elements of different kinds: `list![key("x"), 4, call(add, (1, key("y")))]`.
#[doc(hidden)]
#[macro_export]
macro_rules! __graph_list {
    () => { $crate::graph::Nil };
    ($first:expr $(, $rest:expr)* $(,)?) => { $crate::graph::Cons($first, $crate::graph::list![$($rest),*]) };
}

/// An argument whose kind is known only when the program runs: a key, a literal, a call, or a list.
///
/// What it gives is checked when the task runs.
///
/// ```
/// use chunkstore::graph::{AnyArg, Graph, call, key, list};
/// fn total(xs: Vec<i64>) -> i64 { xs.iter().sum() }
/// let items = vec![AnyArg::new(key("x")), AnyArg::new(4), AnyArg::new(call(|| 5, ()))];
/// let mut g = Graph::new();
/// g.set("sum", call(total, (list(items),)));
/// ```
pub struct AnyArg(Box<dyn FnOnce(&mut Program) + Send>);

impl AnyArg {
    /// Any argument.
    pub fn new(arg: impl IntoTask + Send + 'static) -> Self {
        AnyArg(Box::new(|program| arg.encode(program)))
    }
}

impl From<Value> for AnyArg {
    fn from(value: Value) -> Self {
        AnyArg::new(value)
    }
}

impl IntoTask for AnyArg {
    fn encode(self, program: &mut Program) {
        program.deeper(self.0);
    }
}
impl<T> IntoArg<T> for AnyArg {}
