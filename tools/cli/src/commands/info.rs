//! `chunkstore info`: what a store or a dataset is.

use super::elsewhere::{Folder, store_or_described};
use crate::common::{Common, Look};
use crate::failure::{Exit, Result};
use crate::grid::{Grid, tuple};
use crate::open;
use crate::output::{Output, Style};
use crate::presence::Presence;
use crate::summary::{self, grid_of, plural, ratio, ratio_text, rounded};
use crate::units::{bytes, count, time};
use chunkstore_store::{Dataset, DatasetInfo, Encoding, Store};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

const HELP: &str = "\
Examples:
  chunkstore info data/store                       the store: datasets, segments, who writes to it
  chunkstore info data/store/climate/temperature   one dataset: type, shape, chunks, attributes
  chunkstore info /var/tmp/chunkstore-123-...      a folder of spilled chunks
  chunkstore info data/shuffle                     an append log: partitions, records, writers

JSON: one document. Of a store: store, datasets, kinds, chunks, bytes, stored_bytes, ratio,
segments, disk_bytes, sequence, writer {process, since, alive} or null, scratch and logs, which are
in its folder. Of a dataset: name, store, id, kind, dtype, shape, grid, chunks, missing, bytes,
stored_bytes, ratio, created, attributes, meta (what describes the dataset, with the extents of its
chunks), encodings (how many chunks are raw, zstd, shuffle+zstd) and encodings_of (how many were
looked at). Of an append log: kind (\"log\"), path, partitions, partitions_used, records, bytes,
disk_bytes, ratio, writers, writers_running. Of another folder: scratch, the folders of spilled
chunks in it, a list of {path, state, owner, bytes, disk_bytes}, and logs, the append logs in it.";

/// The most chunks whose headers are read.
const MOST_HEADERS: usize = 10_000;

/// Describe a store or a dataset: shape, type, chunks, attributes.
#[derive(clap::Args)]
#[command(after_long_help = HELP)]
pub(crate) struct Args {
    #[command(flatten)]
    look: Look,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Describes what is at the address.
pub(crate) fn run(args: &Args, output: &mut Output) -> Result<Exit> {
    let look = &args.look;
    let address = match store_or_described(look, output)? {
        Ok(address) => address,
        Err(exit) => return Ok(exit),
    };
    let store = open::to_read(&address.store, &args.look.memory.arena())?;
    match &address.name {
        None => of_store(&store, &address.store, look, output)?,
        Some(name) => of_dataset(&open::dataset(&store, name)?, &address.store, output)?,
    }
    Ok(Exit::Success)
}

fn of_store(store: &Store, folder: &Path, look: &Look, output: &mut Output) -> Result {
    let infos = open::select(store, None)?;
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    infos.iter().for_each(|info| *kinds.entry(&info.kind).or_default() += 1);
    let sum = |field: fn(&DatasetInfo) -> u64| infos.iter().map(field).sum::<u64>();
    let (chunks, total, stored) = (sum(|info| info.chunks), sum(|info| info.bytes), sum(|info| info.stored_bytes));
    let (stats, beside) = (store.stats(), Folder::of(folder));
    let writer = open::writer(folder);
    if output.is_json() {
        let (scratch, logs) = beside.json(look)?;
        return output.document(&json!({
            "store": folder, "datasets": infos.len(), "kinds": kinds, "chunks": chunks, "bytes": total, "stored_bytes": stored,
            "ratio": ratio(total, stored).map(rounded), "segments": stats.segments, "disk_bytes": stats.disk_bytes, "sequence": stats.sequence,
            "writer": writer.map(|owner| owner.json()), "scratch": scratch, "logs": logs,
        }));
    }
    let of_kinds: Vec<String> = kinds.iter().map(|(kind, count)| plural(*count, kind)).collect();
    let kinds = if of_kinds.is_empty() { String::new() } else { format!(": {}", of_kinds.join(", ")) };
    item(output, "store", folder.display())?;
    item(output, "datasets", format!("{}{kinds}", count(infos.len() as u64)))?;
    item(output, "data", format!("{} in {} ({}), {}", bytes(total), bytes(stored), ratio_text(total, stored), plural(chunks, "chunk")))?;
    item(output, "segments", format!("{}, {} on disk", count(stats.segments), bytes(stats.disk_bytes)))?;
    item(output, "commits", count(stats.sequence))?;
    item(output, "writer", writer.map_or("none".into(), |owner| format!("process {} since {}", owner.process, time(owner.since))))?;
    beside.lines(look, output)
}

fn of_dataset(dataset: &Dataset, folder: &Path, output: &mut Output) -> Result {
    let info = dataset.info();
    let (encodings, looked_at) = encodings(dataset)?;
    let grid = grid_of(info)?;
    let missing = Presence::of(dataset, folder)?.missing();
    if output.is_json() {
        let mut document = summary::json(info);
        let more = json!({
            "store": folder, "id": format!("{:016x}", info.id), "grid": grid.as_ref().map(|grid| grid.chunks.numblocks().to_vec()), "missing": missing,
            "attributes": info.attributes, "meta": info.meta, "encodings": encodings, "encodings_of": looked_at,
        });
        if let (Some(document), Value::Object(more)) = (document.as_object_mut(), more) {
            document.extend(more);
            // Of an array these would be its chunks once more.
            if grid.is_none() {
                document.insert("values".to_string(), dataset.values()?.into());
            }
        }
        return output.document(&document);
    }
    item(output, "name", &info.name)?;
    item(output, "store", folder.display())?;
    item(output, "kind", &info.kind)?;
    match &grid {
        Some(grid) => of_array(info, grid, missing, output)?,
        None => {
            let content = summary::content(info);
            if !content.is_empty() {
                item(output, "content", content)?;
            }
            let named = if info.kind == "chest" { "keys" } else { "chunks" };
            item(output, named, format!("{}{}", count(dataset.values()?), told(missing, output)))?;
        }
    }
    item(output, "data", format!("{} in {} ({})", bytes(info.bytes), bytes(info.stored_bytes), ratio_text(info.bytes, info.stored_bytes)))?;
    let of_encodings: Vec<String> = encodings.iter().map(|(name, chunks)| format!("{} {name}", count(*chunks))).collect();
    if looked_at > 0 {
        let part = if looked_at < info.chunks { format!(" (of the first {})", count(looked_at)) } else { String::new() };
        item(output, "encoding", format!("{}{part}", of_encodings.join(", ")))?;
    }
    item(output, "created", time(info.created))?;
    for (at, (name, value)) in info.attributes.iter().enumerate() {
        item(output, if at == 0 { "attributes" } else { "" }, format!("{name} = {value}"))?;
    }
    Ok(())
}

/// How the chunks are encoded, and of how many that was looked at.
fn encodings(dataset: &Dataset) -> Result<(BTreeMap<&'static str, u64>, u64)> {
    let (mut found, mut looked_at) = (BTreeMap::new(), 0);
    for key in dataset.keys()?.iter().take(MOST_HEADERS) {
        // Damage is told by `verify`; here it only is not counted.
        let Ok(Some(stored)) = dataset.header_of(key) else { continue };
        let name = match stored.encoding {
            Encoding::Raw => "raw",
            Encoding::Zstd => "zstd",
            Encoding::ShuffleZstd => "shuffle+zstd",
        };
        *found.entry(name).or_default() += 1;
        looked_at += 1;
    }
    Ok((found, looked_at))
}

/// How many chunks are missing, if any are.
fn told(missing: u64, output: &Output) -> String {
    if missing == 0 { String::new() } else { output.style(Style::Yellow, format!(", {} missing", count(missing))) }
}

fn of_array(info: &DatasetInfo, grid: &Grid, missing: u64, output: &mut Output) -> Result {
    item(output, "dtype", grid.dtype)?;
    item(output, "shape", tuple(grid.chunks.shape()))?;
    let there = told(missing, output);
    item(output, "chunks", format!("{} in a grid of {}{there}", count(info.chunks), tuple(&grid.chunks.numblocks())))?;
    for axis in 0..grid.chunks.ndim() {
        item(output, "", format!("axis {axis}: {}", grid.axis_text(axis)))?;
    }
    Ok(())
}

/// A name, and what there is to say of it.
pub(super) fn item(output: &mut Output, name: &str, text: impl std::fmt::Display) -> Result {
    let name = output.style(Style::Dim, format!("{name:<12}"));
    output.line(format!("{name}{text}"))
}
