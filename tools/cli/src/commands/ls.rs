//! `chunkstore ls`: the datasets of a store.

use crate::address::Address;
use crate::common::{Common, Memory};
use crate::failure::{Exit, Failure, Result};
use crate::open;
use crate::output::{Output, Style};
use crate::owner::ScratchFolder;
use crate::summary::{content, json, plural, ratio_text};
use crate::table::{Side, Table};
use crate::tree::tree;
use crate::units::bytes;
use serde_json::json;
use std::path::Path;

const HELP: &str = "\
Examples:
  chunkstore ls data/store                   all datasets, as a tree
  chunkstore ls data/store/climate           climate, and what is below it
  chunkstore ls 'data/store/climate/*_2020'  those of a pattern; ** crosses slashes
  chunkstore ls data/store --names           names only, one a line
  chunkstore ls /var/tmp                     folders of spilled chunks of running programs

The columns are kind, content, chunks, bytes in memory, bytes on disk, and their ratio.

JSON: a line for each dataset: name, kind, dtype, shape, chunks, bytes, stored_bytes, ratio, created
(seconds since 1970). A folder of spilled chunks has kind \"scratch\", path, state (running, dead,
unknown), owner {process, since, alive}, bytes, disk_bytes.";

/// List the datasets of a store as a tree, with sizes.
#[derive(clap::Args)]
#[command(after_long_help = HELP)]
pub(crate) struct Args {
    /// A store, a dataset or group in one, or a pattern: STORE, STORE/NAME, 'STORE/PATTERN'.
    #[arg(value_name = "ADDRESS", default_value = ".", value_hint = clap::ValueHint::AnyPath)]
    address: String,
    /// Print names only, one a line.
    #[arg(long, conflicts_with = "json")]
    names: bool,
    #[command(flatten)]
    memory: Memory,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Lists datasets.
pub(crate) fn run(args: &Args, output: &mut Output) -> Result<Exit> {
    let address = match Address::find(&args.address) {
        Err(failure) => return scratch_alone(&args.address, failure, output),
        Ok(address) => address,
    };
    let store = open::to_read(&address.store, &args.memory.arena())?;
    let infos = open::select(&store, address.name.as_deref())?;
    let scratch = if address.name.is_none() { ScratchFolder::find(&address.store) } else { Vec::new() };
    if output.is_json() {
        for info in &infos {
            output.document(&json(info))?;
        }
        scratch.iter().try_for_each(|folder| document(folder, output))?;
        return Ok(Exit::Success);
    }
    if args.names {
        infos.iter().try_for_each(|info| output.line(&info.name))?;
        return Ok(Exit::Success);
    }
    let (total, stored) = infos.iter().fold((0, 0), |(total, stored), info| (total + info.bytes, stored + info.stored_bytes));
    let datasets = plural(infos.len() as u64, "dataset");
    let title = output.style(Style::Bold, address.store.display());
    match infos.is_empty() {
        true => output.line(format!("{title}: {datasets}"))?,
        false => output.line(format!("{title}: {datasets}, {} in {} ({})", bytes(total), bytes(stored), ratio_text(total, stored)))?,
    }
    let names: Vec<&str> = infos.iter().map(|info| info.name.as_str()).collect();
    let lines = tree(&names, output.unicode());
    let mut table = Table::new([Side::Left, Side::Left, Side::Left, Side::Right, Side::Right, Side::Right, Side::Right]);
    for (before, part, at) in &lines {
        let tree = format!("{before}{part}");
        match at.and_then(|at| infos.get(at)) {
            None => table.row([tree]),
            Some(info) => table.row([
                tree,
                info.kind.clone(),
                content(info),
                plural(info.chunks, "chunk"),
                bytes(info.bytes),
                bytes(info.stored_bytes),
                ratio_text(info.bytes, info.stored_bytes),
            ]),
        }
    }
    for ((before, part, at), line) in lines.iter().zip(table.lines()) {
        let rest = line.get(before.len() + part.len()..).unwrap_or_default();
        let style = if at.is_some() { Style::Bold } else { Style::Cyan };
        output.line(format!("{}{}{rest}", output.style(Style::Dim, before), output.style(style, part)))?;
    }
    scratch.iter().try_for_each(|folder| line(folder, output))?;
    Ok(Exit::Success)
}

/// Lists the folders of spilled chunks where there is no store.
fn scratch_alone(address: &str, failure: Failure, output: &mut Output) -> Result<Exit> {
    let found = ScratchFolder::find(Path::new(address));
    if found.is_empty() {
        return Err(failure);
    }
    for folder in &found {
        if output.is_json() { document(folder, output)? } else { line(folder, output)? }
    }
    Ok(Exit::Success)
}

fn document(folder: &ScratchFolder, output: &mut Output) -> Result {
    let mut fields = json!({ "kind": "scratch" });
    if let (Some(fields), serde_json::Value::Object(more)) = (fields.as_object_mut(), folder.json()) {
        fields.extend(more);
    }
    output.document(&fields)
}

/// A line for a folder of spilled chunks.
pub(crate) fn line(folder: &ScratchFolder, output: &mut Output) -> Result {
    let owner = folder.owner.map_or("unknown owner".to_string(), |owner| {
        let lives = if owner.alive { "of the running" } else { "left by the dead" };
        format!("{lives} process {} since {}", owner.process, crate::units::time(owner.since))
    });
    let style = if folder.state() == "running" { Style::Green } else { Style::Yellow };
    output.line(format!("{}  scratch {owner}, {} on disk", output.style(style, folder.path.display()), bytes(folder.disk_bytes)))
}
