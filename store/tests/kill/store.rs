//! Datasets and values in a store.

use crate::content::{Dice, bytes_of, chunk, sum_of};
use crate::{Seen, Subject, patiently, report};
use chunkstore_store::{Arena, Chunk, DatasetKind, Ledger, Store, StoreOptions, checksum};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;

pub(crate) enum Stores {}

#[derive(Serialize, Deserialize, Clone, Debug)]
pub(crate) enum Op {
    Save { name: String, chunks: Vec<(u64, u32)>, attribute: Option<u32> },
    Update { name: String, put: Vec<(u64, u32)>, removed: Option<u64> },
    Remove { name: String },
    Rename { from: String, to: String },
    Copy { from: String, to: String },
    Attribute { name: String, value: u32 },
    Value { name: String, value: u32 },
    Compact,
    Gc,
}

#[derive(Clone, PartialEq, Default, Debug)]
pub(crate) struct Set {
    chunks: BTreeMap<u64, u32>,
    attribute: Option<u32>,
}

/// Datasets, and values by name.
pub(crate) type Model = (BTreeMap<String, Set>, BTreeMap<String, u32>);

/// Every other lane has its catalogue on disk.
fn options(lane: u64) -> StoreOptions {
    Store::options().memory(128 << 20).segment_bytes(1 << 20).catalogue(lane.is_multiple_of(2))
}

fn draw(store: &Store, dice: &mut Dice) -> Option<Op> {
    let there: Vec<String> = store.names().unwrap().into_iter().filter(|name| name.starts_with("set")).collect();
    let name = format!("set/{}", dice.below(5));
    let old = || there.contains(&name);
    let free = there.len() < 5 && !old();
    let other = there.get(dice.below(there.len().max(1) as u64) as usize).cloned();
    Some(match dice.below(16) {
        0..=4 => {
            let chunks = (0..dice.below(6)).map(|n| (n * 3, dice.number())).collect();
            let attribute = (dice.below(2) == 0).then(|| dice.number());
            Op::Save { name, chunks, attribute }
        }
        5..=7 if old() => {
            let put: Vec<_> = (0..dice.below(4)).map(|_| (dice.below(16), dice.number())).collect();
            Op::Update { name, put, removed: (dice.below(2) == 0).then(|| 20 + dice.below(16)) }
        }
        8 if old() => Op::Remove { name },
        9 if free => Op::Rename { from: other?, to: name },
        10 if free => Op::Copy { from: other?, to: name },
        11 if old() => Op::Attribute { name, value: dice.number() },
        12 | 13 => Op::Value { name: format!("value/{}", dice.below(3)), value: dice.number() },
        14 => Op::Compact,
        15 => Op::Gc,
        _ => return None,
    })
}

fn attributes(value: u32) -> serde_json::Map<String, serde_json::Value> {
    [("n".to_owned(), json!(value))].into_iter().collect()
}

fn run(store: &Store, arena: &Arena, op: &Op) {
    match op {
        Op::Save { name, chunks, attribute } => {
            let writer = store.create(name, DatasetKind::new("test", json!({}))).unwrap().replace(true);
            chunks.iter().for_each(|(n, number)| writer.put(*n, &chunk(arena, *number)).unwrap());
            if let Some(value) = attribute {
                writer.attribute("n", *value).unwrap();
            }
            writer.commit().unwrap();
        }
        Op::Update { name, put, removed } => {
            let writer = store.update(name).unwrap();
            put.iter().for_each(|(n, number)| writer.put(*n, &chunk(arena, *number)).unwrap());
            if let Some(n) = removed {
                writer.remove_key(&(n - 20).to_be_bytes()).unwrap();
            }
            writer.commit().unwrap();
        }
        Op::Remove { name } => assert!(store.remove(name).unwrap()),
        Op::Rename { from, to } => store.rename(from, to).unwrap(),
        Op::Copy { from, to } => store.copy(from, to).unwrap(),
        Op::Attribute { name, value } => store.set_attributes(name, attributes(*value)).unwrap(),
        Op::Value { name, value } => store.save_value(name, &(value, bytes_of(*value))).unwrap(),
        Op::Compact => drop(store.compact().unwrap()),
        Op::Gc => drop(store.gc(false).unwrap()),
    }
}

