//! `chunkstore verify`: whether everything is as it was saved.

use super::elsewhere::Place;
use super::of_log;
use crate::common::{Common, Look};
use crate::failure::{Exit, Failure, Result};
use crate::hex::hex;
use crate::key;
use crate::open;
use crate::output::{Output, Style};
use crate::presence::Presence;
use crate::progress::Progress;
use crate::summary::plural;
use crate::units::{bytes, count};
use chunkstore_store::{Damage, Store};
use serde_json::json;
use std::collections::HashMap;
use std::path::Path;

const HELP: &str = "\
Examples:
  chunkstore verify data/store                       every byte of the store
  chunkstore verify data/store/climate/temperature   the chunks of one dataset
  chunkstore verify data/store --json | jq .damaged  what is damaged, for programs
  chunkstore verify data/shuffle                     every block and entry of an append log

Each damage is named with its dataset and chunk, file and byte. The command takes no lock; what a
writer commits while it runs is not looked at. `chunkstore repair` keeps what is sound.

Exit codes: 0 sound, 1 damaged, else see `chunkstore --help`.

JSON: one document: store, sound, datasets, chunks, segments, bytes, unreferenced_bytes (what
compact and gc would give back), gone (chunks that earlier repairs could not keep), warnings [texts],
damages (how many), damaged [{dataset, chunk, key, file, offset, problem}]. Of one dataset: store,
name, sound, chunks, bytes, missing, damages, damaged [{dataset, chunk, key, problem}]. Of an append
log: log, sound, partitions, entries, attempts (of tasks, whose entries count), blocks, bytes,
damages, damaged [texts], warnings [texts].";

