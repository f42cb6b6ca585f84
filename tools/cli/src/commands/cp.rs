//! `chunkstore cp`: a dataset under another name, or in another store.

use crate::address::Address;
use crate::common::{Common, Make};
use crate::failure::{Exit, Failure, Result};
use crate::open;
use crate::output::Output;
use crate::presence::Presence;
use crate::summary::plural;
use crate::units::bytes;
use chunkstore_store::{Dataset, DatasetKind, Store};
use serde_json::json;
use std::path::Path;

const HELP: &str = "\
Examples:
  chunkstore cp data/store/x data/store/y              in one store: shares the bytes on disk
  chunkstore cp data/store/x backup/store/x            into another store, chunk by chunk
  chunkstore cp data/store/x backup//x --create        the other store is made
  chunkstore cp data/store/x backup/store/x --replace  in place of what is there

A copy in one store that replaces another dataset shares nothing. Every chunk that goes to another
store is read and checked; a damaged one ends the command, and nothing of the copy is visible then.
Where chunks are missing nothing is copied, and the command ends with 3, unless --partial is given.

JSON: one document: from {store, name}, to {store, name}, chunks, bytes, shared (whether the bytes
on disk are).";

/// Copy a dataset, within a store or to another.
#[derive(clap::Args)]
#[command(after_long_help = HELP)]
pub(crate) struct Args {
    /// The dataset: STORE/NAME.
    #[arg(value_name = "FROM", value_hint = clap::ValueHint::AnyPath)]
    from: String,
    /// Its copy: STORE/NAME.
    #[arg(value_name = "TO", value_hint = clap::ValueHint::AnyPath)]
    to: String,
    /// Copy the chunks that are there where others are missing.
    #[arg(long)]
    partial: bool,
    #[command(flatten)]
    make: Make,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Copies a dataset.
pub(crate) fn run(args: &Args, output: &mut Output) -> Result<Exit> {
    let (folder, name) = Address::dataset(&args.from)?;
    let target = Address::target(&args.to, args.make.create)?;
    let (to_folder, to_name) = (target.store, target.name.unwrap_or_default());
    let arena = args.make.memory.arena();
    let one_store = same(&folder, &to_folder);
    // A copy that shares what is on disk cannot take the place of another in one step; one that is written can.
    let shared = one_store && !args.make.replace;
    if one_store && name == to_name {
        return Err(Failure::new(Exit::Usage, format!("{name} cannot be copied onto itself")));
    }
    let store = open::to_write(&to_folder, &arena)?;
    let from = if one_store { open::dataset(&store, &name)? } else { open::dataset(&open::to_read(&folder, &arena)?, &name)? };
    if !args.partial
        && let Some(failure) = Presence::of(&from, &folder)?.failure()
    {
        return Err(failure.about("nothing was copied").hint("--partial copies the chunks that are there"));
    }
    let copy = if shared {
        store.copy(&name, &to_name)?;
        open::dataset(&store, &to_name)?
    } else {
        write(&from, &store, &to_name, args.make.replace)?
    };
    let info = copy.info();
    if output.is_json() {
        output.document(&json!({
            "from": { "store": folder, "name": name }, "to": { "store": to_folder, "name": to_name }, "chunks": info.chunks, "bytes": info.bytes,
            "shared": shared,
        }))?;
    } else {
        let how = if shared { "which share their bytes on disk" } else { "copied" };
        output.line(format!(
            "{name} -> {}/{to_name}: {} ({}), {how}",
            to_folder.display(),
            plural(info.chunks, "chunk"),
            bytes(info.bytes)
        ))?;
    }
    Ok(Exit::Success)
}

fn same(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// Reads every chunk and writes it again.
fn write(from: &Dataset, store: &Store, to: &str, replace: bool) -> Result<Dataset> {
    let info = from.info();
    let writer = store.create(to, DatasetKind::new(&info.kind, info.meta.clone()))?.replace(replace);
    for key in from.keys()? {
        let about = |error| Failure::from(error).about(format!("{} of {}", crate::key::text(&info.kind, &key), info.name));
        match from.get(&key).map_err(about) {
            Ok(chunk) => chunk.iter().try_for_each(|chunk| writer.put_key(&key, chunk))?,
            // Asked for: what is there, without what has gone with its file.
            Err(failure) if failure.is_gone() => {}
            Err(failure) => return Err(failure),
        }
    }
    for (name, value) in &info.attributes {
        writer.attribute(name.as_str(), value.clone())?;
    }
    Ok(writer.commit()?)
}
