//! How functions' parameters are taken from values.

use super::result::{from_block, from_scalar};
use super::{Given, Value};
use chunkstore_store::{Block, Chunk, Element, Scalar};
use ndarray::{Array, ArrayD, Dimension, Ix0, Ix1, Ix2, Ix3};
use std::sync::Arc;

/// A type that functions in graphs can take, and that can be a literal in a graph.
///
/// There are numbers and truth values, `String`, `Vec`, tuples, `Option`, ndarray's owned arrays, [`Block`], [`Value`], and
/// `Arc<T>` of any type. A type of your own needs `Clone` and one line, `impl Plain for Mine {}`: see [`Plain`].
///
/// - A number is taken as another type of number if its value is the same there: the literal `5` is taken as an `f64`, but 300
///   is not taken as a `u8`, nor 1.5 as an integer. Fractions are taken as `f64` from `f32` only.
/// - A list is taken as a `Vec` or a tuple.
/// - An array is taken as a `Vec` of its elements if it has one axis.
/// - `T` gets a copy, as a value may have other consumers; `Arc<T>` shares it.
#[diagnostic::on_unimplemented(
    message = "a function in a graph cannot take `{Self}`",
    note = "take `Arc<{Self}>`, or write `impl chunkstore::graph::Plain for {Self} {{}}` for a type of your own that is `Clone`"
)]
pub trait Argument: Sized + Send + Sync + 'static {
    /// Whether taking it from a block copies the block's elements; the copy is then booked for the task.
    const COPIES: bool = true;

    /// The value as this type; `None` where it is none.
    fn take(given: Given<'_>) -> Option<Self>;
}

/// A type of the user's that functions in graphs can take.
///
/// ```
/// use chunkstore::graph::{Graph, Plain, call, key};
/// #[derive(Clone)]
/// struct Point(f64, f64);
/// impl Plain for Point {}
/// fn norm(p: Point) -> f64 { p.0.hypot(p.1) }
/// let mut g = Graph::new();
/// g.set("p", Point(3.0, 4.0));
/// g.set("r", call(norm, (key("p"),)));
/// ```
pub trait Plain: Clone + Send + Sync + 'static {}

impl<T: Plain> Argument for T {
    #[inline]
    fn take(given: Given<'_>) -> Option<Self> {
        given.object::<T>().cloned()
    }
}

impl Plain for String {}
impl Plain for char {}
impl Plain for i128 {}
impl Plain for u128 {}
impl Plain for std::path::PathBuf {}
impl Plain for std::time::Duration {}
impl<K, V, S> Plain for std::collections::HashMap<K, V, S>
where
    K: Clone + Send + Sync + 'static,
    V: Argument + Clone,
    S: Clone + Send + Sync + 'static,
{
}
impl<K: Clone + Send + Sync + 'static, V: Argument + Clone> Plain for std::collections::BTreeMap<K, V> {}

/// An integer or a floating-point number, whose value another type may hold.
enum Number {
    Int(i128),
    Float(f64),
}

fn number(scalar: Scalar) -> Option<Number> {
    Some(match scalar {
        Scalar::Bool(_) => return None,
        Scalar::I8(x) => Number::Int(x.into()),
        Scalar::I16(x) => Number::Int(x.into()),
        Scalar::I32(x) => Number::Int(x.into()),
        Scalar::I64(x) => Number::Int(x.into()),
        Scalar::U8(x) => Number::Int(x.into()),
        Scalar::U16(x) => Number::Int(x.into()),
        Scalar::U32(x) => Number::Int(x.into()),
        Scalar::U64(x) => Number::Int(x.into()),
        Scalar::F32(x) => Number::Float(x.into()),
        Scalar::F64(x) => Number::Float(x),
    })
}

macro_rules! scalars {
    ($($t:ty, $s:ident, $given:ident => $convert:expr;)*) => { $(
        impl Argument for $t {
            #[inline]
            fn take(given: Given<'_>) -> Option<Self> {
                match given.scalar() {
                    Some(Scalar::$s(x)) => Self::try_from(x).ok(),
                    Some(other) => number(other).and_then(|$given| $convert),
                    None => given.object::<$t>().copied(),
                }
            }
        }
    )* };
}

macro_rules! integers {
    ($($t:ty, $s:ident;)*) => { scalars! { $($t, $s, n => match n {
        Number::Int(i) => <$t>::try_from(i).ok(),
        Number::Float(_) => None,
    };)* } };
}
integers! {
    i8, I8; i16, I16; i32, I32; i64, I64; isize, I64; u8, U8; u16, U16; u32, U32; u64, U64; usize, U64;
}
scalars! {
    f64, F64, n => match n {
        Number::Int(i) => (i as f64 as i128 == i).then_some(i as f64),
        Number::Float(x) => Some(x),
    };
    f32, F32, n => match n {
        Number::Int(i) => (i as f32 as i128 == i).then_some(i as f32),
        Number::Float(_) => None,
    };
    bool, Bool, _n => None;
}

