//! How functions' results, and literals, become values.

use super::{Argument, Given, Object, Size, Sizes, TaskContext, Value};
use crate::Result;
use chunkstore_store::{Block, Buffer, Chunk, Element, Scalar, Shape};
use ndarray::{Array, ArrayD, Dimension, Ix0, Ix1, Ix2, Ix3};
use std::any::{Any, TypeId};
use std::sync::Arc;

/// A literal of more bytes than this is treated as memory of the user's that is read, not as what a task makes.
pub(crate) const LARGE: u64 = 64 << 10;

/// The bytes that a result of unknown size is first taken to have.
const GUESS: u64 = 64;

/// Runs `$run!` for each type of element.
macro_rules! each_element {
    ($run:ident) => {
        $run! { bool, i8, i16, i32, i64, u8, u16, u32, u64, f32, f64 }
    };
}

/// The value, if its type is `U`, which is known when this is compiled.
#[inline]
fn take_as<T: 'static, U: 'static>(slot: &mut Option<T>) -> Option<U> {
    (slot as &mut dyn Any).downcast_mut::<Option<U>>().and_then(Option::take)
}

/// `value` as a `T`, if that is its type.
#[inline]
fn give_as<U: 'static, T: 'static>(value: U) -> Option<T> {
    take_as(&mut Some(value))
}

/// The scalar, if `T` is a type of number or truth value.
#[inline]
fn scalar_of<T: 'static>(value: &T) -> Option<Scalar> {
    let any = value as &dyn Any;
    macro_rules! test {
        ($($t:ty => $s:ident),*) => { $(
            if let Some(x) = any.downcast_ref::<$t>() {
                return Some(Scalar::$s((*x).into()));
            }
        )* };
    }
    test!(i64 => I64, f64 => F64, bool => Bool, i32 => I32, f32 => F32, u64 => U64, u8 => U8, u32 => U32, i8 => I8, i16 => I16, u16 => U16);
    match (any.downcast_ref::<usize>(), any.downcast_ref::<isize>()) {
        (Some(x), _) => Some(Scalar::U64(*x as u64)),
        (_, Some(x)) => Some(Scalar::I64(*x as i64)),
        _ => None,
    }
}

/// The scalar as a `T`, if `T` is its type.
pub(crate) fn from_scalar<T: 'static>(scalar: Scalar) -> Option<T> {
    match scalar {
        Scalar::Bool(x) => give_as(x),
        Scalar::I8(x) => give_as(x),
        Scalar::I16(x) => give_as(x),
        Scalar::I32(x) => give_as(x),
        Scalar::I64(x) => give_as(x).or_else(|| give_as(x as isize)),
        Scalar::U8(x) => give_as(x),
        Scalar::U16(x) => give_as(x),
        Scalar::U32(x) => give_as(x),
        Scalar::U64(x) => give_as(x).or_else(|| give_as(x as usize)),
        Scalar::F32(x) => give_as(x),
        Scalar::F64(x) => give_as(x),
    }
}

/// The elements of `block` as a `T`, if `T` is an array of its type and number of axes, or a vector where it has one axis.
pub(crate) fn from_block<T: 'static>(block: &Block) -> Option<T> {
    fn typed<E: Element, T: 'static>(block: &Block) -> Option<T> {
        let id = TypeId::of::<T>();
        let elements = || block.as_slice::<E>().ok().map(<[E]>::to_vec);
        if id == TypeId::of::<Vec<E>>() {
            return (block.shape().len() == 1).then(|| elements().and_then(give_as)).flatten();
        }
        let array = || ArrayD::from_shape_vec(block.shape(), elements()?).ok();
        if id == TypeId::of::<ArrayD<E>>() {
            return array().and_then(give_as);
        }
        macro_rules! fixed {
            ($($d:ty),*) => { $(
                if id == TypeId::of::<Array<E, $d>>() {
                    return array()?.into_dimensionality::<$d>().ok().and_then(give_as);
                }
            )* };
        }
        fixed!(Ix0, Ix1, Ix2, Ix3);
        None
    }
    macro_rules! match_dtype {
        ($($t:ty),*) => { $(
            if block.dtype() == <$t as Element>::DTYPE {
                return typed::<$t, T>(block);
            }
        )* };
    }
    each_element!(match_dtype);
    None
}

