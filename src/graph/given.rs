//! What a running task is given: its arguments, decoded one by one without copies.

use super::argument::{short_name, shorten};
use super::function::Function;
use super::word::{Word, scalar_from};
use super::{Argument, TaskContext, Value};
use crate::{Error, ErrorKind, Result};
use chunkstore_store::{Chunk, Scalar};

/// What argument words point into.
#[derive(Clone, Copy)]
pub(crate) struct Frame<'a> {
    pub(crate) inputs: &'a [Value],
    pub(crate) literals: &'a [Value],
    pub(crate) stack: &'a [Value],
    /// The task that takes arguments, where large ones are among them: copies are booked for it.
    pub(crate) task: Option<&'a TaskContext<'a>>,
}

/// One argument as a task is given it: a value, or a list whose elements are decoded when they are asked for.
#[derive(Clone, Copy)]
pub struct Given<'a>(Kind<'a>);

#[derive(Clone, Copy)]
enum Kind<'a> {
    Value(&'a Value),
    Scalar(Scalar),
    List(u32, Args<'a>),
}

impl<'a> From<&'a Value> for Given<'a> {
    fn from(value: &'a Value) -> Self {
        Given(Kind::Value(value))
    }
}

impl<'a> Given<'a> {
    /// The number or truth value, if it is one.
    #[inline]
    pub fn scalar(self) -> Option<Scalar> {
        match self.0 {
            Kind::Scalar(scalar) => Some(scalar),
            Kind::Value(Value::Chunk(Chunk::Scalar(scalar))) => Some(*scalar),
            _ => None,
        }
    }

    /// The value, if it is one that is held as such: neither a list of arguments nor a scalar literal.
    #[inline]
    pub fn value(self) -> Option<&'a Value> {
        match self.0 {
            Kind::Value(value) => Some(value),
            _ => None,
        }
    }

    /// The value of the user's of type `T`, or shared behind an `Arc`, if it is one.
    pub fn object<T: Send + Sync + 'static>(self) -> Option<&'a T> {
        match self.0 {
            Kind::Value(Value::Object(object)) => object.get::<T>().or_else(|| object.get::<std::sync::Arc<T>>().map(|shared| &**shared)),
            _ => None,
        }
    }

    /// The elements, if it is a list.
    pub fn elements(self) -> Option<Elements<'a>> {
        match self.0 {
            Kind::List(count, args) => Some(Elements(Source::Words(args, count))),
            Kind::Value(Value::List(list)) => Some(Elements(Source::Values(list.iter()))),
            _ => None,
        }
    }

    /// The bytes of the blocks that it is or holds.
    fn block_bytes(self) -> u64 {
        match (self.0, self.elements()) {
            (Kind::Value(Value::Chunk(chunk @ Chunk::Block(_))), _) => chunk.nbytes(),
            (_, Some(elements)) => elements.map(Given::block_bytes).sum(),
            _ => 0,
        }
    }

    /// The argument as a value of its own.
    pub fn to_value(self) -> Value {
        match self.0 {
            Kind::Value(value) => value.clone(),
            Kind::Scalar(scalar) => scalar.into(),
            Kind::List(count, args) => Value::List(Elements(Source::Words(args, count)).map(Given::to_value).collect()),
        }
    }

    /// What it is, for an error: its type, and the value of a scalar.
    pub fn describe(self) -> String {
        self.described(SHOWN_DEEP)
    }

    fn described(self, deep: u32) -> String {
        if let Some(scalar) = self.scalar() {
            return describe_scalar(scalar);
        }
        if let Some(mut elements) = self.elements() {
            let shown = elements.by_ref().take(if deep > 0 { 8 } else { 0 }).map(|given| given.described(deep.saturating_sub(1)));
            let shown: Vec<_> = shown.collect();
            let more = if elements.next().is_some() { ", .." } else { "" };
            return format!("the list [{}{more}]", shown.join(", "));
        }
        match self.0 {
            Kind::Value(Value::None) => "nothing".into(),
            Kind::Value(Value::Object(object)) => shorten(object.type_name()),
            Kind::Value(Value::Chunk(Chunk::Block(block))) => format!("a block of {} of shape {:?}", block.dtype(), block.shape()),
            Kind::Value(Value::Chunk(Chunk::Records(_))) => "records".into(),
            _ => "bytes".into(),
        }
    }
}

