//! Functions in graphs: typed ones, whose arguments the compiler checks, and untyped ones; what makes two the same.

use super::codec::Codec;
use super::result::{into_value, sizes_of, unknown};
use super::task::{Meaning, fault_of, find};
use super::{Args, Argument, Given, KeyBuilder, LayerRef, Operator, Sizes, TaskContext, Value};
use crate::{Error, ErrorKind, Result};
use rustc_hash::FxHasher;
use std::any::TypeId;
use std::fmt::Display;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A function that tasks can call, with parameters `P`: any `Fn` of up to sixteen [`Argument`]s.
///
/// What it returns may be of any type that threads can share.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no function that a graph can call with these arguments",
    note = "it takes up to sixteen parameters, each of them an `Argument`, and is `Send + Sync + 'static`; closures name their parameters' types"
)]
pub trait TaskFn<P>: Send + Sync + 'static {
    /// What it returns.
    type Result: Send + Sync + 'static;

    /// Takes the arguments and calls the function.
    ///
    /// # Errors
    /// A type error that names an argument which is not what the function takes.
    fn apply(&self, args: Args<'_>) -> Result<Self::Result>;

    /// The name and version under which it is registered, if it is.
    fn registered(&self) -> Option<(&'static str, u32)> {
        None
    }

    /// Its name, where that is not in its type.
    #[doc(hidden)]
    fn called(&self) -> Option<&'static str> {
        None
    }

    /// What makes it the same as others.
    #[doc(hidden)]
    fn op(&self) -> Op
    where
        Self: Sized,
    {
        match self.registered() {
            Some((name, version)) => Op::registered(name, version),
            None => Op::of(self),
        }
    }
}

macro_rules! functions {
    ($(($($a:ident $x:ident),*))*) => { $(
        impl<F, R, $($a),*> TaskFn<($($a,)*)> for F
        where
            F: Fn($($a),*) -> R + Send + Sync + 'static,
            R: Send + Sync + 'static,
            $($a: Argument,)*
        {
            type Result = R;

            #[inline]
            #[allow(unused_mut, unused_variables)]
            fn apply(&self, mut args: Args<'_>) -> Result<R> {
                $(let $x = args.arg::<$a>()?;)*
                Ok(self($($x),*))
            }

            #[inline]
            fn registered(&self) -> Option<(&'static str, u32)> {
                find::<F>().and_then(|known| Some((known.name, known.meaning()?.number())))
            }

            #[inline]
            fn op(&self) -> Op {
                Op::of(self)
            }
        }
    )* };
}
functions! {
    ()
    (A a)
    (A a, B b)
    (A a, B b, C c)
    (A a, B b, C c, D d)
    (A a, B b, C c, D d, E e)
    (A a, B b, C c, D d, E e, G g)
    (A a, B b, C c, D d, E e, G g, H h)
    (A a, B b, C c, D d, E e, G g, H h, I i)
    (A a, B b, C c, D d, E e, G g, H h, I i, J j)
    (A a, B b, C c, D d, E e, G g, H h, I i, J j, K k)
    (A a, B b, C c, D d, E e, G g, H h, I i, J j, K k, L l)
    (A a, B b, C c, D d, E e, G g, H h, I i, J j, K k, L l, M m)
    (A a, B b, C c, D d, E e, G g, H h, I i, J j, K k, L l, M m, N n)
    (A a, B b, C c, D d, E e, G g, H h, I i, J j, K k, L l, M m, N n, O o)
    (A a, B b, C c, D d, E e, G g, H h, I i, J j, K k, L l, M m, N n, O o, Q q)
    (A a, B b, C c, D d, E e, G g, H h, I i, J j, K k, L l, M m, N n, O o, Q q, S s)
}

/// A function that is registered by name, and so can run in other processes: see [`super::Registry::function`].
///
/// It must be a `fn` item or a closure without captures: what it does is then all in the program.
#[derive(Clone, Copy)]
pub struct Portable<F> {
    pub(crate) name: &'static str,
    pub(crate) version: u32,
    pub(crate) function: F,
}

impl<F> Portable<F> {
    /// The function's identity: see [`Op`].
    pub fn op(&self) -> Op {
        Op::registered(self.name, self.version)
    }
}

