//! Reduces a program's output over axes, without materialising it.
//!
//! Neighbouring axes of one kind are merged, so that kept and reduced ones alternate. What is left is a sequence of
//! two-dimensional pieces, in the order of memory:
//! ```text
//! last axis reduced:  kept x run        each run is reduced in segments
//! last axis kept:     rows x width      rows are added to each other; narrow ones several at a time
//! ```
//! and pieces that belong to the same outputs are merged in order.

use super::fold::{All, Any, Fold, Max, Min, Moments, Pairwise, Prod, Simple, Sum, Totals, column_step, columns, rows};
use super::level::Level;
use super::number::{by_any, by_float, view, view_mut};
use super::op::UnaryOp;
use super::plan::SEGMENT;
use super::program::Program;
use super::run::{Argument, Runner, one_nan};
use crate::{Error, ErrorKind, Result};
use chunkstore_store::{BufferMut, DType};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

/// A reduction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum ReduceOp {
    Sum,
    Prod,
    /// NaN if any is.
    Min,
    /// NaN if any is.
    Max,
    Any,
    All,
    /// Count, sum and sum of squared deviations from the mean (0 where not `spread`).
    Moments {
        spread: bool,
    },
}

impl ReduceOp {
    /// The type of a partial result for elements of type `input`: Sum and Prod widen to 64 bits, Min and Max keep the
    /// type, Any and All give truth values, Moments F64. `None` where it is not defined.
    pub(crate) fn partial_dtype(self, input: DType) -> Option<DType> {
        Some(match self {
            ReduceOp::Sum | ReduceOp::Prod => match input {
                DType::Bool | DType::I8 | DType::I16 | DType::I32 | DType::I64 => DType::I64,
                DType::U8 | DType::U16 | DType::U32 | DType::U64 => DType::U64,
                DType::F32 | DType::F64 => DType::F64,
            },
            ReduceOp::Min | ReduceOp::Max => input,
            ReduceOp::Any | ReduceOp::All => DType::Bool,
            ReduceOp::Moments { .. } => DType::F64,
        })
    }

    /// The extent of the leading axis that a partial block has before those of the shape, if it has one.
    pub(crate) fn leading(self) -> Option<usize> {
        matches!(self, ReduceOp::Moments { .. }).then_some(3)
    }
}

