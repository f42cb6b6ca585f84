//! Tasks and arguments as users write them: `call(add, (2, key("x")))`.

use super::argument::Fits;
use super::function::{Fallible, Function, Op, Typed, Untyped};
use super::program::Program;
use super::result::into_value;
use super::{Argument, GraphKey, TaskFn, Value};
use crate::Result;
use std::fmt::Display;
use std::marker::PhantomData;
use std::sync::Arc;

/// What a key can map to, and what can be an argument: a key, a literal, a call, or a list of these.
///
/// Implemented here for all of them; a type of your own becomes a literal by [`super::Plain`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is neither a key, nor a literal, a call or a list",
    note = "a literal of your own type needs `impl chunkstore::graph::Plain for {Self} {{}}`, or an `Arc` around it"
)]
pub trait IntoTask {
    /// Writes it into a graph.
    #[doc(hidden)]
    fn encode(self, program: &mut Program);
}

/// What can be given for a parameter of type `T`: a `T`, a call whose result is one, a list of what can be given for its elements, or a key,
/// whose value is checked when the task runs.
///
/// ```compile_fail
/// use chunkstore::graph::{Graph, call};
/// fn inc(x: i64) -> i64 { x + 1 }
/// let mut g = Graph::new();
/// g.set("x", call(inc, ("one",)));
/// ```
/// ```compile_fail
/// use chunkstore::graph::{Graph, call, list};
/// fn total(xs: Vec<i64>) -> i64 { xs.iter().sum() }
/// fn name(x: i64) -> String { x.to_string() }
/// let mut g = Graph::new();
/// g.set("x", call(total, (list![1, call(name, (2,))],)));
/// ```
#[diagnostic::on_unimplemented(
    message = "a parameter of type `{T}` cannot be given `{Self}`",
    note = "a key is given as `key(\"name\")`; a text on its own is a literal"
)]
pub trait IntoArg<T>: IntoTask {}

impl<T: Argument> IntoTask for T {
    #[inline]
    fn encode(self, program: &mut Program) {
        program.literal(into_value(self, None));
    }
}
impl<T: Argument> IntoArg<T> for T {}
impl<T: Argument> IntoArg<T> for Arc<T> {}

impl IntoTask for &str {
    fn encode(self, program: &mut Program) {
        self.to_owned().encode(program);
    }
}
impl IntoArg<String> for &str {}

impl IntoTask for GraphKey {
    #[inline]
    fn encode(self, program: &mut Program) {
        program.key(self);
    }
}
impl<T> IntoArg<T> for GraphKey {}

impl IntoTask for &GraphKey {
    fn encode(self, program: &mut Program) {
        program.key(self.clone());
    }
}
impl<T> IntoArg<T> for &GraphKey {}

/// The arguments of a function with parameters `P`: a tuple with one [`IntoArg`] for each.
#[diagnostic::on_unimplemented(
    message = "a function with the parameters `{P}` cannot be called with `{Self}`",
    note = "arguments are a tuple: `call(inc, (1,))`"
)]
pub trait Arguments<P>: TupleArgs {}

/// A tuple of arguments of any types.
pub trait TupleArgs {
    /// Writes them into a graph; gives their number.
    #[doc(hidden)]
    fn encode_all(self, program: &mut Program) -> u32;
}

macro_rules! arguments {
    ($(($($a:ident $b:ident $x:ident),*))*) => { $(
        impl<$($b: IntoTask),*> TupleArgs for ($($b,)*) {
            #[inline]
            #[allow(unused_variables)]
            fn encode_all(self, program: &mut Program) -> u32 {
                let ($($x,)*) = self;
                $($x.encode(program);)*
                const { 0 $(+ { stringify!($x); 1 })* }
            }
        }
        impl<$($a, $b: IntoArg<$a>),*> Arguments<($($a,)*)> for ($($b,)*) {}
    )* };
}
arguments! {
    ()
    (A A1 a)
    (A A1 a, B B1 b)
    (A A1 a, B B1 b, C C1 c)
    (A A1 a, B B1 b, C C1 c, D D1 d)
    (A A1 a, B B1 b, C C1 c, D D1 d, E E1 e)
    (A A1 a, B B1 b, C C1 c, D D1 d, E E1 e, G G1 g)
    (A A1 a, B B1 b, C C1 c, D D1 d, E E1 e, G G1 g, H H1 h)
    (A A1 a, B B1 b, C C1 c, D D1 d, E E1 e, G G1 g, H H1 h, I I1 i)
    (A A1 a, B B1 b, C C1 c, D D1 d, E E1 e, G G1 g, H H1 h, I I1 i, J J1 j)
    (A A1 a, B B1 b, C C1 c, D D1 d, E E1 e, G G1 g, H H1 h, I I1 i, J J1 j, K K1 k)
    (A A1 a, B B1 b, C C1 c, D D1 d, E E1 e, G G1 g, H H1 h, I I1 i, J J1 j, K K1 k, L L1 l)
    (A A1 a, B B1 b, C C1 c, D D1 d, E E1 e, G G1 g, H H1 h, I I1 i, J J1 j, K K1 k, L L1 l, M M1 m)
    (A A1 a, B B1 b, C C1 c, D D1 d, E E1 e, G G1 g, H H1 h, I I1 i, J J1 j, K K1 k, L L1 l, M M1 m, N N1 n)
    (A A1 a, B B1 b, C C1 c, D D1 d, E E1 e, G G1 g, H H1 h, I I1 i, J J1 j, K K1 k, L L1 l, M M1 m, N N1 n, O O1 o)
    (A A1 a, B B1 b, C C1 c, D D1 d, E E1 e, G G1 g, H H1 h, I I1 i, J J1 j, K K1 k, L L1 l, M M1 m, N N1 n, O O1 o, Q Q1 q)
    (A A1 a, B B1 b, C C1 c, D D1 d, E E1 e, G G1 g, H H1 h, I I1 i, J J1 j, K K1 k, L L1 l, M M1 m, N N1 n, O O1 o, Q Q1 q, S S1 s)
}