impl<P, F: TaskFn<P>> TaskFn<P> for Portable<F> {
    type Result = F::Result;

    fn apply(&self, args: Args<'_>) -> Result<F::Result> {
        self.function.apply(args)
    }

    fn registered(&self) -> Option<(&'static str, u32)> {
        Some((self.name, self.version))
    }
}

/// A function of this library, whose meaning follows from its name and its type: it needs no registration to be known again.
#[derive(Clone, Copy)]
pub(crate) struct Library<F>(pub(crate) &'static str, pub(crate) F);

impl<P, F: TaskFn<P>> TaskFn<P> for Library<F> {
    type Result = F::Result;

    fn apply(&self, args: Args<'_>) -> Result<F::Result> {
        self.1.apply(args)
    }

    fn called(&self) -> Option<&'static str> {
        Some(self.0)
    }

    fn op(&self) -> Op {
        Op(Identity::Library(self.0, std::any::type_name::<F>()))
    }
}

/// What makes two functions in graphs the same.
///
/// The same `fn` item or closure without captures is the same function, as is a registered one of equal name and
/// version. Closures with captures cannot be compared: each is like no other.
///
/// ```
/// use chunkstore::graph::op;
/// fn inc(x: i64) -> i64 { x + 1 }
/// fn dec(x: i64) -> i64 { x - 1 }
/// assert_eq!(op(inc), op(inc));
/// assert_ne!(op(inc), op(dec));
/// let n = 3;
/// let add = move |x: i64| x + n;
/// assert_ne!(op(add), op(add));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Op(Identity);

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Identity {
    Item(TypeId),
    Registered(&'static str, Meaning),
    /// A function of the library, and its type.
    Library(&'static str, &'static str),
    Nonce(u64),
}

/// The identity of a function, to name it to an optimisation such as inlining.
pub fn op<F: 'static>(function: F) -> Op {
    Op::of(&function)
}

impl Op {
    pub(crate) fn of<F: 'static>(_function: &F) -> Op {
        if size_of::<F>() != 0 {
            return Op::fresh();
        }
        match find::<F>().and_then(|known| Some((known.name, known.meaning()?))) {
            Some((name, meaning)) => Op(Identity::Registered(name, meaning)),
            None => Op(Identity::Item(TypeId::of::<F>())),
        }
    }

    /// The identity of a registered function.
    pub fn registered(name: &'static str, version: u32) -> Op {
        Op(Identity::Registered(name, Meaning::Version(version)))
    }

    /// Whether it means the same in other processes.
    pub(crate) fn is_registered(&self) -> bool {
        matches!(self.0, Identity::Registered(..) | Identity::Library(..))
    }

    /// Whether other functions can be the same as it.
    pub(crate) fn is_shared(&self) -> bool {
        !matches!(self.0, Identity::Nonce(_))
    }

    /// Adds it to a key; none where it is like no other.
    pub(crate) fn add_to(&self, key: KeyBuilder) -> Option<KeyBuilder> {
        match self.0 {
            Identity::Item(id) => {
                let mut hasher = FxHasher::default();
                id.hash(&mut hasher);
                Some(key.number(0).number(hasher.finish()))
            }
            Identity::Registered(name, Meaning::Version(version)) => Some(key.number(1).text(name).number(version.into())),
            Identity::Registered(name, Meaning::Build(build)) => Some(key.number(2).text(name).bytes(&build.to_be_bytes())),
            Identity::Library(name, of) => Some(key.number(3).text(name).text(of)),
            Identity::Nonce(_) => None,
        }
    }

    /// An identity that nothing else in this process has.
    pub(crate) fn fresh() -> Op {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Op(Identity::Nonce(NEXT.fetch_add(1, Relaxed)))
    }
}

/// A function as a graph holds it.
pub(crate) trait Function: Send + Sync + 'static {
    /// The type that this is: one function may be called in several ways.
    fn concrete(&self) -> TypeId {
        TypeId::of::<Self>()
    }

    fn run(&self, args: Args<'_>, task: &TaskContext<'_>) -> Result<Value>;
    fn name(&self) -> &str;
    fn sizes(&self) -> Sizes;
    fn op(&self) -> Op;
    fn registered(&self) -> Option<(&'static str, u32)>;

    /// What is wrong with how it is registered.
    fn fault(&self) -> Option<Error> {
        None
    }

    /// How objects that it returns are kept on disk.
    fn codec(&self) -> Option<Codec> {
        None
    }
}

