//! The `chunkstore` command.

mod dataset;
mod demo;
mod folder;
mod process;
mod screen;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(version, about = "Arrays larger than memory, within a bound that the whole process keeps")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run two jobs on data larger than memory, and check their answers and their memory.
    Demo(demo::Args),
}

fn main() -> ExitCode {
    chunkstore::init();
    let result = match Cli::parse().command {
        Command::Demo(args) => demo::run(&args),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
