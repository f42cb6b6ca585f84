//! `chunkstore gc`: segments that nothing uses any more.

use crate::address::Address;
use crate::common::{Common, Memory};
use crate::failure::{Exit, Result};
use crate::open;
use crate::output::Output;
use crate::summary::plural;
use crate::units::bytes;
use serde_json::json;

const HELP: &str = "\
Examples:
  chunkstore gc data/store --dry-run   which files would be removed; needs no lock
  chunkstore gc data/store             remove them

Segments of which no dataset uses anything are removed. Those that are used in part stay;
`chunkstore compact` gives back the rest of them.

JSON: one document: store, dry_run, bytes, files.";

/// Remove files that nothing uses any more.
#[derive(clap::Args)]
#[command(after_long_help = HELP)]
pub(crate) struct Args {
    /// A store.
    #[arg(value_name = "STORE", default_value = ".", value_hint = clap::ValueHint::DirPath)]
    store: String,
    /// Only say what would be removed.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    memory: Memory,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Collects what is not used.
pub(crate) fn run(args: &Args, output: &mut Output) -> Result<Exit> {
    let folder = Address::store(&args.store)?;
    let arena = args.memory.arena();
    let store = if args.dry_run { open::to_read(&folder, &arena)? } else { open::to_write(&folder, &arena)? };
    let found = store.gc(args.dry_run)?;
    if output.is_json() {
        output.document(&json!({ "store": folder, "dry_run": args.dry_run, "bytes": found.bytes, "files": found.files }))?;
        return Ok(Exit::Success);
    }
    found.files.iter().try_for_each(|file| output.line(file.display()))?;
    let verb = if args.dry_run { "would be removed" } else { "removed" };
    output.line(format!("{}: {} {verb}, {}", folder.display(), plural(found.files.len() as u64, "file"), bytes(found.bytes)))?;
    Ok(Exit::Success)
}
