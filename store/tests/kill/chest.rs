//! A chest at a path: what was flushed is there.

use crate::content::{Dice, bytes_of, sum_of};
use crate::{Seen, Subject, patiently, report};
use chunkstore_store::{Chest, Store, checksum};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

pub(crate) enum Chests {}

#[derive(Serialize, Deserialize, Clone, Debug)]
pub(crate) enum Op {
    Put(Vec<(u32, u32)>),
    Remove(Vec<u32>),
    Clear,
    Shrink,
    Flush,
    Compact,
}

#[derive(Clone, PartialEq, Default, Debug)]
pub(crate) struct Model {
    now: BTreeMap<u32, u32>,
    flushed: BTreeMap<u32, u32>,
}

/// So little memory that most values are written before they are flushed.
fn open(folder: &Path, lane: u64) -> Chest<u32, Vec<u8>> {
    let options = Store::options().segment_bytes(1 << 20).catalogue(lane.is_multiple_of(2));
    patiently(|| Chest::open_with(folder, 1 << 20, options.clone(), 2))
}

fn run(chest: &Chest<u32, Vec<u8>>, op: &Op) {
    match op {
        Op::Put(values) => values.iter().for_each(|(key, number)| chest.put(key, &bytes_of(*number)).unwrap()),
        Op::Remove(keys) => keys.iter().for_each(|key| _ = chest.remove(key)),
        Op::Clear => chest.clear(),
        Op::Shrink => chest.shrink(64 << 10).unwrap(),
        Op::Flush => chest.flush().unwrap(),
        Op::Compact => drop(chest.store().unwrap().compact().unwrap()),
    }
}

impl Subject for Chests {
    type Op = Op;
    type Model = Model;
    const ROLE: &str = "chest";

    fn work(folder: &Path, lane: u64, dice: &mut Dice) {
        let chest = open(folder, lane);
        for _ in 0..5000 {
            let op = match dice.below(24) {
                0..=10 => Op::Put((0..dice.below(8)).map(|_| (dice.below(60) as u32, dice.number())).collect()),
                11..=13 => Op::Remove((0..dice.below(5)).map(|_| dice.below(60) as u32).collect()),
                14 if dice.below(8) == 0 => Op::Clear,
                14 | 15 => Op::Shrink,
                16..=22 => Op::Flush,
                _ => Op::Compact,
            };
            report(&op, || run(&chest, &op));
        }
    }

    fn apply(model: &mut Model, op: &Op) {
        match op {
            Op::Put(values) => model.now.extend(values.iter().copied()),
            Op::Remove(keys) => model.now.retain(|key, _| !keys.contains(key)),
            Op::Clear => model.now.clear(),
            Op::Flush => model.flushed.clone_from(&model.now),
            Op::Shrink | Op::Compact => {}
        }
    }

    fn crash(model: &mut Model) {
        model.now.clone_from(&model.flushed);
    }

    fn expected(model: &Model) -> Seen {
        model.flushed.iter().map(|(key, number)| (key.to_string(), vec![sum_of(*number)])).collect()
    }

    fn find(folder: &Path, lane: u64) -> Seen {
        let chest = open(folder, lane);
        let of = |key: u32| (key.to_string(), vec![checksum(&chest.get(&key).unwrap().unwrap())]);
        let keys: Vec<u32> = chest.keys().map(|key| key.unwrap()).collect();
        let seen = keys.into_iter().map(of).collect();
        let verified = chest.store().unwrap().verify(|_, _| {}).unwrap();
        assert!(verified.is_sound(), "{:?}", verified.damaged);
        seen
    }
}
