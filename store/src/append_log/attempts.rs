//! Which attempts count.
//!
//! Every use of an attempt by a writer is an *instance*, with a number of its own. An instance is open, committed or dead. Of the
//! committed instances of a task one is *live*: that of the highest attempt; of equal ones, the one that was committed last.
//! Entries count where their instance is live, and was committed after their partition was last deleted:
//!
//! ```text
//! open --commit--> live --a higher one of the same task is committed--> dead
//!   `---abort, or commit when a higher one is live--------------------->'
//! ```

use super::attempt::{Attempt, Kind};
use super::sizes::{Counts, LogSizes};
use crate::Result;
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::Arc;

/// An instance of any writer: the number of the writer in the table, and its own.
pub(super) type Instance = (u32, u64);

/// The live instances, and the number of the commit of each.
pub(super) type Live = FxHashMap<Instance, u64>;

/// The number of what is visible without being committed yet.
pub(super) const OPEN: u64 = u64::MAX;

/// Which of two commits of a task counts: attempt, time, id of the writer, instance.
type Rank = (u32, u64, u64, u64);

#[derive(Debug, Clone)]
struct Winner {
    rank: Rank,
    instance: Instance,
}

/// A commit, as it stands in an index.
#[derive(Debug, Clone)]
pub(super) struct Commit {
    pub(super) attempt: Attempt,
    pub(super) instance: u64,
    /// The number of the commit among those of its writer.
    pub(super) number: u64,
    /// Nanoseconds since 1970.
    pub(super) time: u64,
    pub(super) counts: Counts,
}

#[derive(Debug, Default)]
pub(super) struct Attempts {
    winners: FxHashMap<(Kind, u64), Winner>,
    pub(super) live: Arc<Live>,
    /// The instances of this log itself that do not count and never will.
    pub(super) dead: Arc<FxHashSet<u64>>,
    counts: FxHashMap<Instance, Counts>,
    /// For each partition, the last commit of each writer that was deleted there.
    covered: FxHashMap<u32, Vec<(u32, u64)>>,
    pub(super) totals: Vec<LogSizes>,
    /// The bytes of memory of what is known of commits, about.
    pub(super) bytes: u64,
}

/// What a commit takes in memory beside its packed counts: an entry in each of three tables.
const COMMIT_BYTES: u64 = 192;

impl Attempts {
    pub(super) fn new(partitions: u32) -> Self {
        Attempts { totals: vec![LogSizes::default(); partitions as usize], ..Attempts::default() }
    }

    /// The commits that are deleted in a partition.
    pub(super) fn covered(&self, partition: u32) -> &[(u32, u64)] {
        self.covered.get(&partition).map_or(&[], Vec::as_slice)
    }

    /// Takes a commit in. Whether it is the one that counts for its task. Where `counted`, the totals have it already.
    pub(super) fn commit(&mut self, (writer, id): (u32, u64), commit: &Commit, counted: bool) -> Result<bool> {
        let instance = (writer, commit.instance);
        if commit.attempt.kind != Kind::Loose {
            let rank = (commit.attempt.attempt, commit.time, id, commit.instance);
            let key = (commit.attempt.kind, commit.attempt.task);
            match self.winners.get(&key).cloned() {
                Some(winner) if winner.rank > rank => {
                    self.die(instance);
                    return Ok(false);
                }
                Some(winner) => self.lose(winner.instance)?,
                None => {}
            }
            self.winners.insert(key, Winner { rank, instance });
        }
        Arc::make_mut(&mut self.live).insert(instance, commit.number);
        if !counted {
            self.count(writer, commit.number, &commit.counts, LogSizes::add)?;
        }
        self.bytes += COMMIT_BYTES + commit.counts.0.len() as u64;
        self.counts.insert(instance, commit.counts.clone());
        Ok(true)
    }

    /// An instance does not count, and never will.
    pub(super) fn die(&mut self, (writer, instance): Instance) {
        if writer == 0 {
            Arc::make_mut(&mut self.dead).insert(instance);
        }
    }

    fn lose(&mut self, instance: Instance) -> Result<()> {
        let number = Arc::make_mut(&mut self.live).remove(&instance);
        let counts = self.counts.remove(&instance).unwrap_or_default();
        self.bytes = self.bytes.saturating_sub(COMMIT_BYTES + counts.0.len() as u64);
        self.die(instance);
        self.count(instance.0, number.unwrap_or(0), &counts, LogSizes::take)
    }

