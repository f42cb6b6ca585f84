//! `bag_groupby_large`: a group-by of as many bytes of records as are asked for, checked against closed forms. The records are made, so that no input is needed.
//!
//! With a checkpoint folder it can be killed at any point and started again; `tools/large/bag_groupby` does so.

use crate::process::peak_rss_bytes;
use crate::run::{Failure, round};
use chunkstore::engine::parse_bytes;
use chunkstore::{Engine, bag};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::PathBuf;
use std::time::Instant;

/// What it takes.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// The bytes of all records: "20GiB".
    #[arg(long, default_value = "20GiB")]
    bytes: String,
    /// The bytes of a record.
    #[arg(long, default_value_t = 200)]
    row_bytes: u64,
    /// The keys, an even number; one more has the skew.
    #[arg(long, default_value_t = 100_000)]
    keys: u64,
    /// How many of a hundred rows one key has: 0 or 60.
    #[arg(long, default_value_t = 0)]
    skew: u64,
    /// The memory bound.
    #[arg(long, default_value = "1GiB")]
    memory: String,
    /// Workers.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// The folder for what is spilled.
    #[arg(long)]
    scratch: PathBuf,
    /// The folder by which it goes on where it was.
    #[arg(long)]
    checkpoint: Option<PathBuf>,
}

/// Rows that one task makes, with all that says how: so the key of the bag has it.
#[derive(Serialize, Deserialize, Clone, Copy)]
struct Piece {
    begin: u64,
    end: u64,
    keys: u64,
    skew: u64,
    row_bytes: u64,
}

/// A record.
#[derive(Serialize, Deserialize)]
struct Row {
    key: u64,
    value: u64,
    text: String,
}

/// About the bytes of a partition, before and behind the shuffle.
const PARTITION: u64 = 10 << 20;

/// What a record takes beside its text: key, value and length, as they are encoded.
const BESIDE: u64 = 5 + 5 + 1;

fn noise(i: u64) -> u64 {
    let mut z = i.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Digits that follow from a row's number.
fn text(value: u64, len: usize) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(len + 16);
    let mut word = value;
    while text.len() < len {
        word = noise(word);
        text.extend((0..16).map(|at| char::from(DIGITS[(word >> (4 * at)) as usize & 15])));
    }
    text.truncate(len);
    text
}

/// The key of a row: 0 for three of five where there is a skew; the others take turns.
fn key(row: u64, keys: u64, skew: u64) -> u64 {
    match (skew, row % 5) {
        (0, _) => 1 + row % keys,
        (_, 0..3) => 0,
        (_, fifth) => 1 + (row / 5 * 2 + fifth - 3) % keys,
    }
}

/// The rows of a key, and the sum of their numbers.
fn expected(key: u64, rows: u64, keys: u64, skew: u64) -> (u64, u128) {
    // first, first + step, .. below rows
    let series = |first: u64, step: u64| {
        let n = rows.saturating_sub(first).div_ceil(step);
        let (n, first, step) = (u128::from(n), u128::from(first), u128::from(step));
        (n as u64, n * first + step * (n * n.saturating_sub(1) / 2))
    };
    match (skew, key) {
        (0, 0) => (0, 0),
        (0, _) => series(key - 1, keys),
        (_, 0) => (0..3).map(|first| series(first, 5)).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1)),
        // Every `keys / 2` fives, its turn is at the same place in the five.
        (_, _) => series((key - 1) / 2 * 5 + 3 + (key - 1) % 2, keys / 2 * 5),
    }
}

/// Runs it, and prints its line; whether all is right.
pub(crate) fn run(args: &Args) -> Result<bool, Failure> {
    let Args { row_bytes, keys, skew, .. } = *args;
    if keys == 0 || !keys.is_multiple_of(2) || row_bytes <= BESIDE {
        return Err("an even number of keys, and rows of 12 bytes and more".into());
    }
    if !matches!(skew, 0 | 60) {
        return Err("a skew of 0 or of 60".into());
    }
    let bytes = parse_bytes(&args.bytes)?;
    let rows = bytes / row_bytes;
    let pieces = bytes.div_ceil(PARTITION).max(1);
    let piece = |at: u64| (u128::from(rows) * u128::from(at) / u128::from(pieces)) as u64;
    let all = (0..pieces).map(|at| Piece { begin: piece(at), end: piece(at + 1), keys, skew, row_bytes });
    let engine = Engine::builder().memory(parse_bytes(&args.memory)?).threads(args.threads).scratch(&args.scratch).progress(false);
    let engine = match &args.checkpoint {
        Some(folder) => engine.checkpoint(folder),
        None => engine,
    };
    let engine = engine.build()?;
    // Functions without captures, which another process knows again.
    let made = bag::from_sequence(all, pieces as usize).flat_map(|piece| {
        let Piece { begin, end, keys, skew, row_bytes } = piece;
        (begin..end).map(move |row| Row { key: key(row, keys, skew), value: row, text: text(row, (row_bytes - BESIDE) as usize) })
    });
    let groups = made.group_by(|row| row.key).npartitions(pieces as usize).map(|(key, rows)| {
        let (mut n, mut sum, mut wrong, mut last) = (0u64, 0u128, 0u64, None);
        for row in rows {
            // In order, none twice, and whole.
            wrong += u64::from(last >= Some(row.value) || row.text != text(row.value, row.text.len()));
            last = Some(row.value);
            n += 1;
            sum += u128::from(row.value);
        }
        (key, n, sum, wrong)
    });
    let begin = Instant::now();
    let mut groups = engine.compute(groups)?;
    let seconds = begin.elapsed().as_secs_f64();
    groups.sort_unstable();
    let wrong: u64 = groups.iter().map(|group| group.3).sum();
    let found: Vec<(u64, u64, u128)> = groups.into_iter().map(|(key, n, sum, _)| (key, n, sum)).collect();
    let closed = (0..=keys).map(|key| (key, expected(key, rows, keys, skew))).filter(|(_, (n, _))| *n > 0);
    let right = wrong == 0 && closed.map(|(key, (n, sum))| (key, n, sum)).eq(found.iter().copied());
    let report = engine.last_run();
    let line = json!({
        "workload": "bag_groupby_large", "bytes": bytes, "rows": rows, "keys": found.len(), "skew": skew, "memory": parse_bytes(&args.memory)?,
        "seconds": round(seconds, 3), "peak_rss_bytes": peak_rss_bytes(), "wrong_rows": wrong, "right": right,
        "largest_key_rows": found.iter().map(|group| group.1).max(),
        "peak_bytes": report.as_ref().map(|run| run.peak_bytes), "notes": report.map(|run| run.notes),
    });
    println!("{line}");
    Ok(right)
}

#[cfg(test)]
mod tests {
    use super::{expected, key};
    use std::collections::BTreeMap;

    #[test]
    fn closed_forms_are_what_the_rows_are() {
        for (rows, keys, skew) in [(0, 2, 0), (1, 4, 60), (1000, 6, 0), (1003, 6, 60), (999, 2, 60), (7, 100, 60), (7, 100, 0)] {
            let mut model = BTreeMap::<u64, (u64, u128)>::new();
            for row in 0..rows {
                let of = model.entry(key(row, keys, skew)).or_default();
                *of = (of.0 + 1, of.1 + u128::from(row));
            }
            for key in 0..=keys {
                assert_eq!(expected(key, rows, keys, skew), model.get(&key).copied().unwrap_or_default(), "{rows} {keys} {skew} {key}");
            }
        }
    }
}
