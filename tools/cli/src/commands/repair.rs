//! `chunkstore repair`: what is sound is kept, and what is gone is told.

use super::verify::{document, text};
use crate::address::Address;
use crate::common::{Common, Memory};
use crate::failure::{Exit, Result};
use crate::key;
use crate::output::{Output, Style};
use crate::summary::plural;
use chunkstore_store::Store;
use serde_json::json;
use std::path::{Path, PathBuf};

const HELP: &str = "\
Examples:
  chunkstore verify data/store || chunkstore repair data/store

Chunks that are sound are kept, also those beside damaged ones and where the manifest or the index
of a dataset is damaged or missing. What is damaged is named, and is missing from its dataset
afterwards (`chunkstore map` shows where). Nothing is overwritten: damaged files are moved aside, to
the folder `lost` in the store. A sound store stays as it is. No other process may write to the
store meanwhile.

A writer that died during a commit leaves something that looks like a manifest that lost its last
record; `verify` warns of it. Without --keep-unfinished it is not made part of the store.

The command ends with 0 when the store is sound afterwards, whether or not something is gone.

JSON: one document: store, changed, manifest_rebuilt, datasets, chunks, copied, gone [{dataset,
chunk, key, file, offset, problem}], moved_aside [files].";

/// Keep what is sound of a damaged store, and name what is gone.
#[derive(clap::Args)]
#[command(after_long_help = HELP)]
pub(crate) struct Args {
    /// A store.
    #[arg(value_name = "STORE", value_hint = clap::ValueHint::DirPath)]
    store: String,
    /// Keep a last commit, too, of which the segments tell and the manifest does not: it may be half of one.
    #[arg(long)]
    keep_unfinished: bool,
    #[command(flatten)]
    memory: Memory,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Repairs a store.
pub(crate) fn run(args: &Args, output: &mut Output) -> Result<Exit> {
    // Of what is badly damaged only the segments tell that it was a store.
    let folder = match Path::new(&args.store).join("segments").is_dir() {
        true => PathBuf::from(&args.store),
        false => Address::store(&args.store)?,
    };
    let done = Store::options().arena(args.memory.arena()).keep_unfinished(args.keep_unfinished).repair(&folder)?;
    if output.is_json() {
        output.document(&json!({
            "store": folder, "changed": done.changed, "manifest_rebuilt": done.manifest_rebuilt, "datasets": done.datasets, "chunks": done.chunks,
            "copied": done.copied, "gone": done.gone.iter().map(document).collect::<Vec<_>>(), "moved_aside": done.moved_aside,
        }))?;
        return Ok(Exit::Success);
    }
    let there = format!("{} with {}", plural(done.datasets, "dataset"), plural(done.chunks, "chunk"));
    if !done.changed {
        output.line(format!("{}: {}: nothing to repair, {there}", folder.display(), output.style(Style::Green, "sound")))?;
        return Ok(Exit::Success);
    }
    let manifest = if done.manifest_rebuilt { ", with a new manifest" } else { "" };
    output.line(format!("{}: {}{manifest}: {there}", folder.display(), output.style(Style::Green, "repaired")))?;
    let kinds = Store::open_read_only(&folder).map(|store| key::kinds(&store)).unwrap_or_default();
    for damage in &done.gone {
        output.line(format!("  {} {}", output.style(Style::Red, "gone:"), text(damage, &kinds)))?;
    }
    for file in &done.moved_aside {
        output.line(format!("  moved aside: {}", file.display()))?;
    }
    Ok(Exit::Success)
}
