//! `chunkstore man`: manual pages.

use crate::command::Cli;
use crate::common::Common;
use crate::failure::{Exit, Failure, Result};
use crate::output::Output;
use clap::CommandFactory;
use clap_mangen::Man;
use serde_json::json;
use std::path::{Path, PathBuf};

const HELP: &str = "\
Examples:
  chunkstore man | man -l -               read the page of chunkstore
  chunkstore man export | man -l -        read the page of chunkstore export
  chunkstore man --folder ~/.local/share/man/man1
                                          write all pages, one for each subcommand

JSON: one document: pages, a list of {name, text}; with --folder {name, path}.";

/// Print a manual page, or write all of them.
///
/// The pages are made from the same definition as the help, in the language of man (troff).
#[derive(clap::Args)]
#[command(after_long_help = HELP)]
pub(crate) struct Args {
    /// The subcommand; without one, the page of chunkstore itself.
    #[arg(value_name = "SUBCOMMAND", conflicts_with = "folder")]
    subcommand: Option<String>,
    /// Write all pages to files in this folder, which is made if it is missing.
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    folder: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Prints or writes pages.
pub(crate) fn run(args: &Args, output: &mut Output) -> Result<Exit> {
    if let Some(folder) = &args.folder {
        std::fs::create_dir_all(folder).map_err(|error| Failure::io("the folder cannot be made", folder, &error))?;
        let mut written = Vec::new();
        for (name, text) in pages()? {
            let path = folder.join(format!("{name}.1"));
            std::fs::write(&path, text).map_err(|error| Failure::io("the page cannot be written", &path, &error))?;
            written.push(json!({ "name": name, "path": path }));
            if !output.is_json() {
                output.line(path.display())?;
            }
        }
        if output.is_json() {
            output.document(&json!({ "pages": written }))?;
        }
        return Ok(Exit::Success);
    }
    let wanted = args.subcommand.as_ref().map_or("chunkstore".to_string(), |name| format!("chunkstore-{name}"));
    let Some((name, text)) = pages()?.into_iter().find(|(name, _)| *name == wanted) else {
        let hint = "chunkstore --help lists the subcommands";
        return Err(Failure::new(Exit::Usage, format!("there is no page {wanted}")).hint(hint));
    };
    match output.is_json() {
        true => output.document(&json!({ "pages": [{ "name": name, "text": String::from_utf8_lossy(&text) }] }))?,
        false => output.raw().write_all(&text)?,
    }
    Ok(Exit::Success)
}

/// All pages: their names and their text.
fn pages() -> Result<Vec<(String, Vec<u8>)>> {
    let mut root = Cli::command();
    root.build();
    let mut pages = vec![page("chunkstore".to_string(), root.clone())?];
    for subcommand in root.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
        let name = format!("chunkstore-{}", subcommand.get_name());
        pages.push(page(name, subcommand.clone())?);
    }
    Ok(pages)
}

fn page(name: String, command: clap::Command) -> Result<(String, Vec<u8>)> {
    let mut text = Vec::new();
    Man::new(command).render(&mut text).map_err(|error| Failure::io("a page cannot be made", Path::new(&name), &error))?;
    Ok((name, text))
}