impl Subject for Stores {
    type Op = Op;
    type Model = Model;
    const ROLE: &str = "store";

    fn work(folder: &Path, lane: u64, dice: &mut Dice) {
        let store = patiently(|| options(lane).open(folder));
        let arena = Arena::new(Ledger::new(64 << 20));
        for _ in 0..5000 {
            if let Some(op) = draw(&store, dice) {
                report(&op, || run(&store, &arena, &op));
            }
        }
    }

    fn apply((sets, values): &mut Model, op: &Op) {
        match op.clone() {
            Op::Save { name, chunks, attribute } => {
                sets.insert(name, Set { chunks: chunks.into_iter().collect(), attribute });
            }
            Op::Update { name, put, removed } => {
                let set = sets.get_mut(&name).unwrap();
                set.chunks.extend(put);
                removed.map(|n| set.chunks.remove(&(n - 20)));
            }
            Op::Remove { name } => drop(sets.remove(&name)),
            Op::Rename { from, to } => {
                let set = sets.remove(&from).unwrap();
                sets.insert(to, set);
            }
            Op::Copy { from, to } => {
                let set = sets[&from].clone();
                sets.insert(to, set);
            }
            Op::Attribute { name, value } => sets.get_mut(&name).unwrap().attribute = Some(value),
            Op::Value { name, value } => drop(values.insert(name, value)),
            Op::Compact | Op::Gc => {}
        }
    }

    fn crash(_: &mut Model) {}

    fn expected((sets, values): &Model) -> Seen {
        let set = |set: &Set| {
            let chunks = set.chunks.iter().flat_map(|(n, number)| [*n, sum_of(*number)]);
            chunks.chain(set.attribute.map(u64::from)).collect()
        };
        let sets = sets.iter().map(|(name, all)| (name.clone(), set(all)));
        sets.chain(values.iter().map(|(name, value)| (name.clone(), vec![u64::from(*value)]))).collect()
    }

    fn find(folder: &Path, lane: u64) -> Seen {
        // A reader sees the same as the next writer, which cuts and removes what was not committed.
        let reader = match Store::options().memory(128 << 20).open_read_only(folder) {
            Ok(store) => contents(&store),
            Err(e) => {
                assert_eq!(e.kind(), chunkstore_store::ErrorKind::NotFound, "{e}");
                Seen::new()
            }
        };
        let store = options(lane).open(folder).unwrap();
        let seen = contents(&store);
        assert_eq!(reader, seen, "a reader and a writer see different things");
        let verified = store.verify(|_, _| {}).unwrap();
        assert!(verified.is_sound(), "{:?}", verified.damaged);
        seen
    }
}

fn contents(store: &Store) -> Seen {
    let of = |name: &String| {
        let dataset = store.dataset(name).unwrap();
        if dataset.info().kind == "value" {
            let (value, bytes) = store.value::<(u32, Vec<u8>)>(name).unwrap();
            assert!(bytes == bytes_of(value), "{name} is not {value}");
            return vec![u64::from(value)];
        }
        let mut seen = Vec::new();
        for n in dataset.chunk_numbers().unwrap() {
            let Some(Chunk::Bytes(bytes)) = dataset.chunk(n).unwrap() else { panic!("chunk {n} of {name} is missing") };
            seen.extend([n, checksum(&bytes.0)]);
        }
        seen.extend(dataset.info().attributes.get("n").and_then(|value| value.as_u64()));
        seen
    };
    store.names().unwrap().iter().map(|name| (name.clone(), of(name))).collect()
}