/// Read everything, and name what is damaged.
#[derive(clap::Args)]
#[command(after_long_help = HELP)]
pub(crate) struct Args {
    #[command(flatten)]
    look: Look,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// The most damages that are listed as text.
const LISTED: usize = 100;

/// Verifies a store or a dataset.
pub(crate) fn run(args: &Args, output: &mut Output) -> Result<Exit> {
    let look = &args.look;
    let address = match Place::find(look)? {
        Place::Log(log) => return of_log::verify(&log, look, output),
        Place::Folder(folder) => {
            return Err(match folder.logs.first() {
                Some(log) => {
                    Failure::new(Exit::Usage, "this is a folder with append logs").hint(format!("name one: {}", log.path.display()))
                }
                None => Failure::new(Exit::Usage, "spilled chunks of a program go with it, and are not verified")
                    .hint("name a store or an append log"),
            });
        }
        Place::Store(address) => address,
    };
    let store = open::to_read(&address.store, &args.look.memory.arena())?;
    match &address.name {
        None => whole(&store, &address.store, output),
        Some(name) => one(&store, &address.store, name, output),
    }
}

fn whole(store: &Store, folder: &Path, output: &mut Output) -> Result<Exit> {
    let mut progress = Progress::new("verified", output);
    let found = store.verify(|done, total| progress.show(done, total));
    drop(progress);
    let found = match found.map_err(Failure::from) {
        Err(failure) if failure.is_gone() => return gone(folder, &failure, output),
        Err(failure) => {
            let chunks: u64 = store.infos("").unwrap_or_default().iter().map(|info| info.chunks).sum();
            let what = format!("a note is kept of each of the {}, whatever their size", plural(chunks, "chunk"));
            return Err(
                failure.without_memory(|| format!("{what}: give it more --memory, or verify one dataset after the other (STORE/NAME)"))
            );
        }
        Ok(found) => found,
    };
    let exit = if found.is_sound() { Exit::Success } else { Exit::No };
    if output.is_json() {
        output.document(&json!({
            "store": folder, "sound": found.is_sound(), "datasets": found.datasets, "chunks": found.chunks, "segments": found.segments,
            "bytes": found.bytes, "unreferenced_bytes": found.unreferenced_bytes, "damages": found.damages, "gone": found.gone, "warnings": found.warnings,
            "damaged": found.damaged.iter().map(document).collect::<Vec<_>>(),
        }))?;
        return Ok(exit);
    }
    let (datasets, segments) = (plural(found.datasets, "dataset"), plural(found.segments, "segment"));
    let read = format!("{datasets}, {} in {segments}, {} read", plural(found.chunks, "chunk"), bytes(found.bytes));
    if found.is_sound() {
        output.line(format!("{}: {}: {read}", folder.display(), output.style(Style::Green, "sound")))?;
    } else {
        let verdict = output.style(Style::Red, format!("DAMAGED in {}", places(found.damages)));
        output.line(format!("{}: {verdict}: {read}", folder.display()))?;
        let kinds = key::kinds(store);
        found.damaged.iter().take(LISTED).try_for_each(|damage| output.line(format!("  {}", text(damage, &kinds))))?;
        if found.damages > LISTED as u64 {
            output.line(format!("  ... and {} more; --json lists them", count(found.damages - LISTED as u64)))?;
        }
        output.line(format!("`chunkstore repair {}` keeps what is sound", folder.display()))?;
    }
    if found.gone > 0 {
        let gone = plural(found.gone, "chunk");
        output
            .line(output.style(Style::Yellow, format!("gone before: {gone} that a repair could not keep; `chunkstore map` shows which")))?;
    }
    found.warnings.iter().try_for_each(|warning| output.line(output.style(Style::Yellow, format!("warning: {warning}"))))?;
    if found.unreferenced_bytes > 0 {
        let unused = bytes(found.unreferenced_bytes);
        output.line(match open::writer(folder) {
            None => format!("{unused} are not used any more; `chunkstore compact` gives them back"),
            Some(owner) => format!("{unused} are not used by what is committed; process {} may be writing some of it", owner.process),
        })?;
    }
    Ok(exit)
}

/// That so much is gone that nothing else can be looked at.
fn gone(folder: &Path, failure: &Failure, output: &mut Output) -> Result<Exit> {
    if output.is_json() {
        let damage = json!({ "dataset": null, "chunk": null, "key": null, "file": null, "offset": null, "problem": failure.to_string() });
        output.document(&json!({ "store": folder, "sound": false, "damages": 1, "damaged": [damage] }))?;
    } else {
        output.line(format!("{}: {}: {failure}", folder.display(), output.style(Style::Red, "DAMAGED")))?;
    }
    Ok(Exit::No)
}

/// Reads every chunk of a dataset.
fn one(store: &Store, folder: &Path, name: &str, output: &mut Output) -> Result<Exit> {
    let dataset = match open::dataset(store, name) {
        Err(failure) if failure.is_gone() => return gone(folder, &failure, output),
        other => other?,
    };
    let kind = dataset.info().kind.as_str();
    let presence = Presence::of(&dataset, folder)?;
    let (mut damaged, mut read, keys) = (Vec::new(), 0, dataset.keys()?);
    let mut progress = Progress::new("verified", output);
    for key in &keys {
        match dataset.get(key) {
            Ok(chunk) => read += chunk.map_or(0, |chunk| chunk.nbytes()),
            Err(error) => match Failure::from(error) {
                failure if failure.is_damage() || failure.is_gone() => damaged.push((key, failure)),
                failure => {
                    let failure = failure.about(format!("{} of {name}", key::text(kind, key)));
                    let hint = "give it more --memory, or verify the whole store, for which no chunk need fit";
                    return Err(failure.without_memory(|| hint.into()));
                }
            },
        }
        progress.show(read, dataset.info().bytes);
    }
    drop(progress);
    let exit = if damaged.is_empty() { Exit::Success } else { Exit::No };
    if output.is_json() {
        let damaged: Vec<_> = damaged
            .iter()
            .map(|(key, failure)| json!({ "dataset": name, "chunk": key::number(key), "key": hex(key, usize::MAX), "problem": failure.to_string() }))
            .collect();
        output.document(&json!({
            "store": folder, "name": name, "sound": damaged.is_empty(), "chunks": keys.len(), "bytes": read, "missing": presence.missing(), "damages": damaged.len(), "damaged": damaged,
        }))?;
        return Ok(exit);
    }
    let what = format!("{}, {} of data", plural(keys.len() as u64, "chunk"), bytes(read));
    if damaged.is_empty() {
        output.line(format!("{name}: {}: {what}", output.style(Style::Green, "sound")))?;
        presence.told().iter().try_for_each(|told| output.line(output.style(Style::Yellow, told)))?;
        return Ok(exit);
    }
    let verdict = output.style(Style::Red, format!("DAMAGED in {}", plural(damaged.len() as u64, "chunk")));
    output.line(format!("{name}: {verdict}: {what}"))?;
    for (key, failure) in damaged.iter().take(LISTED) {
        output.line(format!("  {}: {failure}", key::text(kind, key)))?;
    }
    output.line(format!("`chunkstore repair {}` keeps what is sound", folder.display()))?;
    Ok(exit)
}

fn places(count: u64) -> String {
    plural(count, "place")
}

/// A damage on a line.
pub(super) fn text(damage: &Damage, kinds: &HashMap<String, String>) -> String {
    let kind = damage.dataset.as_ref().and_then(|name| kinds.get(name)).map_or("", String::as_str);
    let key = damage.key.as_deref().map(|bytes| format!(" {}", key::text(kind, bytes))).unwrap_or_default();
    let what = damage.dataset.as_ref().map_or_else(String::new, |dataset| format!("{dataset}{key}: "));
    format!("{what}{} at byte {}: {}", damage.file.display(), damage.offset, damage.problem)
}

/// The fields of a damage.
pub(super) fn document(damage: &Damage) -> serde_json::Value {
    json!({
        "dataset": damage.dataset, "chunk": damage.chunk(), "key": damage.key.as_deref().map(|key| hex(key, usize::MAX)),
        "file": damage.file, "offset": damage.offset, "problem": damage.problem,
    })
}
