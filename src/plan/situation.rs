//! An engine as it stands, for planning: borrowed for the plan of a run, owned for plans of what might be.

use crate::policy::Kept;

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
    /// The bytes that wait at most to be used again, and those that do now.
    pub(crate) waiting: (u64, u64),
}

/// The same for later, with the tasks that stand for kept chunks, and those whose outputs stay.
pub(crate) struct OwnedSituation {
    base: u32,
    kept: Vec<(u32, Kept)>,
    workers: u32,
    io_threads: u32,
    waiting: (u64, u64),
    /// For each task that stands for a kept chunk, that chunk's number.
    pub(crate) numbers: Vec<u32>,
    /// The tasks whose outputs stay.
    pub(crate) keep: Vec<u32>,
}

impl OwnedSituation {
    pub(crate) fn new(situation: &Situation<'_>, numbers: Vec<u32>, keep: Vec<u32>) -> Self {
        let Situation { base, kept, workers, io_threads, waiting, .. } = *situation;
        OwnedSituation { base, kept: kept.to_vec(), workers, io_threads, waiting, numbers, keep }
    }

    /// The same engine with another bound.
    pub(crate) fn at(&self, bound: u64) -> Situation<'_> {
        let OwnedSituation { base, kept, workers, io_threads, waiting, .. } = self;
        Situation { bound, base: *base, kept, workers: *workers, io_threads: *io_threads, forecast: true, waiting: *waiting }
    }
}
