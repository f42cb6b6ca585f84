//! How runs of values are reduced: in segments of 1024 values, each with 32 accumulators, merged in a fixed order.
//!
//! ```text
//! a run       v0 .................. v1023 | v1024 ............... v2047 | ...
//! a segment   lane k: v[k], v[k + 32], v[k + 64] ...    then lanes 0-15 + 16-31, 0-7 + 8-15 ...
//! segments    merged in pairs, pairs in pairs (so that errors grow with the logarithm of the length)
//! ```
//! Nothing here depends on the size of tiles, so the bits depend on the values and their shape only.

use super::binary::{maximum, minimum};
use super::level::{Level, at_levels};
use super::number::Plain;
use super::plan::SEGMENT;

/// The accumulators of a segment.
const LANES: usize = 32;

/// A reduction of values of type `T` to partials that can be merged.
pub(super) trait Fold: 'static {
    type T: Plain;
    /// What is known of a run.
    type Part: Copy;
    /// What is known of no values.
    const EMPTY: Self::Part;
    /// The rows of `T` that a partial takes in a partial block.
    const ROWS: usize;

    /// Reduces at most a segment.
    fn segment(values: &[Self::T]) -> Self::Part;
    /// Merges a run with the one after it.
    fn merge(a: Self::Part, b: Self::Part) -> Self::Part;
    /// Merges a partial into element `at` of the totals.
    #[inline(always)]
    fn add(totals: &mut Totals<'_, Self::T>, at: usize, part: Self::Part) {
        Self::set(totals, at, Self::merge(Self::get(totals, at), part));
    }
    /// Reduces the columns of at most a segment (or of a single row) and merges them into the totals from `at` on. Rows
    /// are `width` long; the last may be shorter. `local` has room for three segments.
    fn columns(values: &[Self::T], width: usize, local: &mut [Self::T], totals: &mut Totals<'_, Self::T>, at: usize);
    /// Merges the partials of a block, row after row, into the totals.
    fn absorb(level: Level, partials: &[Self::T], totals: &mut Totals<'_, Self::T>);
    /// Writes element `at` of the totals.
    fn set(totals: &mut Totals<'_, Self::T>, at: usize, part: Self::Part);
    /// Element `at` of the totals.
    fn get(totals: &Totals<'_, Self::T>, at: usize) -> Self::Part;
}

/// The rows of a partial block; a fold of one row uses the first.
pub(super) struct Totals<'a, T>(pub(super) [&'a mut [T]; 3]);

/// An associative operation on values of one type.
pub(super) trait Merge<T>: 'static {
    const IDENTITY: T;
    fn apply(a: T, b: T) -> T;
}

pub(super) struct Sum;
pub(super) struct Prod;
pub(super) struct Min;
pub(super) struct Max;
pub(super) struct Any;
pub(super) struct All;

macro_rules! merges {
    ($($op:ident $t:ty: $identity:expr, $apply:expr;)*) => { $(
        impl Merge<$t> for $op {
            const IDENTITY: $t = $identity;
            #[inline(always)]
            fn apply(a: $t, b: $t) -> $t {
                $apply(a, b)
            }
        }
    )* };
}
merges!(
    Sum u64: 0, u64::wrapping_add;
    Sum f64: 0.0, |a: f64, b: f64| a + b;
    Prod u64: 1, u64::wrapping_mul;
    Prod f64: 1.0, |a: f64, b: f64| a * b;
    Any u8: 0, |a: u8, b: u8| a | b;
    All u8: 1, |a: u8, b: u8| a & b;
);
macro_rules! extremes {
    ($($t:ident $least:expr, $greatest:expr;)*) => { $(
        merges!(Min $t: $greatest, minimum; Max $t: $least, maximum;);
    )* };
}
extremes!(
    i8 i8::MIN, i8::MAX; i16 i16::MIN, i16::MAX; i32 i32::MIN, i32::MAX; i64 i64::MIN, i64::MAX;
    u8 u8::MIN, u8::MAX; u16 u16::MIN, u16::MAX; u32 u32::MIN, u32::MAX; u64 u64::MIN, u64::MAX;
    f32 f32::NEG_INFINITY, f32::INFINITY; f64 f64::NEG_INFINITY, f64::INFINITY;
);