/// What a step of a task calls: a function of the user's, or one block of a layer's operator.
#[derive(Clone)]
pub(crate) enum Callee {
    Function(Arc<dyn Function>),
    Layer(LayerRef, Arc<dyn Operator>),
}

impl Callee {
    pub(crate) fn name(&self) -> &str {
        match self {
            Callee::Function(function) => function.name(),
            Callee::Layer(_, operator) => operator.name(),
        }
    }
}

/// A typed function whose result is the task's.
pub(crate) struct Typed<F, P>(pub(crate) F, pub(crate) PhantomData<fn(P)>);

impl<P: 'static, F: TaskFn<P>> Function for Typed<F, P> {
    #[inline]
    fn run(&self, args: Args<'_>, task: &TaskContext<'_>) -> Result<Value> {
        self.0.apply(args).and_then(|result| into_value(result, Some(task)))
    }

    fn name(&self) -> &str {
        name_of(&self.0)
    }

    fn sizes(&self) -> Sizes {
        sizes_of::<F::Result>()
    }

    fn op(&self) -> Op {
        self.0.op()
    }

    fn registered(&self) -> Option<(&'static str, u32)> {
        self.0.registered()
    }

    fn fault(&self) -> Option<Error> {
        fault_of::<F>()
    }

    fn codec(&self) -> Option<Codec> {
        find::<F>().and_then(|known| known.codec)
    }
}

/// A typed function that returns a `Result`, whose error ends the task.
pub(crate) struct Fallible<F, P>(pub(crate) F, pub(crate) PhantomData<fn(P)>);

impl<P: 'static, T, E, F> Function for Fallible<F, P>
where
    F: TaskFn<P, Result = std::result::Result<T, E>>,
    T: Send + Sync + 'static,
    E: Display + Send + Sync + 'static,
{
    #[inline]
    fn run(&self, args: Args<'_>, task: &TaskContext<'_>) -> Result<Value> {
        let result = self.0.apply(args)?.map_err(|e| Error::new(ErrorKind::Failed, format!("{}: {e}", self.name())))?;
        into_value(result, Some(task))
    }

    fn name(&self) -> &str {
        name_of(&self.0)
    }

    fn sizes(&self) -> Sizes {
        sizes_of::<T>()
    }

    fn op(&self) -> Op {
        self.0.op()
    }

    fn registered(&self) -> Option<(&'static str, u32)> {
        self.0.registered()
    }

    fn fault(&self) -> Option<Error> {
        fault_of::<F>()
    }

    fn codec(&self) -> Option<Codec> {
        find::<F>().and_then(|known| known.codec)
    }
}

/// A function of values of any type and number.
pub(crate) struct Untyped<F>(pub(crate) String, pub(crate) F, pub(crate) Op);

impl<F: Fn(&[Value]) -> Result<Value> + Send + Sync + 'static> Function for Untyped<F> {
    fn run(&self, args: Args<'_>, _task: &TaskContext<'_>) -> Result<Value> {
        let args: smallvec::SmallVec<[Value; 4]> = args.map(Given::to_value).collect();
        (self.1)(&args)
    }

    fn name(&self) -> &str {
        &self.0
    }

    fn sizes(&self) -> Sizes {
        unknown(0)
    }

    fn op(&self) -> Op {
        self.2
    }

    fn registered(&self) -> Option<(&'static str, u32)> {
        None
    }
}

/// The function's name without its module; a closure is named after the function that it stands in.
fn name_of<P, F: TaskFn<P>>(function: &F) -> &'static str {
    if let Some(name) = function.called() {
        return name;
    }
    if let Some((name, _)) = function.registered() {
        return name.rsplit("::").next().unwrap_or(name);
    }
    let path = std::any::type_name::<F>();
    let path = path.split('<').next().unwrap_or(path);
    match path.trim_end_matches("::{{closure}}") {
        outer if outer.len() == path.len() => path.rsplit("::").next().unwrap_or(path),
        outer => {
            let start = outer.rfind("::").map_or(0, |at| at + 2);
            path.get(start..).unwrap_or(path)
        }
    }
}
