//! `chunkstore completions`: what a shell needs to complete command lines.

use crate::command::Cli;
use crate::common::Common;
use crate::failure::{Exit, Result};
use crate::output::Output;
use clap::CommandFactory;
use clap_complete::Shell;
use serde_json::json;

const HELP: &str = "\
Examples:
  chunkstore completions bash > ~/.local/share/bash-completion/completions/chunkstore
  chunkstore completions zsh > \"${fpath[1]}/_chunkstore\"
  chunkstore completions fish > ~/.config/fish/completions/chunkstore.fish

JSON: one document: shell, script.";

/// Print the completions for a shell.
///
/// They go to standard output; put them where the shell looks for completions, and start a new shell.
#[derive(clap::Args)]
#[command(after_long_help = HELP)]
pub(crate) struct Args {
    /// The shell.
    #[arg(value_name = "SHELL")]
    shell: Shell,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Prints the completions.
pub(crate) fn run(args: &Args, output: &mut Output) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "chunkstore", &mut script);
    match output.is_json() {
        true => output.document(&json!({ "shell": args.shell.to_string(), "script": String::from_utf8_lossy(&script) }))?,
        false => output.raw().write_all(&script)?,
    }
    Ok(Exit::Success)
}
