//! The benchmark runner: exactly defined work, one JSON line a run.

mod bag_groupby;
mod bag_groupby_large;
mod elementwise;
mod lazyslice;
mod numbers;
mod order;
mod order_made;
mod process;
mod reduce;
mod run;
mod sizes;
mod spill_chunks;
mod spill_log;
mod tasks;
mod wordcount;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

#[derive(Parser)]
#[command(version, about, long_about = "Runs one workload and prints one JSON line: its seconds, peak memory and the check of its result.")]
struct Cli {
    #[command(subcommand)]
    work: Work,
}

#[derive(Subcommand)]
enum Work {
    /// Plan the order of a task graph, from a file or made.
    Order(order::Args),
    /// sum(abs((x - mean) / std)) of an array on disk.
    Reduce(run::Args),
    /// mean(a*b + exp(-c)*sqrt(d)), inputs in memory.
    Elementwise(run::Args),
    /// Graphs of 1e3 to 1e5 tasks that do next to nothing.
    Tasks(run::Args),
    /// A tree of 1e6 such tasks.
    #[command(name = "tasks-1e6")]
    Tasks1e6(run::Args),
    /// A tree, a chain and a grid of 1e7 such tasks.
    #[command(name = "tasks-1e7")]
    Tasks1e7(run::Args),
    /// The 20 most frequent words of text files.
    Wordcount(run::Args),
    /// Rows and sums by a key, of JSON lines.
    #[command(name = "bag_groupby")]
    BagGroupby(run::Args),
    /// Groups of made records, as many bytes as are asked for, checked against closed forms.
    #[command(name = "bag_groupby_large")]
    BagGroupbyLarge(bag_groupby_large::Args),
    /// A corner of a large lazy array.
    Lazyslice(run::Args),
    /// The chest alone, with more chunks than it holds in memory.
    #[command(name = "spill_chunks")]
    SpillChunks(run::Args),
    /// The append log alone, with more than its buffer holds.
    #[command(name = "spill_log")]
    SpillLog(run::Args),
}

fn main() -> ExitCode {
    chunkstore::init();
    let result = match Cli::parse().work {
        Work::Order(args) => order::run(&args).map(|()| true),
        Work::Reduce(args) => run::run("reduce", &args, reduce::prepare),
        Work::Elementwise(args) => run::run("elementwise", &args, elementwise::prepare),
        Work::Tasks(args) => run::run("tasks", &args, tasks::prepare),
        Work::Tasks1e6(args) => run::run("tasks-1e6", &args, tasks::prepare_many),
        Work::Tasks1e7(args) => run::run("tasks-1e7", &args, tasks::prepare_most),
        Work::Wordcount(args) => run::run("wordcount", &args, wordcount::prepare),
        Work::BagGroupby(args) => run::run("bag_groupby", &args, bag_groupby::prepare),
        Work::BagGroupbyLarge(args) => bag_groupby_large::run(&args),
        Work::Lazyslice(args) => run::run("lazyslice", &args, lazyslice::prepare),
        Work::SpillLog(args) => run::run("spill_log", &args, spill_log::prepare),
        Work::SpillChunks(args) => run::run("spill_chunks", &args, spill_chunks::prepare),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("workloads: {error}");
            ExitCode::FAILURE
        }
    }
}
