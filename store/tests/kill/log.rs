//! An append log that is kept: what was committed and flushed, or sealed, is there.

use crate::content::{Dice, bytes_of, sum_of};
use crate::{Seen, Subject, report};
use chunkstore_store::{ByteLog, LogOptions, checksum};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

pub(crate) enum Logs {}

const PARTITIONS: u32 = 6;
/// These are set once, and never deleted.
const SET: u32 = 2;

#[derive(Serialize, Deserialize, Clone, Debug)]
pub(crate) enum Op {
    Append { task: u64, attempt: u32, entries: Vec<(u32, u32)> },
    Commit { task: u64, attempt: u32 },
    Abort { task: u64, attempt: u32 },
    Loose { partition: u32, number: u32 },
    Set { partition: u32, number: u32 },
    Delete { partition: u32 },
    Flush,
    Seal,
}

/// What an attempt appended, partition and number, and where it was deleted.
#[derive(Clone, PartialEq, Default, Debug)]
struct Work {
    entries: Vec<(u32, u32)>,
    deleted: BTreeSet<u32>,
}

/// What is visible.
#[derive(Clone, PartialEq, Default, Debug)]
struct State {
    /// For each task the attempt that counts.
    tasks: BTreeMap<u64, (u32, Work)>,
    loose: Vec<(u32, u32)>,
    set: BTreeMap<u32, u32>,
}

#[derive(Clone, PartialEq, Default, Debug)]
pub(crate) struct Model {
    open: BTreeMap<(u64, u32), Vec<(u32, u32)>>,
    now: State,
    flushed: State,
}

impl State {
    fn commit(&mut self, task: u64, attempt: u32, entries: Vec<(u32, u32)>) {
        if self.tasks.get(&task).is_none_or(|(old, _)| *old <= attempt) {
            self.tasks.insert(task, (attempt, Work { entries, deleted: BTreeSet::new() }));
        }
    }
}

fn open(folder: &Path) -> ByteLog {
    ByteLog::open_with(folder, PARTITIONS, LogOptions::new().memory(ByteLog::LEAST_MEMORY).threads(2)).unwrap()
}

fn run(log: &ByteLog, op: &Op) {
    match op {
        Op::Append { task, attempt, entries } => {
            for (partition, number) in entries {
                log.append(*partition, (*task, *attempt), &bytes_of(*number)).unwrap();
            }
        }
        Op::Commit { task, attempt } => log.commit((*task, *attempt)).unwrap(),
        Op::Abort { task, attempt } => log.abort((*task, *attempt)),
        Op::Loose { partition, number } => log.append(*partition, (), &bytes_of(*number)).unwrap(),
        Op::Set { partition, number } => drop(log.iset(*partition, &bytes_of(*number)).unwrap()),
        Op::Delete { partition } => log.delete(*partition).unwrap(),
        Op::Flush => log.flush().unwrap(),
        Op::Seal => log.seal().unwrap(),
    }
}

impl Subject for Logs {
    type Op = Op;
    type Model = Model;
    const ROLE: &str = "log";

    fn work(folder: &Path, _: u64, dice: &mut Dice) {
        let mut log = open(folder);
        let mut open_attempts: Vec<(u64, u32)> = Vec::new();
        let mut attempts = 0;
        for _ in 0..5000 {
            let pick = |dice: &mut Dice, all: &mut Vec<(u64, u32)>| {
                (!all.is_empty()).then(|| all.swap_remove(dice.below(all.len() as u64) as usize))
            };
            let op = match dice.below(20) {
                0..=6 => {
                    // Attempts go up in a process; another one may have been further.
                    attempts += 1;
                    let (task, attempt) = (dice.below(12), attempts);
                    open_attempts.push((task, attempt));
                    let entries = (0..=dice.below(4)).map(|_| (dice.below(PARTITIONS.into()) as u32, dice.number())).collect();
                    Op::Append { task, attempt, entries }
                }
                7..=10 => match pick(dice, &mut open_attempts) {
                    Some((task, attempt)) => Op::Commit { task, attempt },
                    None => continue,
                },
                11 => match pick(dice, &mut open_attempts) {
                    Some((task, attempt)) => Op::Abort { task, attempt },
                    None => continue,
                },
                12 | 13 => Op::Loose { partition: dice.below(PARTITIONS.into()) as u32, number: dice.number() },
                14 => Op::Set { partition: dice.below(SET.into()) as u32, number: dice.number() },
                15 if dice.below(3) == 0 => Op::Delete { partition: SET + dice.below((PARTITIONS - SET).into()) as u32 },
                16 if dice.below(4) == 0 => Op::Seal,
                _ => Op::Flush,
            };
            report(&op, || run(&log, &op));
            if let Op::Seal = op {
                open_attempts.clear();
                drop(log);
                log = open(folder);
            }
        }
    }

    fn apply(model: &mut Model, op: &Op) {
        let Model { open, now, flushed } = model;
        match op.clone() {
            Op::Append { task, attempt, entries } => open.entry((task, attempt)).or_default().extend(entries),
            Op::Commit { task, attempt } => now.commit(task, attempt, open.remove(&(task, attempt)).unwrap_or_default()),
            Op::Abort { task, attempt } => drop(open.remove(&(task, attempt))),
            Op::Loose { partition, number } => now.loose.push((partition, number)),
            Op::Set { partition, number } => drop(now.set.entry(partition).or_insert(number)),
            Op::Delete { partition } => {
                now.loose.retain(|(of, _)| *of != partition);
                now.tasks.values_mut().for_each(|(_, work)| _ = work.deleted.insert(partition));
            }
            Op::Flush => flushed.clone_from(now),
            Op::Seal => {
                for ((task, attempt), entries) in std::mem::take(open) {
                    now.commit(task, attempt, entries);
                }
                flushed.clone_from(now);
            }
        }
    }

    fn crash(model: &mut Model) {
        model.open.clear();
        model.now.clone_from(&model.flushed);
    }

    fn expected(model: &Model) -> Seen {
        let State { tasks, loose, set } = &model.flushed;
        let partition = |partition: u32| {
            let of = |entries: &[(u32, u32)], task: u64| -> Vec<u64> {
                entries.iter().filter(|(of, _)| *of == partition).flat_map(|(_, number)| [task, sum_of(*number)]).collect()
            };
            let mut seen: Vec<u64> = set.get(&partition).map(|number| vec![u64::MAX, sum_of(*number)]).unwrap_or_default();
            for (task, (_, work)) in tasks.iter().filter(|(_, (_, work))| !work.deleted.contains(&partition)) {
                seen.extend(of(&work.entries, *task));
            }
            seen.extend(of(loose, u64::MAX));
            (partition.to_string(), seen)
        };
        (0..PARTITIONS).map(partition).collect()
    }

    fn find(folder: &Path, _: u64) -> Seen {
        let log = open(folder);
        let partition = |partition: u32| {
            let entries = log.gather(partition).unwrap().map(|entry| entry.unwrap());
            let seen: Vec<u64> = entries.flat_map(|entry| [entry.attempt().task().unwrap_or(u64::MAX), checksum(&entry)]).collect();
            assert_eq!(log.sizes(partition).unwrap().records * 2, seen.len() as u64);
            (partition.to_string(), seen)
        };
        let seen = (0..PARTITIONS).map(partition).collect();
        let verified = log.verify().unwrap();
        assert!(verified.is_sound(), "{:?}", verified.damage);
        seen
    }
}