/// The number of elements of a list of `T`.
pub(crate) fn list_len<T: Send + Sync + 'static>(list: &Value) -> Option<usize> {
    match list {
        Value::List(list) => Some(list.len()),
        Value::Object(object) => object.get::<Vec<T>>().map(Vec::len),
        Value::Chunk(Chunk::Block(block)) if block.shape().len() == 1 => Some(block.len()),
        _ => None,
    }
}

/// One element of a list, of which nothing else is copied.
pub(crate) fn list_element<T: Argument + Clone>(list: &Value, index: usize) -> Option<T> {
    match list {
        Value::List(list) => T::take(Given::from(list.get(index)?)),
        Value::Object(object) => object.get::<Vec<T>>()?.get(index).cloned(),
        Value::Chunk(Chunk::Block(block)) if block.shape().len() == 1 => {
            macro_rules! match_dtype {
                ($($t:ty),*) => { $(
                    if block.dtype() == <$t as Element>::DTYPE {
                        let scalar = scalar_of(block.as_slice::<$t>().ok()?.get(index)?)?;
                        return T::take(Given::from(&Value::from(scalar)));
                    }
                )* };
            }
            each_element!(match_dtype);
            None
        }
        _ => None,
    }
}

/// The value of a function's result, or of a literal where there is no task.
///
/// Scalars are held inline. An owned array, or a vector of numbers of 64 KiB or more, becomes a block, which can be spilled: a task's is copied into counted memory, a
/// literal's stays where it is. Anything else is an object, counted as [`object_bytes`] says.
///
/// # Errors
/// Out of memory where a task's array does not fit in.
#[inline]
pub(crate) fn into_value<T: Send + Sync + 'static>(value: T, task: Option<&TaskContext<'_>>) -> Result<Value> {
    match scalar_of(&value) {
        Some(scalar) => Ok(scalar.into()),
        None => into_held(value, task),
    }
}

fn into_held<T: Send + Sync + 'static>(value: T, task: Option<&TaskContext<'_>>) -> Result<Value> {
    let mut slot = Some(value);
    if let Some(value) = take_as::<T, Value>(&mut slot) {
        return Ok(value);
    }
    if let Some(block) = take_as::<T, Block>(&mut slot) {
        return Ok(block.into());
    }
    if let Some(chunk) = take_as::<T, Chunk>(&mut slot) {
        return Ok(Value::Chunk(chunk));
    }
    if let Some(scalar) = take_as::<T, Scalar>(&mut slot) {
        return Ok(scalar.into());
    }
    if let Some(()) = take_as::<T, ()>(&mut slot) {
        return Ok(Value::None);
    }
    macro_rules! arrays {
        ($($t:ty),*) => { $(
            if let Some(array) = take_array::<T, $t>(&mut slot).or_else(|| take_large_vec::<T, $t>(&mut slot)) {
                return array_value(array, task);
            }
        )* };
    }
    each_element!(arrays);
    let Some(value) = slot else { return Ok(Value::None) };
    let bytes = object_bytes(&value);
    Ok(Value::Object(Object::new(Arc::new(value), bytes)))
}

/// The array, if it is an owned one of element type `E`.
fn take_array<T: 'static, E: Element>(slot: &mut Option<T>) -> Option<ArrayD<E>> {
    fn fixed<T: 'static, E: Element, D: Dimension + 'static>(slot: &mut Option<T>) -> Option<ArrayD<E>> {
        take_as::<T, Array<E, D>>(slot).map(Array::into_dyn)
    }
    take_as::<T, ArrayD<E>>(slot)
        .or_else(|| fixed::<T, E, Ix1>(slot))
        .or_else(|| fixed::<T, E, Ix2>(slot))
        .or_else(|| fixed::<T, E, Ix3>(slot))
        .or_else(|| fixed::<T, E, Ix0>(slot))
}

