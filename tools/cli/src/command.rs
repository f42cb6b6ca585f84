//! The command line: from here come the help, the completions and the manual pages.

use crate::commands::{
    compact, completions, cp, du, export, gc, head, import, info, ls, man, map, profile, repair, rm, stat, timeline, verify, why,
};
use crate::common::Common;
use crate::demo;
use crate::failure::{EXIT_CODES, Exit, Result};
use crate::output::Output;
use std::process::ExitCode;

/// Looks into stores of chunked arrays, checks and repairs them, and moves data in and out.
#[derive(clap::Parser)]
#[command(name = "chunkstore", version, about = "Chunked arrays on disk: look, check, repair, move", long_about = LONG, after_long_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What the command is, how stores and datasets are named, and what all subcommands share.
const LONG: &str = "\
Looks into stores of chunked arrays, checks and repairs them, and moves data in and out.

A store is a folder. The datasets in it have names such as `climate/temperature`. A command is given
a path: its longest part that is a store is the store, and what follows is the name of a dataset in
it:

  data/store                       the store in the folder data/store
  data/store/climate/temperature   the dataset climate/temperature in it
  data/store//climate              the same, with the end of the store marked
  climate/temperature              the dataset, where the current folder is the store

Reading commands take no lock: they work beside a program that writes to the store, and show what it
had committed when they began. All commands take --json; the fields are listed in their long help
(--help).";

#[derive(clap::Subcommand)]
enum Command {
    Ls(ls::Args),
    Info(info::Args),
    Head(head::Args),
    Stat(stat::Args),
    Du(du::Args),
    Map(map::Args),
    Why(why::Args),
    Timeline(timeline::Args),
    Profile(profile::Args),
    Verify(verify::Args),
    Repair(repair::Args),
    Compact(compact::Args),
    Gc(gc::Args),
    Export(export::Args),
    Import(import::Args),
    Rm(rm::Args),
    Cp(cp::Args),
    Completions(completions::Args),
    Man(man::Args),
    /// Run two jobs on data larger than memory, and check their answers and their memory.
    Demo(demo::Args),
}

impl Cli {
    /// Runs the subcommand; how the process ends.
    pub(crate) fn run(self) -> ExitCode {
        match &self.command {
            Command::Ls(args) => answer(&args.common, |output| ls::run(args, output)),
            Command::Info(args) => answer(&args.common, |output| info::run(args, output)),
            Command::Head(args) => answer(&args.common, |output| head::run(args, output)),
            Command::Stat(args) => answer(&args.common, |output| stat::run(args, output)),
            Command::Du(args) => answer(&args.common, |output| du::run(args, output)),
            Command::Verify(args) => answer(&args.common, |output| verify::run(args, output)),
            Command::Repair(args) => answer(&args.common, |output| repair::run(args, output)),
            Command::Compact(args) => answer(&args.common, |output| compact::run(args, output)),
            Command::Gc(args) => answer(&args.common, |output| gc::run(args, output)),
            Command::Map(args) => answer(&args.common, |output| map::run(args, output)),
            Command::Why(args) => answer(&args.common, |output| why::run(args, output)),
            Command::Timeline(args) => answer(&args.common, |output| timeline::run(args, output)),
            Command::Profile(args) => answer(&args.common, |output| profile::run(args, output)),
            Command::Export(args) => answer(&args.common, |output| export::run(args, output)),
            Command::Import(args) => answer(&args.common, |output| import::run(args, output)),
            Command::Rm(args) => answer(&args.common, |output| rm::run(args, output)),
            Command::Cp(args) => answer(&args.common, |output| cp::run(args, output)),
            Command::Completions(args) => answer(&args.common, |output| completions::run(args, output)),
            Command::Man(args) => answer(&args.common, |output| man::run(args, output)),
            Command::Demo(args) => match demo::run(args) {
                Ok(true) => ExitCode::SUCCESS,
                Ok(false) => ExitCode::FAILURE,
                Err(error) => {
                    eprintln!("error: {error}");
                    ExitCode::FAILURE
                }
            },
        }
    }
}

/// Runs a command, says what went wrong, and gives the exit code.
fn answer(common: &Common, run: impl FnOnce(&mut Output) -> Result<Exit>) -> ExitCode {
    let mut output = Output::new(common);
    let result = run(&mut output);
    // What was said before a failure is still true, and is not held back.
    let flushed = output.flush();
    match result.and_then(|exit| flushed.map(|()| exit)) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            failure.print(common.json);
            failure.exit().into()
        }
    }
}
