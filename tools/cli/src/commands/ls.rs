//! `chunkstore ls`: the datasets of a store.

use super::elsewhere::{Folder, Place};
use super::of_log;
use crate::common::{Common, Look};
use crate::failure::{Exit, Result};
use crate::open;
use crate::output::{Output, Style};
use crate::summary::{content, json, plural, ratio_text};
use crate::table::{Side, Table};
use crate::tree::tree;
use crate::units::bytes;

const HELP: &str = "\
Examples:
  chunkstore ls data/store                   all datasets, as a tree
  chunkstore ls data/store/climate           climate, and what is below it
  chunkstore ls 'data/store/climate/*_2020'  those of a pattern; ** crosses slashes
  chunkstore ls data/store --names           names only, one a line
  chunkstore ls /var/tmp                     spilled chunks of running programs, and append logs
  chunkstore ls data/shuffle                 the partitions of an append log

The columns are kind, content, chunks, bytes in memory, bytes on disk, and their ratio.

JSON: a line for each dataset: name, kind, dtype, shape, chunks, bytes, stored_bytes, ratio, created
(seconds since 1970). A folder of spilled chunks has kind \"scratch\", path, state (running, dead,
unknown), owner {process, since, alive}, bytes, disk_bytes. An append log has kind \"log\", path,
partitions, partitions_used, records, bytes, disk_bytes, ratio, writers, writers_running; where it is
what was asked for, a line for each partition that is used follows: kind \"partition\", partition,
records, bytes.";

/// List the datasets of a store as a tree, with sizes.
#[derive(clap::Args)]
#[command(after_long_help = HELP)]
pub(crate) struct Args {
    #[command(flatten)]
    look: Look,
    /// Print names only, one a line.
    #[arg(long, conflicts_with = "json")]
    names: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Lists datasets.
pub(crate) fn run(args: &Args, output: &mut Output) -> Result<Exit> {
    let look = &args.look;
    let address = match Place::find(look)? {
        Place::Log(log) => return of_log::list(&log, look, output),
        Place::Folder(folder) => {
            beside(&folder, look, output)?;
            return Ok(Exit::Success);
        }
        Place::Store(address) => address,
    };
    let store = open::to_read(&address.store, &args.look.memory.arena())?;
    let infos = open::select(&store, address.name.as_deref())?;
    let folder = address.name.is_none().then(|| Folder::of(&address.store));
    if output.is_json() {
        for info in &infos {
            output.document(&json(info))?;
        }
        folder.iter().try_for_each(|folder| beside(folder, look, output))?;
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
    folder.iter().try_for_each(|folder| beside(folder, look, output))?;
    Ok(Exit::Success)
}

/// Lists folders of spilled chunks and append logs.
fn beside(folder: &Folder, look: &Look, output: &mut Output) -> Result {
    if !output.is_json() {
        return folder.lines(look, output);
    }
    let (scratch, logs) = folder.json(look)?;
    for mut fields in scratch {
        fields["kind"] = "scratch".into();
        output.document(&fields)?;
    }
    logs.iter().try_for_each(|log| output.document(log))
}
