//! `chunkstore compact`: room back from segments that are partly unused.

use crate::address::Address;
use crate::common::{Common, Memory};
use crate::failure::{Exit, Result};
use crate::log_folder::LogFolder;
use crate::open;
use crate::output::Output;
use crate::summary::plural;
use crate::units::bytes;
use chunkstore_store::{ByteLog, LogOptions};
use serde_json::json;
use std::path::Path;

const HELP: &str = "\
Examples:
  chunkstore compact data/store

What is in use in segments that mostly are not is copied to new ones, and the old ones are removed
once that is safe on disk. It can be stopped at any time, and loses nothing. It needs the lock: no
other process may write to the store meanwhile. Of an append log, all that counts is written anew.

JSON: one document: store, bytes_before, bytes_after, copied (chunks and tables), dropped
(segments). Of an append log: log, bytes_before, bytes_after, copied (entries), dropped (writers).";

/// Give back the room of what was removed or replaced.
#[derive(clap::Args)]
#[command(after_long_help = HELP)]
pub(crate) struct Args {
    /// A store, or an append log.
    #[arg(value_name = "STORE", default_value = ".", value_hint = clap::ValueHint::DirPath)]
    store: String,
    #[command(flatten)]
    memory: Memory,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Compacts a store.
pub(crate) fn run(args: &Args, output: &mut Output) -> Result<Exit> {
    if let Some(log) = LogFolder::at(Path::new(&args.store)) {
        return of_log(&log, args, output);
    }
    let folder = Address::store(&args.store)?;
    let done = open::to_write(&folder, &args.memory.arena())?.compact()?;
    if output.is_json() {
        output.document(&json!({
            "store": folder, "bytes_before": done.bytes_before, "bytes_after": done.bytes_after, "copied": done.copied, "dropped": done.dropped,
        }))?;
        return Ok(Exit::Success);
    }
    let (segments, frames) = (plural(done.dropped, "segment"), plural(done.copied, "frame"));
    output.line(format!(
        "{}: {} before, {} now: {segments} removed, {frames} copied",
        folder.display(),
        bytes(done.bytes_before),
        bytes(done.bytes_after)
    ))?;
    Ok(Exit::Success)
}

/// Compacts an append log.
fn of_log(folder: &LogFolder, args: &Args, output: &mut Output) -> Result<Exit> {
    let arena = args.memory.arena();
    // What is not of its buffers is a part of the same memory.
    let memory = (arena.ledger().limit() / 2).max(2 * ByteLog::LEAST_MEMORY);
    let done = ByteLog::compact(&folder.path, LogOptions::new().memory(memory).threads(1).arena(arena))?;
    if output.is_json() {
        output.document(&json!({
            "log": folder.path, "bytes_before": done.bytes_before, "bytes_after": done.bytes_after, "copied": done.copied, "dropped": done.dropped,
        }))?;
        return Ok(Exit::Success);
    }
    let (writers, entries) = (plural(done.dropped, "writer"), plural(done.copied, "entry"));
    let (before, after) = (bytes(done.bytes_before), bytes(done.bytes_after));
    output.line(format!("{}: {before} before, {after} now: {writers} removed, {entries} copied", folder.path.display()))?;
    Ok(Exit::Success)
}
