//! `chunkstore rm`: datasets away.

use crate::address::Address;
use crate::common::{Common, Memory};
use crate::failure::{Exit, Failure, Result};
use crate::open;
use crate::output::Output;
use crate::summary::plural;
use crate::units::bytes;
use serde_json::json;

const HELP: &str = "\
Examples:
  chunkstore rm data/store/climate/temperature          one dataset
  chunkstore rm data/store/climate --recursive          climate, and all below it
  chunkstore rm 'data/store/climate/*_2019' --dry-run   what a pattern would remove

What is removed is gone at once for all who open the store later. Room on disk comes back with
`chunkstore gc` and `chunkstore compact`.

JSON: one document: store, dry_run, removed [{name, bytes, stored_bytes}].";

/// Remove datasets.
#[derive(clap::Args)]
#[command(after_long_help = HELP)]
pub(crate) struct Args {
    /// A dataset, or a pattern: STORE/NAME, 'STORE/PATTERN'.
    #[arg(value_name = "ADDRESS", value_hint = clap::ValueHint::AnyPath)]
    address: String,
    /// Remove what is below the name, too.
    #[arg(long, short)]
    recursive: bool,
    /// Only say what would be removed.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    memory: Memory,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Removes datasets.
pub(crate) fn run(args: &Args, output: &mut Output) -> Result<Exit> {
    let (folder, name) = Address::dataset(&args.address)?;
    let arena = args.memory.arena();
    let store = if args.dry_run { open::to_read(&folder, &arena)? } else { open::to_write(&folder, &arena)? };
    let mut found = open::select(&store, Some(&name))?;
    if !args.recursive && !open::is_pattern(&name) {
        let below = found.len();
        found.retain(|info| info.name == name);
        if found.is_empty() {
            let message = format!("{name} is no dataset, but {} stand below it", plural(below as u64, "dataset"));
            return Err(Failure::new(Exit::NotFound, message).hint("--recursive removes them all"));
        }
    }
    let mut removed = Vec::new();
    for info in &found {
        if args.dry_run || store.remove(&info.name)? {
            removed.push(info);
        }
    }
    if output.is_json() {
        let fields = removed.iter().map(|info| json!({ "name": info.name, "bytes": info.bytes, "stored_bytes": info.stored_bytes }));
        output.document(&json!({ "store": folder, "dry_run": args.dry_run, "removed": fields.collect::<Vec<_>>() }))?;
        return Ok(Exit::Success);
    }
    let verb = if args.dry_run { "would be removed" } else { "removed" };
    for info in &removed {
        output.line(format!("{} {verb}: {} of data, {} on disk", info.name, bytes(info.bytes), bytes(info.stored_bytes)))?;
    }
    Ok(Exit::Success)
}