/// A task: a function of parameters `P` and its arguments.
pub struct Call<F, P, A> {
    function: F,
    args: A,
    parameters: PhantomData<fn(P)>,
}

/// A task that calls `function` with `args`, a tuple of literals, keys, calls and lists.
///
/// ```
/// use chunkstore::graph::{Graph, call, key, list};
/// fn add(a: i64, b: i64) -> i64 { a + b }
/// fn total(xs: Vec<i64>) -> i64 { xs.iter().sum() }
/// let mut g = Graph::new();
/// g.set("x", call(add, (2, 3)));
/// g.set("z", call(total, (list![key("x"), 4, call(add, (1, key("x")))],)));
/// assert_eq!(g.to_string(), "{'x': (add, 2, 3),\n 'z': (total, ['x', 4, (add, 1, 'x')])}");
/// ```
/// ```compile_fail
/// use chunkstore::graph::call;
/// fn inc(x: i64) -> i64 { x + 1 }
/// let _ = call(inc, (1.5,));
/// ```
/// ```compile_fail
/// use chunkstore::graph::call;
/// fn inc(x: i64) -> i64 { x + 1 }
/// let _ = call(inc, (1, 2));
/// ```
pub fn call<F: TaskFn<P>, P, A: Arguments<P>>(function: F, args: A) -> Call<F, P, A> {
    Call { function, args, parameters: PhantomData }
}

impl<F: TaskFn<P>, P: 'static, A: Arguments<P>> IntoTask for Call<F, P, A> {
    #[inline]
    fn encode(self, program: &mut Program) {
        let (function, args) = (self.function, self.args);
        program.call(|program| args.encode_all(program), Typed(function, PhantomData));
    }
}
impl<F: TaskFn<P>, P: 'static, A: Arguments<P>, T> IntoArg<T> for Call<F, P, A> where F::Result: Fits<T> {}

/// A task whose function returns a `Result`.
pub struct TryCall<F, P, A>(Call<F, P, A>);

/// A task that calls a `function` that returns a `Result`: its `Ok` is the task's value, its `Err` ends the run.
///
/// ```
/// use chunkstore::graph::{Graph, try_call};
/// fn parse(text: String) -> Result<i64, std::num::ParseIntError> { text.parse() }
/// let mut g = Graph::new();
/// g.set("n", try_call(parse, ("17",)));
/// ```
pub fn try_call<F, P, A, T, E>(function: F, args: A) -> TryCall<F, P, A>
where
    F: TaskFn<P, Result = std::result::Result<T, E>>,
    A: Arguments<P>,
    T: Send + Sync + 'static,
    E: Display + Send + Sync + 'static,
{
    TryCall(call(function, args))
}

impl<F, P: 'static, A, T, E> IntoTask for TryCall<F, P, A>
where
    F: TaskFn<P, Result = std::result::Result<T, E>>,
    A: Arguments<P>,
    T: Send + Sync + 'static,
    E: Display + Send + Sync + 'static,
{
    fn encode(self, program: &mut Program) {
        let Call { function, args, .. } = self.0;
        program.call(|program| args.encode_all(program), Fallible(function, PhantomData));
    }
}
impl<F, P: 'static, A, T, E, U> IntoArg<U> for TryCall<F, P, A>
where
    F: TaskFn<P, Result = std::result::Result<T, E>>,
    A: Arguments<P>,
    T: Fits<U> + Send + Sync + 'static,
    E: Display + Send + Sync + 'static,
{
}

/// A task whose function takes any values.
pub struct UntypedCall<F, A> {
    name: String,
    function: F,
    args: A,
}

/// A task that calls `function` with the values of `args`; `name` is shown in errors and in the graph.
///
/// ```
/// use chunkstore::graph::{Graph, Value, call_untyped, key};
/// let mut g = Graph::new();
/// g.set("n", call_untyped("count", |args: &[Value]| Value::of(args.len()), (key("x"), 2)));
/// ```
pub fn call_untyped<F, A>(name: impl Into<String>, function: F, args: A) -> UntypedCall<F, A>
where
    F: Fn(&[Value]) -> Result<Value> + Send + Sync + 'static,
    A: TupleArgs,
{
    UntypedCall { name: name.into(), function, args }
}

impl<F, A> IntoTask for UntypedCall<F, A>
where
    F: Fn(&[Value]) -> Result<Value> + Send + Sync + 'static,
    A: TupleArgs,
{
    fn encode(self, program: &mut Program) {
        let UntypedCall { name, function, args } = self;
        let function: Arc<dyn Function> = Arc::new(Untyped(name, function, Op::fresh()));
        program.call_shared(|program| args.encode_all(program), function);
    }
}
impl<F, A, T> IntoArg<T> for UntypedCall<F, A>
where
    F: Fn(&[Value]) -> Result<Value> + Send + Sync + 'static,
    A: TupleArgs,
{
}
