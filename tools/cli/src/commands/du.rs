//! `chunkstore du`: what takes room on disk.

use super::elsewhere::store_or_described;
use crate::common::{Common, Look};
use crate::failure::{Exit, Result};
use crate::open::{self, Garbage};
use crate::output::{Output, Style};
use crate::owner::sizes;
use crate::summary::{ratio, ratio_text, rounded};
use crate::table::{Side, Table};
use crate::units::bytes;
use serde_json::json;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const HELP: &str = "\
Examples:
  chunkstore du data/store                what each dataset takes, the largest first, and the files
  chunkstore du data/store/climate        what is below climate
  chunkstore du /var/tmp                  spilled chunks of running programs, and append logs
  chunkstore du data/shuffle              an append log: its data, and what it takes on disk

Bytes of a dataset that copies share are counted for each of them. What removed datasets left stays
in the segments until `chunkstore gc` (segments that nothing uses) or `chunkstore compact` (the
rest) gives it back.

JSON: one document: store, datasets [{name, bytes, stored_bytes, ratio}], bytes, stored_bytes,
ratio; of a whole store disk {segments, manifest, catalogue, events, other, total} and
collectable_bytes (what gc would give back), too. Of folders of spilled chunks: scratch [{path,
state, owner, bytes, disk_bytes}] and logs, as `info` has them; of an append log the same as `info`.";

/// Show what takes room on disk.
#[derive(clap::Args)]
#[command(after_long_help = HELP)]
pub(crate) struct Args {
    #[command(flatten)]
    look: Look,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Shows sizes.
pub(crate) fn run(args: &Args, output: &mut Output) -> Result<Exit> {
    let look = &args.look;
    let address = match store_or_described(look, output)? {
        Ok(address) => address,
        Err(exit) => return Ok(exit),
    };
    let store = open::to_read(&address.store, &args.look.memory.arena())?;
    let mut infos = open::select(&store, address.name.as_deref())?;
    infos.sort_by_key(|info| std::cmp::Reverse(info.stored_bytes));
    let (total, stored) = infos.iter().fold((0, 0), |(total, stored), info| (total + info.bytes, stored + info.stored_bytes));
    let whole = address.name.is_none();
    let (disk, garbage) = if whole { (files(&address.store), Garbage::of(&store)?) } else { Default::default() };
    let on_disk: u64 = disk.iter().map(|(_, bytes)| bytes).sum();
    if output.is_json() {
        let datasets = infos.iter().map(|info| {
            let ratio = ratio(info.bytes, info.stored_bytes).map(rounded);
            json!({ "name": info.name, "bytes": info.bytes, "stored_bytes": info.stored_bytes, "ratio": ratio })
        });
        let mut document = json!({
            "store": address.store, "datasets": datasets.collect::<Vec<_>>(), "bytes": total, "stored_bytes": stored,
            "ratio": ratio(total, stored).map(rounded),
        });
        if whole {
            let mut parts: serde_json::Map<_, _> = disk.iter().map(|(name, bytes)| (name.to_string(), json!(bytes))).collect();
            parts.insert("total".into(), on_disk.into());
            document["disk"] = parts.into();
            document["collectable_bytes"] = garbage.bytes.into();
        }
        output.document(&document)?;
        return Ok(Exit::Success);
    }
    let mut table = Table::new([Side::Right, Side::Right, Side::Right, Side::Left]);
    table.row(["on disk", "data", "ratio", "dataset"]);
    for info in &infos {
        table.row([bytes(info.stored_bytes), bytes(info.bytes), ratio_text(info.bytes, info.stored_bytes), info.name.clone()]);
    }
    table.row([bytes(stored), bytes(total), ratio_text(total, stored), "all".to_string()]);
    for (at, line) in table.lines().into_iter().enumerate() {
        output.line(if at == 0 { output.style(Style::Dim, line) } else { line })?;
    }
    if whole {
        let parts: Vec<String> = disk.iter().filter(|(_, size)| *size > 0).map(|(name, size)| format!("{name} {}", bytes(*size))).collect();
        output.line(format!("files: {} ({})", bytes(on_disk), parts.join(", ")))?;
        if garbage.bytes > 0 {
            output.line(output.style(Style::Yellow, format!("`chunkstore gc` gives back {}", bytes(garbage.bytes))))?;
        }
    }
    Ok(Exit::Success)
}

/// What the parts of a store take on disk.
fn files(store: &Path) -> Vec<(&'static str, u64)> {
    let folder = |name: &str| sizes(&store.join(name)).1;
    let manifest = store.join("manifest").metadata().map_or(0, |meta| meta.blocks() * 512);
    let mut parts =
        vec![("segments", folder("segments")), ("manifest", manifest), ("catalogue", folder("catalogue")), ("events", folder("events"))];
    let known: u64 = parts.iter().map(|(_, bytes)| bytes).sum();
    parts.push(("other", sizes(store).1.saturating_sub(known)));
    parts
}