/// Lists inside lists are shown so deep.
const SHOWN_DEEP: u32 = 3;

fn describe_scalar(scalar: Scalar) -> String {
    match scalar {
        Scalar::Bool(x) => format!("bool {x}"),
        Scalar::I8(x) => format!("i8 {x}"),
        Scalar::I16(x) => format!("i16 {x}"),
        Scalar::I32(x) => format!("i32 {x}"),
        Scalar::I64(x) => format!("i64 {x}"),
        Scalar::U8(x) => format!("u8 {x}"),
        Scalar::U16(x) => format!("u16 {x}"),
        Scalar::U32(x) => format!("u32 {x}"),
        Scalar::U64(x) => format!("u64 {x}"),
        Scalar::F32(x) => format!("f32 {x}"),
        Scalar::F64(x) => format!("f64 {x}"),
    }
}

/// The elements of a list argument.
pub struct Elements<'a>(Source<'a>);

enum Source<'a> {
    Words(Args<'a>, u32),
    Values(std::slice::Iter<'a, Value>),
}

impl<'a> Iterator for Elements<'a> {
    type Item = Given<'a>;

    #[inline]
    fn next(&mut self) -> Option<Given<'a>> {
        match &mut self.0 {
            Source::Words(args, _) => args.next(),
            Source::Values(values) => values.next().map(Given::from),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = match &self.0 {
            Source::Words(args, count) => (*count as usize).saturating_sub(args.taken as usize),
            Source::Values(values) => values.len(),
        };
        (len, Some(len))
    }
}

impl ExactSizeIterator for Elements<'_> {}

/// The arguments of a call, taken one after the other.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    frame: &'a Frame<'a>,
    words: &'a [u32],
    taken: u32,
    function: Option<&'a dyn Function>,
}

impl<'a> Args<'a> {
    /// The arguments that `words` say; errors name `function`.
    #[inline]
    pub(crate) fn new(frame: &'a Frame<'a>, words: &'a [u32], function: Option<&'a dyn Function>) -> Self {
        Args { frame, words, taken: 0, function }
    }

    /// Takes the next argument as an `A`.
    ///
    /// # Errors
    /// A type error that names the argument's number and both types.
    #[inline]
    pub fn arg<A: Argument>(&mut self) -> Result<A> {
        let given = self.next();
        if A::COPIES
            && let (Some(given), Some(task)) = (given, self.frame.task)
        {
            task.claim(given.block_bytes())?;
        }
        given.and_then(A::take).ok_or_else(|| self.mismatch(short_name::<A>(), given))
    }

    #[cold]
    fn mismatch(&self, expected: String, given: Option<Given<'_>>) -> Error {
        let found = given.map_or_else(|| "no argument".into(), Given::describe);
        let function = self.function.map_or("a function", Function::name);
        Error::new(ErrorKind::Type, format!("argument {} of {function}: expected {expected}, found {found}", self.taken))
    }
}

impl<'a> Iterator for Args<'a> {
    type Item = Given<'a>;

    #[inline]
    fn next(&mut self) -> Option<Given<'a>> {
        self.taken += 1;
        let (first, rest) = self.words.split_first()?;
        let at = |values: &'a [Value], n: u32| values.get(n as usize).map(|value| Given(Kind::Value(value)));
        let (given, rest) = match Word::decode(*first) {
            Word::Key(n) => (at(self.frame.inputs, n)?, rest),
            Word::Literal(n) => (at(self.frame.literals, n)?, rest),
            Word::Stack(n) => (at(self.frame.stack, n)?, rest),
            Word::Scalar(kind) => {
                let (bits, rest) = rest.split_at_checked(2)?;
                let bits = u64::from(*bits.first()?) | u64::from(*bits.last()?) << 32;
                (Given(Kind::Scalar(scalar_from(kind, bits))), rest)
            }
            Word::List(count) => {
                let (len, rest) = rest.split_first()?;
                let (words, rest) = rest.split_at_checked(*len as usize)?;
                (Given(Kind::List(count, Args::new(self.frame, words, None))), rest)
            }
            Word::Step(_) | Word::Block(_) => return None,
        };
        self.words = rest;
        Some(given)
    }
}
