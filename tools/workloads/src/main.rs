//! The benchmark runner: exactly defined work, one JSON line a run.

mod belady;
mod order;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    work: Work,
}

#[derive(Subcommand)]
enum Work {
    /// Plan the order of a task graph in a file.
    Order(order::Args),
}

fn main() -> ExitCode {
    let result = match Cli::parse().work {
        Work::Order(args) => order::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("workloads: {error}");
            ExitCode::FAILURE
        }
    }
}
