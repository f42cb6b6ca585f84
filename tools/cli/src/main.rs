//! The `chunkstore` command.

mod address;
mod chunk_number;
mod command;
mod commands;
mod common;
mod demo;
mod element;
mod export;
mod failure;
mod grid;
mod hex;
mod import;
mod key;
mod log_folder;
mod open;
mod output;
mod owner;
mod picture;
mod presence;
mod preview;
mod progress;
mod region;
mod run_log;
mod run_states;
mod slabs;
mod statistics;
mod summary;
mod table;
mod tree;
mod units;
mod value;

use clap::Parser;
use command::Cli;
use std::process::ExitCode;

fn main() -> ExitCode {
    chunkstore::init();
    Cli::parse().run()
}