/// Folds at most a segment with the lanes described above; `lift` is applied to every value.
#[inline(always)]
fn lanes<T: Plain, M: Merge<T>>(values: &[T], lift: impl Fn(T) -> T) -> T {
    let Some((first, rest)) = values.split_first_chunk::<LANES>() else {
        return values.iter().fold(M::IDENTITY, |sum, value| M::apply(sum, lift(*value)));
    };
    let mut lanes = *first;
    for lane in &mut lanes {
        *lane = lift(*lane);
    }
    let (chunks, tail) = rest.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = M::apply(*lane, lift(*value));
        }
    }
    for (lane, value) in lanes.iter_mut().zip(tail) {
        *lane = M::apply(*lane, lift(*value));
    }
    let mut half = LANES / 2;
    while half > 0 {
        for k in 0..half {
            lanes[k] = M::apply(lanes[k], lanes[k + half]);
        }
        half /= 2;
    }
    lanes[0]
}

/// A fold whose partials are single values.
pub(super) struct Simple<T, M>(std::marker::PhantomData<(T, M)>);

impl<T: Plain, M: Merge<T>> Fold for Simple<T, M> {
    type T = T;
    type Part = T;
    const EMPTY: T = M::IDENTITY;
    const ROWS: usize = 1;

    #[inline(always)]
    fn segment(values: &[T]) -> T {
        lanes::<T, M>(values, |value| value)
    }

    #[inline(always)]
    fn merge(a: T, b: T) -> T {
        M::apply(a, b)
    }

    fn absorb(level: Level, partials: &[T], totals: &mut Totals<'_, T>) {
        columns::<Self>(level, partials, partials.len().max(1), partials.len().max(1), &mut [], totals, 0);
    }

    #[inline(always)]
    fn set(totals: &mut Totals<'_, T>, at: usize, part: T) {
        totals.0[0][at] = part;
    }

    #[inline(always)]
    fn columns(values: &[T], width: usize, local: &mut [T], totals: &mut Totals<'_, T>, at: usize) {
        let totals = &mut totals.0[0][at..at + width.min(values.len())];
        if values.len() <= width {
            for (total, value) in totals.iter_mut().zip(values) {
                *total = M::apply(*total, *value);
            }
            return;
        }
        let local = &mut local[..width];
        let (first, rest) = values.split_at(width);
        local.copy_from_slice(first);
        for row in rest.chunks(width) {
            for (sum, value) in local.iter_mut().zip(row) {
                *sum = M::apply(*sum, *value);
            }
        }
        for (total, sum) in totals.iter_mut().zip(local) {
            *total = M::apply(*total, *sum);
        }
    }

    #[inline(always)]
    fn get(totals: &Totals<'_, T>, at: usize) -> T {
        totals.0[0][at]
    }
}

/// Count, sum and sum of squared deviations from the mean, the last only if `SPREAD`.
pub(super) struct Moments<const SPREAD: bool>;

/// Merges two runs: Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample
/// variances" (1979).
#[inline(always)]
fn chan<const SPREAD: bool>([n, sum, spread]: [f64; 3], [m, more, other]: [f64; 3]) -> [f64; 3] {
    let count = n + m;
    if !SPREAD {
        return [count, sum + more, 0.0];
    }
    let between = more / m - sum / n;
    let merged = (spread + other) + between * between * (n * m / count);
    // Where one has no values there is no difference of means.
    [count, sum + more, if (n == 0.0) | (m == 0.0) { spread + other } else { merged }]
}

impl<const SPREAD: bool> Fold for Moments<SPREAD> {
    type T = f64;
    type Part = [f64; 3];
    const EMPTY: [f64; 3] = [0.0; 3];
    const ROWS: usize = 3;

    #[inline(always)]
    fn segment(values: &[f64]) -> [f64; 3] {
        let (count, sum) = (values.len() as f64, lanes::<f64, Sum>(values, |value| value));
        if !SPREAD {
            return [count, sum, 0.0];
        }
        let mean = sum / count;
        [count, sum, lanes::<f64, Sum>(values, |value| (value - mean) * (value - mean))]
    }

    #[inline(always)]
    fn merge(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
        chan::<SPREAD>(a, b)
    }

    fn absorb(_: Level, partials: &[f64], totals: &mut Totals<'_, f64>) {
        let outputs = partials.len() / 3;
        for at in 0..outputs {
            Self::add(totals, at, [partials[at], partials[outputs + at], partials[2 * outputs + at]]);
        }
    }

    #[inline(always)]
    fn set(totals: &mut Totals<'_, f64>, at: usize, [count, sum, spread]: [f64; 3]) {
        (totals.0[0][at], totals.0[1][at], totals.0[2][at]) = (count, sum, spread);
    }

