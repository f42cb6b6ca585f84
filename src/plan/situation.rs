//! An engine as it stands, for planning: borrowed for the plan of a run, owned for plans of what might be.

use super::SizeRange;
use crate::policy::{Kept, Spare};

/// What planning starts from.
#[derive(Clone, Copy)]
pub(crate) struct Situation<'a> {
    /// The bytes that tasks may use.
    pub(crate) bound: u64,
    /// The number that the first task will have.
    pub(crate) base: u32,
    /// Chunks kept from before, with their numbers.
    pub(crate) kept: &'a [(u32, Kept)],
    /// Workers that will run.
    pub(crate) workers: u32,
    /// Threads that will load and write.
    pub(crate) io_threads: u32,
    /// Whether a forecast is wanted even where everything fits at once.
    pub(crate) forecast: bool,
    /// Whether all sizes are exact, and no task decides what comes next.
    pub(crate) exact: bool,
    /// What is booked beside buffers in use.
    pub(crate) spare: Spare,
    /// Where sizes are not exact: what is known of each task's.
    pub(crate) sizes: Option<&'a [SizeRange]>,
}

/// The same for later, with the tasks that stand for kept chunks, and those whose outputs stay.
pub(crate) struct OwnedSituation {
    base: u32,
    kept: Vec<(u32, Kept)>,
    workers: u32,
    io_threads: u32,
    exact: bool,
    spare: Spare,
    /// For each task that stands for a kept chunk, that chunk's number.
    pub(crate) numbers: Vec<u32>,
    /// The tasks whose outputs stay.
    pub(crate) keep: Vec<u32>,
}

impl OwnedSituation {
    pub(crate) fn new(situation: &Situation<'_>, numbers: Vec<u32>, keep: Vec<u32>) -> Self {
        let Situation { base, kept, workers, io_threads, exact, spare, .. } = *situation;
        OwnedSituation { base, kept: kept.to_vec(), workers, io_threads, exact, spare, numbers, keep }
    }

    /// The same engine with another bound.
    pub(crate) fn at(&self, bound: u64) -> Situation<'_> {
        let OwnedSituation { base, kept, workers, io_threads, exact, spare, .. } = self;
        let (workers, io_threads) = (*workers, *io_threads);
        Situation { bound, base: *base, kept, workers, io_threads, forecast: true, exact: *exact, spare: *spare, sizes: None }
    }
}