/// Reduces the output of `program` over the axes of `shape` where `mask` is true. `out` gets the partial block in C
/// order: the shape with reduced axes of extent 1 (Moments: with an axis of 3 in front).
///
/// # Errors
/// As [`super::evaluate`]; Shape where Min or Max meets no elements.
pub(crate) fn reduce(
    op: ReduceOp,
    program: &Program,
    shape: &[usize],
    arguments: &[Argument<'_>],
    mask: &[bool],
    out: &mut BufferMut,
) -> Result<()> {
    reduce_at(Level::best(), op, program, shape, arguments, mask, out)
}

/// [`reduce`] at a CPU level.
pub(super) fn reduce_at(
    level: Level,
    op: ReduceOp,
    program: &Program,
    shape: &[usize],
    arguments: &[Argument<'_>],
    mask: &[bool],
    out: &mut [u8],
) -> Result<()> {
    if mask.len() != shape.len() {
        return Err(Error::new(ErrorKind::Shape, format!("a mask of {} axes does not go with {shape:?}", mask.len())));
    }
    // Elements are widened first, so that few kinds of accumulators suffice.
    let dtype = program.output();
    let partial = op.partial_dtype(dtype).ok_or_else(|| Error::new(ErrorKind::Type, format!("{op:?} is not defined for {dtype}")))?;
    let program = program.then(UnaryOp::Cast(partial)).ok_or_else(|| Error::new(ErrorKind::Type, format!("{op:?} of {dtype}")))?;
    let grid = Grid::new(shape, mask);
    let mut runner = Runner::new(level, &program, shape, arguments)?;
    if grid.outputs > 0 && runner.total == 0 && matches!(op, ReduceOp::Min | ReduceOp::Max) {
        return Err(Error::new(ErrorKind::Shape, format!("{op:?} over no elements (shape {shape:?}) has no value")));
    }
    dispatch(op, partial, Sweep { level, runner: &mut runner, grid: &grid, out })?;
    let count = grid.outputs * op.leading().unwrap_or(1);
    by_float!(partial, T, one_nan(level, &mut view_mut::<T>(out)[..count]));
    Ok(())
}

/// What is done for a fold once its type is known.
pub(super) trait Visit {
    fn visit<F: Fold>(self) -> Result<()>;
}

/// Calls the visitor with the fold of an operation on partials of type `dtype`.
pub(super) fn dispatch(op: ReduceOp, dtype: DType, visitor: impl Visit) -> Result<()> {
    match (op, dtype) {
        (ReduceOp::Sum, DType::F64) => visitor.visit::<Simple<f64, Sum>>(),
        (ReduceOp::Sum, DType::I64 | DType::U64) => visitor.visit::<Simple<u64, Sum>>(),
        (ReduceOp::Prod, DType::F64) => visitor.visit::<Simple<f64, Prod>>(),
        (ReduceOp::Prod, DType::I64 | DType::U64) => visitor.visit::<Simple<u64, Prod>>(),
        (ReduceOp::Any, DType::Bool) => visitor.visit::<Simple<u8, Any>>(),
        (ReduceOp::All, DType::Bool) => visitor.visit::<Simple<u8, All>>(),
        (ReduceOp::Moments { spread: true }, DType::F64) => visitor.visit::<Moments<true>>(),
        (ReduceOp::Moments { spread: false }, DType::F64) => visitor.visit::<Moments<false>>(),
        (ReduceOp::Min, _) => by_any!(dtype, T, visitor.visit::<Simple<T, Min>>()),
        (ReduceOp::Max, _) => by_any!(dtype, T, visitor.visit::<Simple<T, Max>>()),
        _ => Err(Error::new(ErrorKind::Type, format!("{op:?} has no partials of {dtype}"))),
    }
}

/// The axes of a reduction, merged.
struct Grid {
    /// The axes before the last two, outermost first: extent, and the step in the outputs (0 if reduced).
    outer: SmallVec<[(usize, usize); 4]>,
    /// Whether the last axis is reduced.
    runs: bool,
    /// The last axis.
    width: usize,
    /// The one before it, of the other kind.
    height: usize,
    outputs: usize,
}

impl Grid {
    fn new(shape: &[usize], mask: &[bool]) -> Grid {
        let mut merged: SmallVec<[(usize, bool); 4]> = SmallVec::new();
        for (&extent, &reduced) in shape.iter().zip(mask) {
            match merged.last_mut() {
                _ if extent == 1 => {}
                Some((outer, kind)) if *kind == reduced => *outer *= extent,
                _ => merged.push((extent, reduced)),
            }
        }
        let (width, runs) = merged.pop().unwrap_or((1, true));
        let (height, _) = merged.pop().unwrap_or((1, !runs));
        let mut step = if runs { height } else { width };
        let mut outer: SmallVec<[(usize, usize); 4]> = SmallVec::new();
        for (extent, reduced) in merged.into_iter().rev() {
            outer.push((extent, if reduced { 0 } else { step }));
            step *= if reduced { 1 } else { extent };
        }
        outer.reverse();
        Grid { outer, runs, width, height, outputs: step }
    }

    /// The first output of a two-dimensional piece.
    fn base(&self, piece: usize) -> usize {
        let (mut rest, mut base) = (piece, 0);
        for &(extent, step) in self.outer.iter().rev() {
            base += rest % extent * step;
            rest /= extent;
        }
        base
    }
}

/// The totals in the bytes of a partial block of `outputs` elements, with all rows that the fold has.
pub(super) fn totals<F: Fold>(bytes: &mut [u8], outputs: usize) -> Result<Totals<'_, F::T>> {
    let values = view_mut::<F::T>(bytes);
    if values.len() < outputs * F::ROWS {
        return Err(Error::new(ErrorKind::Invalid, format!("the output buffer is too short for {outputs} partials")));
    }
    let (first, rest) = values.split_at_mut(outputs);
    let (second, rest) = rest.split_at_mut(if F::ROWS > 1 { outputs } else { 0 });
    let (third, _) = rest.split_at_mut(if F::ROWS > 2 { outputs } else { 0 });
    Ok(Totals([first, second, third]))
}

/// A reduction under way.
struct Sweep<'s, 'a> {
    level: Level,
    runner: &'s mut Runner<'a>,
    grid: &'s Grid,
    out: &'s mut [u8],
}

impl Visit for Sweep<'_, '_> {
    fn visit<F: Fold>(self) -> Result<()> {
        let Sweep { level, runner, grid, out } = self;
        let mut totals = totals::<F>(out, grid.outputs)?;
        for at in 0..grid.outputs {
            F::set(&mut totals, at, F::EMPTY);
        }
        match () {
            _ if runner.total == 0 => {}
            _ if grid.runs && grid.width <= SEGMENT => short_runs::<F>(level, runner, grid, &mut totals),
            _ if grid.runs => long_runs::<F>(level, runner, grid, &mut totals),
            _ => rows_and_columns::<F>(level, runner, grid, &mut totals),
        }
        Ok(())
    }
}

/// Runs of at most a segment, many to a tile.
fn short_runs<F: Fold>(level: Level, runner: &mut Runner<'_>, grid: &Grid, totals: &mut Totals<'_, F::T>) {
    let (runs, together) = (runner.total / grid.width, runner.tile / grid.width);
    let mut parts = vec![F::EMPTY; together.min(runs)];
    for first in (0..runs).step_by(together) {
        let count = together.min(runs - first);
        rows::<F>(level, view(runner.run(first * grid.width, count * grid.width)), grid.width, &mut parts[..count]);
        let mut done = 0;
        while done < count {
            let (piece, k) = ((first + done) / grid.height, (first + done) % grid.height);
            let (base, next) = (grid.base(piece), (grid.height - k).min(count - done));
            for (at, part) in parts[done..done + next].iter().enumerate() {
                F::add(totals, base + k + at, *part);
            }
            done += next;
        }
    }
}

/// Runs of several segments, one after the other.
fn long_runs<F: Fold>(level: Level, runner: &mut Runner<'_>, grid: &Grid, totals: &mut Totals<'_, F::T>) {
    let tile = runner.tile;
    let mut parts = vec![F::EMPTY; tile / SEGMENT];
    let mut segments = Pairwise::<F>::new();
    for run in 0..runner.total / grid.width {
        for at in (0..grid.width).step_by(tile) {
            let len = tile.min(grid.width - at);
            let count = len.div_ceil(SEGMENT);
            rows::<F>(level, view(runner.run(run * grid.width + at, len)), SEGMENT, &mut parts[..count]);
            for part in &parts[..count] {
                segments.push(*part);
            }
        }
        F::add(totals, grid.base(run / grid.height) + run % grid.height, segments.take());
    }
}

/// Rows that are added to each other.
fn rows_and_columns<F: Fold>(level: Level, runner: &mut Runner<'_>, grid: &Grid, totals: &mut Totals<'_, F::T>) {
    let (tile, piece, width) = (runner.tile, grid.height * grid.width, grid.width);
    let mut local = vec![F::T::default(); 3 * SEGMENT];
    if width > tile {
        for row in 0..runner.total / width {
            let base = grid.base(row / grid.height);
            for at in (0..width).step_by(tile) {
                let len = tile.min(width - at);
                columns::<F>(level, view(runner.run(row * width + at, len)), len, len, &mut local, totals, base + at);
            }
        }
        return;
    }
    // Narrow rows are taken several at a time, which are added to each other in the end.
    let several = if width < NARROW { (NARROW / width).min(grid.height) } else { 1 };
    let wide = several * width;
    let step = column_step(wide);
    let mut side: [Vec<F::T>; 3] = std::array::from_fn(|row| vec![F::T::default(); if several > 1 && row < F::ROWS { wide } else { 0 }]);
    let mut piece_done = |values: &[F::T], index: usize, first: bool, last: bool, totals: &mut Totals<'_, F::T>| {
        let base = grid.base(index);
        if several == 1 {
            columns::<F>(level, values, wide, step, &mut local, totals, base);
            return;
        }
        let [a, b, c] = &mut side;
        let mut own = Totals([a, b, c]);
        if first {
            for at in 0..wide {
                F::set(&mut own, at, F::EMPTY);
            }
        }
        columns::<F>(level, values, wide, step, &mut local, &mut own, 0);
        if last {
            for at in 0..wide {
                F::add(totals, base + at % width, F::get(&own, at));
            }
        }
    };
    let pieces = runner.total / piece;
    if piece <= tile {
        let together = tile / piece;
        for first in (0..pieces).step_by(together) {
            let count = together.min(pieces - first);
            let values = view(runner.run(first * piece, count * piece));
            for (k, values) in values.chunks(piece).enumerate() {
                piece_done(values, first + k, true, true, totals);
            }
        }
    } else {
        let chunk = tile / step * step;
        for index in 0..pieces {
            for at in (0..piece).step_by(chunk) {
                let len = chunk.min(piece - at);
                piece_done(view(runner.run(index * piece + at, len)), index, at == 0, at + len == piece, totals);
            }
        }
    }
}

/// The width below which rows are taken several at a time.
const NARROW: usize = 64;