impl Argument for () {
    fn take(given: Given<'_>) -> Option<Self> {
        matches!(given.value(), Some(Value::None)).then_some(())
    }
}

impl Argument for Value {
    const COPIES: bool = false;

    fn take(given: Given<'_>) -> Option<Self> {
        Some(given.to_value())
    }
}

impl Argument for Block {
    const COPIES: bool = false;

    fn take(given: Given<'_>) -> Option<Self> {
        given.value().and_then(Value::block).cloned()
    }
}

impl Argument for Chunk {
    const COPIES: bool = false;

    fn take(given: Given<'_>) -> Option<Self> {
        match given.value() {
            Some(Value::Chunk(chunk)) => Some(chunk.clone()),
            _ => given.scalar().map(Chunk::Scalar),
        }
    }
}

impl<T: Send + Sync + 'static> Argument for Arc<T> {
    fn take(given: Given<'_>) -> Option<Self> {
        match given.value() {
            Some(Value::Object(object)) => object.shared::<T>().or_else(|| object.get::<Arc<T>>().cloned()),
            Some(Value::Chunk(Chunk::Block(block))) => from_block(block).map(Arc::new),
            _ => given.scalar().and_then(from_scalar).map(Arc::new),
        }
    }
}

impl<T: Argument + Clone> Argument for Vec<T> {
    // A block becomes a vector of numbers, whatever these are.
    const COPIES: bool = T::COPIES;

    fn take(given: Given<'_>) -> Option<Self> {
        if let Some(elements) = given.elements() {
            let mut taken = Vec::with_capacity(elements.len());
            for element in elements {
                taken.push(T::take(element)?);
            }
            return Some(taken);
        }
        given.object::<Vec<T>>().cloned().or_else(|| given.value().and_then(Value::block).and_then(from_block))
    }
}

impl<T: Argument + Clone> Argument for Option<T> {
    const COPIES: bool = T::COPIES;

    fn take(given: Given<'_>) -> Option<Self> {
        match given.value() {
            Some(Value::None) => Some(None),
            _ => given.object::<Option<T>>().cloned().or_else(|| T::take(given).map(Some)),
        }
    }
}

impl<T: Element, D: Dimension + Send + Sync + 'static> Argument for Array<T, D> {
    fn take(given: Given<'_>) -> Option<Self> {
        if let Some(array) = given.object::<Array<T, D>>() {
            return Some(array.clone());
        }
        let block = given.value().and_then(Value::block)?;
        let elements = block.as_slice::<T>().ok()?.to_vec();
        ndarray::ArrayD::from_shape_vec(ndarray::IxDyn(block.shape()), elements).ok()?.into_dimensionality().ok()
    }
}

macro_rules! tuples {
    ($(($($t:ident),*))*) => { $(
        impl<$($t: Argument + Clone),*> Argument for ($($t,)*) {
            #[allow(non_snake_case)]
            fn take(given: Given<'_>) -> Option<Self> {
                let Some(mut elements) = given.elements() else { return given.object::<Self>().cloned() };
                let taken = ($($t::take(elements.next()?)?,)*);
                elements.next().is_none().then_some(taken)
            }
        }
    )* };
}
tuples!((A)(A, B)(A, B, C)(A, B, C, D)(A, B, C, D, E)(A, B, C, D, E, F));

/// A type's name without its modules.
pub(crate) fn short_name<T>() -> String {
    shorten(std::any::type_name::<T>())
}

/// A type's or function's name without modules: `alloc::vec::Vec<my::Point>` is `Vec<Point>`.
pub(crate) fn shorten(name: &str) -> String {
    let mut short = String::new();
    let mut start = 0;
    let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    for (at, c) in name.char_indices() {
        if !is_name(c) {
            short.push_str(name[start..at].rsplit("::").next().unwrap_or(""));
            short.push(c);
            start = at + c.len_utf8();
        }
    }
    short.push_str(name[start..].rsplit("::").next().unwrap_or(""));
    short
}

/// The type of a function's result that a parameter of type `T` takes: `T` itself, shared or not.
#[diagnostic::on_unimplemented(message = "a parameter of type `{T}` cannot be given a result of type `{Self}`")]
pub trait Fits<T> {}
impl<T> Fits<T> for T {}
impl<T> Fits<Arc<T>> for T {}
impl<T> Fits<T> for Arc<T> {}

macro_rules! arrays {
    ($($d:ident),*) => { $(
        impl<T: Element> Fits<Array<T, $d>> for ArrayD<T> {}
        impl<T: Element> Fits<ArrayD<T>> for Array<T, $d> {}
    )* };
}
arrays!(Ix0, Ix1, Ix2, Ix3);
impl<T: Element, D: Dimension> Fits<Block> for Array<T, D> {}
impl<T: Element, D: Dimension> Fits<Array<T, D>> for Block {}