/// The vector as an array of one axis, if it is one of element type `E` and large: then it can be spilled.
fn take_large_vec<T: 'static, E: Element>(slot: &mut Option<T>) -> Option<ArrayD<E>> {
    let vec = (slot as &dyn Any).downcast_ref::<Option<Vec<E>>>()?.as_ref()?;
    if (size_of_val(vec.as_slice()) as u64) < LARGE {
        return None;
    }
    take_as::<T, Vec<E>>(slot).map(|vec| Array::from_vec(vec).into_dyn())
}

fn array_value<E: Element>(array: ArrayD<E>, task: Option<&TaskContext<'_>>) -> Result<Value> {
    let shape: Shape = array.shape().iter().copied().collect();
    let array = if array.is_standard_layout() { array } else { array.as_standard_layout().into_owned() };
    if let Some(task) = task {
        let bytes = array.len() * size_of::<E>();
        // What the function returned is held until it has been copied.
        if bytes as u64 >= LARGE {
            task.claim(bytes as u64)?;
        }
        let mut buffer = task.alloc(bytes)?;
        if let Some(elements) = array.as_slice() {
            buffer.as_slice_mut::<E>().copy_from_slice(elements);
        }
        return Ok(Block::new(buffer.freeze(), 0, E::DTYPE, shape)?.into());
    }
    let (elements, offset) = array.into_raw_vec_and_offset();
    let buffer = Buffer::from_vec(Arc::new(elements));
    Ok(Block::new(buffer, offset.unwrap_or(0) * size_of::<E>(), E::DTYPE, shape)?.into())
}

/// The bytes that an object is counted for: its own size and, for text, vectors of numbers or of text, and vectors of these, what they hold.
/// What other types own on the heap is not seen.
fn object_bytes<T: 'static>(value: &T) -> u64 {
    let any = value as &dyn Any;
    let mut bytes = size_of::<T>();
    if let Some(text) = any.downcast_ref::<String>() {
        bytes += text.capacity();
    }
    let held = |texts: &Vec<String>| texts.capacity() * size_of::<String>() + texts.iter().map(String::capacity).sum::<usize>();
    if let Some(texts) = any.downcast_ref::<Vec<String>>() {
        bytes += held(texts);
    }
    if let Some(lists) = any.downcast_ref::<Vec<Vec<String>>>() {
        bytes += lists.capacity() * size_of::<Vec<String>>() + lists.iter().map(held).sum::<usize>();
    }
    macro_rules! vectors {
        ($($t:ty),*) => { $(
            if let Some(elements) = any.downcast_ref::<Vec<$t>>() {
                bytes += elements.capacity() * size_of::<$t>();
            }
            if let Some(lists) = any.downcast_ref::<Vec<Vec<$t>>>() {
                bytes += lists.capacity() * size_of::<Vec<$t>>();
                bytes += lists.iter().map(|list| list.capacity() * size_of::<$t>()).sum::<usize>();
            }
        )* };
    }
    each_element!(vectors);
    vectors!(usize, isize);
    bytes as u64
}

/// What is known of a function's result before it has run.
pub(crate) fn sizes_of<T: 'static>() -> Sizes {
    let id = TypeId::of::<T>();
    let scalars = [TypeId::of::<()>(), TypeId::of::<usize>(), TypeId::of::<isize>(), TypeId::of::<Scalar>()];
    macro_rules! any_of {
        ($($t:ty),*) => { [$(TypeId::of::<$t>()),*].contains(&id) };
    }
    if scalars.contains(&id) || each_element!(any_of) {
        return Sizes { out: Size::Exact(0), scratch: 0, load: 0 };
    }
    unknown(size_of::<T>() as u64)
}

/// What is known of a result of which nothing is: a guess, and as much again, as a function's own memory.
pub(crate) fn unknown(at_least: u64) -> Sizes {
    let guess = at_least.max(GUESS);
    Sizes { out: Size::Learned(guess), scratch: guess, load: 0 }
}
