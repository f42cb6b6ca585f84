//! `chunkstore gc`: segments that nothing uses any more.

use crate::address::Address;
use crate::common::{Common, Memory};
use crate::failure::{Exit, Result};
use crate::open::{self, Garbage};
use crate::output::Output;
use crate::summary::plural;
use crate::units::bytes;
use serde_json::json;

const HELP: &str = "\
Examples:
  chunkstore gc data/store --dry-run   which files would be removed; needs no lock
  chunkstore gc data/store             remove them

Segments of which no dataset uses anything are removed. Those that are used in part stay;
`chunkstore compact` gives back the rest of them. Beside a program that writes to the store --dry-run
leaves out the files that this program has made or changed, as it may commit what is in them.

JSON: one document: store, dry_run, bytes, files, left_out (how many files are).";

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
    let found = if args.dry_run {
        Garbage::of(&open::to_read(&folder, &arena)?)?
    } else {
        let done = open::to_write(&folder, &arena)?.gc(false)?;
        Garbage { files: done.files, bytes: done.bytes, ..Garbage::default() }
    };
    if output.is_json() {
        let fields =
            json!({ "store": folder, "dry_run": args.dry_run, "bytes": found.bytes, "files": found.files, "left_out": found.left_out });
        output.document(&fields)?;
        return Ok(Exit::Success);
    }
    found.files.iter().try_for_each(|file| output.line(file.display()))?;
    let verb = if args.dry_run { "would be removed" } else { "removed" };
    output.line(format!("{}: {} {verb}, {}", folder.display(), plural(found.files.len() as u64, "file"), bytes(found.bytes)))?;
    found.told().into_iter().try_for_each(|told| output.line(told))?;
    Ok(Exit::Success)
}
