//! Runs a program over a block, tile by tile.
//!
//! A tile is a range of the output in C order. An input that lies in memory as the output does is read in place; a
//! scalar is laid out once; any other is gathered into a register for each tile.

use super::binary::execute;
use super::level::{Level, at_levels};
use super::number::{Plain, Register, by_float, by_size, view, view_mut};
use super::plan::{Plan, Source};
use super::program::Program;
use crate::{Error, ErrorKind, Result};
use chunkstore_store::{Block, BufferMut, DType};
use smallvec::SmallVec;
use std::sync::Arc;

/// What an input of a program is bound to.
#[derive(Clone, Debug)]
pub(crate) enum Argument<'a> {
    /// A block, broadcast against the output's shape as NumPy does: axes are aligned right, an extent of 1 is repeated.
    Block(&'a Block),
    /// An I64 whose value at output index `i` is `offset + sum(i[k] * strides[k])`; one stride per axis of the output.
    Index { offset: i64, strides: SmallVec<[i64; 4]> },
}

/// Runs `program` for every element of `shape` and writes the results to the beginning of `out`, in C order. A NaN in
/// a result of floating point type that was computed is always the same NaN.
///
/// # Errors
/// Shape where an argument cannot be broadcast, Type where its type is not the input's, Invalid where the number of
/// arguments is wrong or `out` is too short.
pub(crate) fn evaluate(program: &Program, shape: &[usize], arguments: &[Argument<'_>], out: &mut BufferMut) -> Result<()> {
    evaluate_at(Level::best(), program, shape, arguments, out)
}

/// [`evaluate`] at a CPU level.
pub(super) fn evaluate_at(level: Level, program: &Program, shape: &[usize], arguments: &[Argument<'_>], out: &mut [u8]) -> Result<()> {
    let mut runner = Runner::new(level, program, shape, arguments)?;
    let (total, item) = (runner.total, program.output().size());
    let out = total.checked_mul(item).and_then(|bytes| out.get_mut(..bytes)).ok_or_else(|| {
        Error::new(ErrorKind::Invalid, format!("the output buffer is too short for {shape:?} elements of {}", program.output()))
    })?;
    let tile = runner.tile;
    for (k, to) in out.chunks_mut((tile * item).max(1)).enumerate() {
        runner.run_into(k * tile, to);
    }
    Ok(())
}

/// Axes of an input as it is laid over the output, neighbours merged where they can be.
type Axes<T> = SmallVec<[(usize, T); 4]>;

/// Where an input comes from.
enum Binding<'a> {
    /// Elements in the order of the output.
    Straight(&'a [u8]),
    /// Laid out in this register, once.
    Constant(usize),
    /// Gathered into this register for each tile, unless a tile lies in one run.
    Gather { bytes: &'a [u8], axes: Axes<usize>, register: usize },
    /// Computed into this register for each tile.
    Index { offset: i64, axes: Axes<i64>, register: usize },
}

/// Where an argument of an instruction is for the current tile.
#[derive(Clone, Copy)]
enum Place {
    Register(usize),
    /// The byte of the input's block at which the tile begins.
    Block(usize),
}

/// A program bound to its arguments.
pub(super) struct Runner<'a> {
    level: Level,
    plan: Arc<Plan>,
    bindings: Vec<Binding<'a>>,
    places: Vec<Place>,
    constants: Vec<usize>,
    registers: Vec<Register>,
    /// The elements of the output, and of a tile.
    pub(super) total: usize,
    pub(super) tile: usize,
}

impl<'a> Runner<'a> {
    pub(super) fn new(level: Level, program: &Program, shape: &[usize], arguments: &[Argument<'a>]) -> Result<Self> {
        let plan = Arc::clone(program.plan());
        if arguments.len() != plan.inputs.len() {
            let message = format!("a program of {} inputs was given {} arguments", plan.inputs.len(), arguments.len());
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let total = if shape.contains(&0) { Some(0) } else { shape.iter().try_fold(1usize, |n, extent| n.checked_mul(*extent)) };
        let total = total.ok_or_else(|| Error::new(ErrorKind::Shape, format!("{shape:?} has too many elements")))?;
        let tile = plan.tile();
        let mut runner = Runner {
            level,
            registers: Vec::with_capacity(plan.registers()),
            bindings: Vec::with_capacity(arguments.len()),
            places: vec![Place::Block(0); arguments.len()],
            constants: Vec::with_capacity(plan.constants.len()),
            plan,
            total,
            tile,
        };
        // A block smaller than a tile needs smaller registers.
        let room = tile.min(total) * 8;
        for _ in 0..runner.plan.results {
            runner.registers.push(Register::new(room));
        }
        for k in 0..runner.plan.constants.len() {
            let (dtype, bits) = runner.plan.constants[k];
            let register = runner.lay_out(room, dtype, &bits.to_le_bytes());
            runner.constants.push(register);
        }
        for (k, argument) in arguments.iter().enumerate() {
            let binding = runner.bind(k, shape, argument, room)?;
            runner.bindings.push(binding);
        }
        Ok(runner)
    }

    /// A new register full of one little-endian value.
    fn lay_out(&mut self, room: usize, dtype: DType, value: &[u8]) -> usize {
        let mut register = Register::new(room);
        by_size!(dtype.size(), T, {
            let mut bytes = [0; size_of::<T>()];
            bytes.copy_from_slice(&value[..size_of::<T>()]);
            view_mut::<T>(register.bytes_mut()).fill(T::from_le_bytes(bytes));
        });
        self.registers.push(register);
        self.registers.len() - 1
    }

    /// A new register.
    fn empty(&mut self, room: usize) -> usize {
        self.registers.push(Register::new(room));
        self.registers.len() - 1
    }

    fn bind(&mut self, input: usize, shape: &[usize], argument: &Argument<'a>, room: usize) -> Result<Binding<'a>> {
        let expected = self.plan.inputs[input];
        let found = match argument {
            Argument::Block(block) => block.dtype(),
            Argument::Index { .. } => DType::I64,
        };
        if found != expected {
            return Err(Error::new(ErrorKind::Type, format!("input {input} of a program is {expected}, and was given {found}")));
        }
        match argument {
            Argument::Block(block) => {
                let mut strides: SmallVec<[usize; 4]> = smallvec::smallvec![0; shape.len()];
                let mut stride = 1;
                let fits = block.shape().len() <= shape.len();
                let aligned = fits
                    && block
                        .shape()
                        .iter()
                        .zip(&shape[shape.len() - block.shape().len()..])
                        .all(|(own, extent)| own == extent || *own == 1);
                if !aligned {
                    let message = format!("a block of shape {:?} cannot be broadcast to {shape:?}", block.shape());
                    return Err(Error::new(ErrorKind::Shape, message));
                }
                for (to, own) in strides.iter_mut().rev().zip(block.shape().iter().rev()) {
                    *to = if *own == 1 { 0 } else { stride };
                    stride *= own;
                }
                let axes = merge(shape, &strides);
                let bytes = block.bytes();
                Ok(match axes.as_slice() {
                    _ if self.total == 0 || !self.plan.used[input] => Binding::Straight(&[]),
                    [] | [(_, 0)] => Binding::Constant(self.lay_out(room, expected, bytes)),
                    [(_, 1)] => Binding::Straight(bytes),
                    _ => Binding::Gather { bytes, register: self.empty(room), axes },
                })
            }
            Argument::Index { offset, strides } => {
                if strides.len() != shape.len() {
                    let message = format!("an index has {} strides for {} axes", strides.len(), shape.len());
                    return Err(Error::new(ErrorKind::Shape, message));
                }
                if self.total == 0 || !self.plan.used[input] {
                    return Ok(Binding::Straight(&[]));
                }
                Ok(Binding::Index { offset: *offset, axes: merge_signed(shape, strides), register: self.empty(room) })
            }
        }
    }

    /// Makes the inputs ready for the tile of `len` elements from `start` on.
    fn prepare(&mut self, start: usize, len: usize) {
        for (k, binding) in self.bindings.iter().enumerate() {
            let item = self.plan.inputs[k].size();
            self.places[k] = match binding {
                Binding::Straight(_) => Place::Block(start * item),
                Binding::Constant(register) => Place::Register(*register),
                Binding::Gather { bytes, axes, register } => {
                    let &(extent, stride) = &axes[axes.len() - 1];
                    if stride == 1 && start % extent + len <= extent {
                        let (at, _) = locate(axes, start);
                        Place::Block(at * item)
                    } else {
                        by_size!(
                            item,
                            T,
                            gather(view::<T>(bytes), axes, start, view_mut::<T>(&mut self.registers[*register].bytes_mut()[..len * item]))
                        );
                        Place::Register(*register)
                    }
                }
                Binding::Index { offset, axes, register } => {
                    indices(self.level, *offset, axes, start, view_mut(&mut self.registers[*register].bytes_mut()[..len * 8]));
                    Place::Register(*register)
                }
            };
        }
    }

    /// The bytes of a value for the current tile of `len` elements; a register may have more.
    fn bytes(&self, source: Source, len: usize) -> &[u8] {
        let register = match source {
            Source::Register(register) => register,
            Source::Constant(constant) => self.constants[constant],
            Source::Input(input) => match (self.places[input], &self.bindings[input]) {
                (Place::Block(at), Binding::Straight(bytes) | Binding::Gather { bytes, .. }) => {
                    return &bytes[at..at + len * self.plan.inputs[input].size()];
                }
                (Place::Register(register), _) => register,
                (Place::Block(_), _) => return &[],
            },
        };
        self.registers[register].bytes()
    }

    /// Runs instruction `k` for a tile.
    fn step(&self, k: usize, len: usize, to: &mut [u8]) {
        let instruction = &self.plan.instructions[k];
        let arguments = instruction.arguments.map(|source| self.bytes(source, len));
        execute(self.level, instruction.code, instruction.dtype, arguments, to);
    }

    /// Runs the first `count` instructions, whose results stay in registers.
    fn steps(&mut self, count: usize, len: usize) {
        for k in 0..count {
            let (to, size) = (self.plan.instructions[k].to, self.plan.instructions[k].result.size());
            let mut register = std::mem::take(&mut self.registers[to]);
            self.step(k, len, &mut register.bytes_mut()[..len * size]);
            self.registers[to] = register;
        }
    }

    /// Runs the program for the tile from element `start` on that fills `out`.
    fn run_into(&mut self, start: usize, out: &mut [u8]) {
        let len = out.len() / self.plan.dtype.size();
        self.prepare(start, len);
        match self.plan.instructions.len() {
            0 => out.copy_from_slice(&self.bytes(self.plan.output, len)[..out.len()]),
            count => {
                self.steps(count - 1, len);
                self.step(count - 1, len, out);
                by_float!(self.plan.dtype, T, one_nan(self.level, view_mut::<T>(out)));
            }
        }
    }

    /// Runs the program for the tile of `len` elements from `start` on, and lends the results.
    pub(super) fn run(&mut self, start: usize, len: usize) -> &[u8] {
        self.prepare(start, len);
        self.steps(self.plan.instructions.len(), len);
        &self.bytes(self.plan.output, len)[..len * self.plan.dtype.size()]
    }
}

/// Merges neighbouring axes that are run through with one stride; axes of extent 1 vanish. The last axis of a block that
/// is not a scalar then has stride 0 or 1.
fn merge(shape: &[usize], strides: &[usize]) -> Axes<usize> {
    let mut axes: Axes<usize> = SmallVec::new();
    for (&extent, &stride) in shape.iter().zip(strides) {
        if extent == 1 {
            continue;
        }
        match axes.last_mut() {
            Some((outer, step)) if *step == stride * extent => (*outer, *step) = (*outer * extent, stride),
            _ => axes.push((extent, stride)),
        }
    }
    axes
}

/// [`merge`] for strides of any sign.
fn merge_signed(shape: &[usize], strides: &[i64]) -> Axes<i64> {
    let mut axes: Axes<i64> = SmallVec::new();
    for (&extent, &stride) in shape.iter().zip(strides) {
        if extent == 1 {
            continue;
        }
        match axes.last_mut() {
            Some((outer, step)) if *step == stride.wrapping_mul(extent as i64) => (*outer, *step) = (*outer * extent, stride),
            _ => axes.push((extent, stride)),
        }
    }
    if axes.is_empty() {
        axes.push((1, 0));
    }
    axes
}

/// Where element `start` of the output is in an input: its offset, and what is left of its run.
fn locate(axes: &[(usize, usize)], start: usize) -> (usize, usize) {
    let (mut rest, mut at, mut left) = (start, 0, 1);
    for (k, &(extent, stride)) in axes.iter().enumerate().rev() {
        let index = rest % extent;
        rest /= extent;
        at += index * stride;
        if k + 1 == axes.len() {
            left = extent - index;
        }
    }
    (at, left)
}

/// Lays out the elements of an input for a tile.
fn gather<T: Plain>(from: &[T], axes: &[(usize, usize)], start: usize, to: &mut [T]) {
    let stride = axes.last().map_or(0, |axis| axis.1);
    let mut done = 0;
    while done < to.len() {
        let (at, left) = locate(axes, start + done);
        let run = left.min(to.len() - done);
        let to = &mut to[done..done + run];
        if stride == 0 {
            to.fill(from[at]);
        } else {
            to.copy_from_slice(&from[at..at + run]);
        }
        done += run;
    }
}

#[inline(always)]
fn count_loop(first: i64, step: i64, to: &mut [i64]) {
    for (k, to) in to.iter_mut().enumerate() {
        *to = first.wrapping_add(step.wrapping_mul(k as i64));
    }
}
at_levels!(count, count_loop, [] [], (first: i64, step: i64, to: &mut [i64]));

/// Lays out the values of an index for a tile.
fn indices(level: Level, offset: i64, axes: &[(usize, i64)], start: usize, to: &mut [i64]) {
    let mut done = 0;
    while done < to.len() {
        let (mut rest, mut value, mut left, mut step) = (start + done, offset, 1, 0);
        for (k, &(extent, stride)) in axes.iter().enumerate().rev() {
            let index = rest % extent;
            rest /= extent;
            value = value.wrapping_add(stride.wrapping_mul(index as i64));
            if k + 1 == axes.len() {
                (left, step) = (extent - index, stride);
            }
        }
        let run = left.min(to.len() - done);
        count(level, value, step, &mut to[done..done + run]);
        done += run;
    }
}

/// A float, as far as its one NaN is concerned.
pub(super) trait HasNan: Plain {
    const NAN: Self;
}
impl HasNan for f32 {
    const NAN: Self = f32::NAN;
}
impl HasNan for f64 {
    const NAN: Self = f64::NAN;
}

/// Makes every NaN the same: which of two NaN an operation hands on differs between CPU levels.
#[inline(always)]
#[expect(clippy::eq_op, reason = "that is how NaN is told")]
fn one_nan_loop<T: HasNan>(values: &mut [T]) {
    let mut any = false;
    for value in values.iter() {
        any |= *value != *value;
    }
    if any {
        for value in values {
            *value = if *value != *value { T::NAN } else { *value };
        }
    }
}
at_levels!(one_nan, one_nan_loop, [T] [T: HasNan], (values: &mut [T]));