    #[inline(always)]
    fn columns(values: &[f64], width: usize, local: &mut [f64], totals: &mut Totals<'_, f64>, at: usize) {
        let [counts, sums, spreads] = &mut totals.0;
        let used = width.min(values.len());
        let (counts, sums, spreads) = (&mut counts[at..at + used], &mut sums[at..at + used], &mut spreads[at..at + used]);
        if values.len() <= width {
            for (((count, sum), spread), value) in counts.iter_mut().zip(sums).zip(spreads).zip(values) {
                // A value's own spread is 0, but that of an infinite one is not a number.
                let own = if value.is_finite() { 0.0 } else { f64::NAN };
                [*count, *sum, *spread] = chan::<SPREAD>([*count, *sum, *spread], [1.0, *value, own]);
            }
            return;
        }
        let (own, local) = local.split_at_mut(width);
        let (means, local) = local.split_at_mut(width);
        let deviations = &mut local[..width];
        let (first, rest) = values.split_at(width);
        own.copy_from_slice(first);
        for row in rest.chunks(width) {
            for (sum, value) in own.iter_mut().zip(row) {
                *sum += *value;
            }
        }
        // The columns of a shorter last row have one value more than the others.
        let (rows, longer) = ((values.len() / width) as f64, values.len() % width);
        deviations.fill(0.0);
        if SPREAD {
            for (k, (mean, sum)) in means.iter_mut().zip(&*own).enumerate() {
                *mean = *sum / if k < longer { rows + 1.0 } else { rows };
            }
            for row in values.chunks(width) {
                for ((spread, value), mean) in deviations.iter_mut().zip(row).zip(&*means) {
                    *spread += (*value - *mean) * (*value - *mean);
                }
            }
        }
        for k in 0..width {
            let part = [if k < longer { rows + 1.0 } else { rows }, own[k], deviations[k]];
            [counts[k], sums[k], spreads[k]] = chan::<SPREAD>([counts[k], sums[k], spreads[k]], part);
        }
    }

    #[inline(always)]
    fn get(totals: &Totals<'_, f64>, at: usize) -> [f64; 3] {
        [totals.0[0][at], totals.0[1][at], totals.0[2][at]]
    }
}

#[inline(always)]
fn rows_loop<F: Fold>(values: &[F::T], len: usize, parts: &mut [F::Part]) {
    for (part, row) in parts.iter_mut().zip(values.chunks(len)) {
        *part = F::segment(row);
    }
}
at_levels!(
    /// Reduces each row of `len` values, at most a segment; the last may be shorter.
    rows, rows_loop, [F] [F: Fold], (values: &[F::T], len: usize, parts: &mut [F::Part]));

#[inline(always)]
fn columns_loop<F: Fold>(values: &[F::T], width: usize, step: usize, local: &mut [F::T], totals: &mut Totals<'_, F::T>, at: usize) {
    for segment in values.chunks(step) {
        F::columns(segment, width, local, totals, at);
    }
}
at_levels!(
    /// Reduces the columns of rows `width` long, `step` values at a time, into the totals from `at` on.
    columns, columns_loop, [F] [F: Fold],
    (values: &[F::T], width: usize, step: usize, local: &mut [F::T], totals: &mut Totals<'_, F::T>, at: usize));

/// Merges the segments of a run: the stack holds runs of 2ᵏ segments, the longest first.
pub(super) struct Pairwise<F: Fold> {
    stack: Vec<F::Part>,
    pushed: usize,
}

impl<F: Fold> Pairwise<F> {
    pub(super) fn new() -> Self {
        Pairwise { stack: Vec::new(), pushed: 0 }
    }

    /// Adds the next segment.
    pub(super) fn push(&mut self, mut part: F::Part) {
        self.pushed += 1;
        for _ in 0..self.pushed.trailing_zeros() {
            if let Some(before) = self.stack.pop() {
                part = F::merge(before, part);
            }
        }
        self.stack.push(part);
    }

    /// What is known of the run; afterwards the next run can begin.
    pub(super) fn take(&mut self) -> F::Part {
        self.pushed = 0;
        let last = self.stack.pop().unwrap_or(F::EMPTY);
        let mut total = last;
        while let Some(before) = self.stack.pop() {
            total = F::merge(before, total);
        }
        total
    }
}

/// The values of a segment of columns: whole rows, as many as there is room for, at least one.
pub(super) fn column_step(width: usize) -> usize {
    (SEGMENT / width).max(1) * width
}
