//! What an address leads to: a store, or folders of other kinds.

use crate::address::Address;
use crate::common::Look;
use crate::failure::{Exit, Result};
use crate::log_folder::{LogFolder, OpenLog};
use crate::output::{Output, Style};
use crate::owner::ScratchFolder;
use crate::units::bytes;
use serde_json::{Value, json};
use std::path::Path;

/// What is at an address.
pub(super) enum Place {
    /// A store, or something in it.
    Store(Address),
    /// An append log.
    Log(LogFolder),
    /// A folder with append logs, and spilled chunks of programs.
    Folder(Folder),
}

/// Folders in a folder.
pub(super) struct Folder {
    pub(super) scratch: Vec<ScratchFolder>,
    pub(super) logs: Vec<LogFolder>,
}

impl Place {
    /// Looks what is at the address.
    pub(super) fn find(look: &Look) -> Result<Place> {
        let path = Path::new(&look.address);
        if let Some(log) = LogFolder::at(path) {
            return Ok(Place::Log(log));
        }
        match Address::find(&look.address) {
            Ok(address) => Ok(Place::Store(address)),
            Err(failure) => match Folder::of(path) {
                folder if folder.is_empty() => Err(failure),
                folder => Ok(Place::Folder(folder)),
            },
        }
    }
}

/// The address of a store or of something in one. What else is there is described, and the command is done then.
pub(super) fn store_or_described(look: &Look, output: &mut Output) -> Result<std::result::Result<Address, Exit>> {
    match Place::find(look)? {
        Place::Store(address) => return Ok(Ok(address)),
        Place::Log(log) => super::of_log::describe(&log, look, output)?,
        Place::Folder(folder) => folder.show(look, output)?,
    }
    Ok(Err(Exit::Success))
}

impl Folder {
    /// Those in a folder.
    pub(super) fn of(path: &Path) -> Folder {
        Folder { scratch: ScratchFolder::find(path), logs: LogFolder::find(path) }
    }

    fn is_empty(&self) -> bool {
        self.scratch.is_empty() && self.logs.is_empty()
    }

    /// Says of each on a line what it is.
    pub(super) fn lines(&self, look: &Look, output: &mut Output) -> Result {
        self.scratch.iter().try_for_each(|folder| scratch_line(folder, output))?;
        for log in &self.logs {
            let line = log.line(&open(log, look)?, output);
            output.line(line)?;
        }
        Ok(())
    }

    /// A JSON document for each of the two kinds.
    pub(super) fn json(&self, look: &Look) -> Result<(Vec<Value>, Vec<Value>)> {
        let logs = self.logs.iter().map(|log| Ok(log.json(&open(log, look)?))).collect::<Result<_>>()?;
        Ok((self.scratch.iter().map(ScratchFolder::json).collect(), logs))
    }

    /// Says what there is, as lines of text or as one document.
    fn show(&self, look: &Look, output: &mut Output) -> Result {
        if output.is_json() {
            let (scratch, logs) = self.json(look)?;
            return output.document(&json!({ "scratch": scratch, "logs": logs }));
        }
        self.lines(look, output)
    }
}

/// Opens a log within the memory that the command may take.
pub(super) fn open(log: &LogFolder, look: &Look) -> Result<OpenLog> {
    log.open(&look.memory.arena(), look.memory.memory)
}

/// A line for a folder of spilled chunks.
fn scratch_line(folder: &ScratchFolder, output: &mut Output) -> Result {
    let owner = folder.owner.map_or("unknown owner".to_string(), |owner| {
        let lives = if owner.alive { "of the running" } else { "left by the dead" };
        format!("{lives} process {} since {}", owner.process, crate::units::time(owner.since))
    });
    let style = if folder.state() == "running" { Style::Green } else { Style::Yellow };
    output.line(format!("{}  scratch {owner}, {} on disk", output.style(style, folder.path.display()), bytes(folder.disk_bytes)))
}