    /// Adds to or takes from the totals what of `counts` is not deleted.
    fn count(&mut self, writer: u32, number: u64, counts: &Counts, apply: fn(&mut LogSizes, LogSizes)) -> Result<()> {
        let Attempts { covered, totals, .. } = self;
        counts.each(|partition, sizes| {
            let deleted = covered.get(&partition).is_some_and(|covered| is_covered(covered, writer, number));
            if let Some(total) = totals.get_mut(partition as usize).filter(|_| !deleted) {
                apply(total, sizes);
            }
        })
    }

    /// Notes that a partition was deleted: of each writer, the commits up to a number. The totals are not changed.
    pub(super) fn cover(&mut self, partition: u32, commits: &[(u32, u64)]) {
        let covered = self.covered.entry(partition).or_default();
        for (writer, number) in commits {
            match covered.iter_mut().find(|(other, _)| other == writer) {
                Some((_, before)) => *before = (*before).max(*number),
                None => covered.push((*writer, *number)),
            }
        }
    }

    /// Counts all anew; `open` is what is visible without being committed.
    pub(super) fn recount(&mut self, open: &[(u32, LogSizes)]) -> Result<()> {
        self.totals.fill(LogSizes::default());
        let all = std::mem::take(&mut self.counts);
        for (instance, counts) in &all {
            let number = self.live.get(instance).copied().unwrap_or(0);
            self.count(instance.0, number, counts, LogSizes::add)?;
        }
        self.counts = all;
        for (partition, sizes) in open {
            if let Some(total) = self.totals.get_mut(*partition as usize) {
                total.add(*sizes);
            }
        }
        Ok(())
    }
}

/// Whether a commit of a writer is among those that were deleted.
pub(super) fn is_covered(covered: &[(u32, u64)], writer: u32, number: u64) -> bool {
    covered.iter().any(|(other, until)| *other == writer && number <= *until)
}

impl Attempts {
    /// Whether this very attempt of a task is the one that counts.
    pub(super) fn is_committed(&self, attempt: Attempt) -> bool {
        self.winners.get(&(attempt.kind, attempt.task)).is_some_and(|winner| winner.rank.0 == attempt.attempt)
    }
}

impl Attempts {
    /// The attempt that counts of each task, and of what partitions have once, with the time of its commit.
    pub(super) fn winners(&self) -> impl Iterator<Item = (Attempt, u64)> + '_ {
        self.winners.iter().map(|((kind, task), winner)| (Attempt { kind: *kind, task: *task, attempt: winner.rank.0 }, winner.rank.1))
    }

    /// The tasks of which an attempt counts, in order.
    pub(super) fn tasks(&self) -> Vec<u64> {
        let mut tasks: Vec<u64> = self.winners.keys().filter(|(kind, _)| *kind == Kind::Task).map(|(_, task)| *task).collect();
        tasks.sort_unstable();
        tasks
    }

    /// What counts of a task, in all partitions; none where no attempt of it does.
    pub(super) fn of_task(&self, task: u64) -> Result<Option<LogSizes>> {
        let Some(winner) = self.winners.get(&(Kind::Task, task)) else { return Ok(None) };
        let (writer, number) = (winner.instance.0, self.live.get(&winner.instance).copied().unwrap_or(0));
        let mut all = LogSizes::default();
        if let Some(counts) = self.counts.get(&winner.instance) {
            counts.each(|partition, sizes| {
                if !is_covered(self.covered(partition), writer, number) {
                    all.add(sizes);
                }
            })?;
        }
        Ok(Some(all))
    }

    /// The writers of which any entry counts.
    pub(super) fn writers_that_count(&self) -> Result<FxHashSet<u32>> {
        let mut all = FxHashSet::default();
        for ((writer, instance), number) in self.live.iter() {
            if all.contains(writer) {
                continue;
            }
            let mut counts = false;
            if let Some(parts) = self.counts.get(&(*writer, *instance)) {
                parts.each(|partition, _| counts |= !is_covered(self.covered(partition), *writer, *number))?;
            }
            if counts {
                all.insert(*writer);
            }
        }
        Ok(all)
    }

    /// Whether what a partition has only once is visible in it.
    pub(super) fn is_set(&self, partition: u32) -> bool {
        let winner = self.winners.get(&(Kind::Set, u64::from(partition)));
        let number = winner.and_then(|winner| self.live.get(&winner.instance).map(|number| (winner.instance.0, *number)));
        number.is_some_and(|(writer, number)| !is_covered(self.covered(partition), writer, number))
    }
}
