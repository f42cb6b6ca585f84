//! `chunkstore profile`: what took the time of a run.

use crate::common::Common;
use crate::failure::{Exit, Result};
use crate::output::Output;
use crate::run_log;
use serde_json::json;
use std::path::PathBuf;

const HELP: &str = "\
Examples:
  chunkstore profile run/                      a table of the last run with the checkpoint folder run/
  chunkstore profile run/ -o profile.svg       with a picture of what each worker did over time

Seconds are those of workers, summed; time in which a worker waited for the disk is not in them.

JSON: one document: log, whole, seconds, peak_bytes, ends, and layers, a list of {name, tasks, seconds, bytes,
spilled_bytes, read_again_bytes}, those that took most first.";

/// Show what each layer of a run took.
#[derive(clap::Args)]
#[command(after_long_help = HELP)]
pub(crate) struct Args {
    /// A checkpoint folder, whose last run is looked at, or a log: RUN.events.
    #[arg(value_name = "RUN", value_hint = clap::ValueHint::AnyPath)]
    run: String,
    /// Write a picture of what each worker did to this file.
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    output: Option<PathBuf>,
    /// Replace the file, if it is there.
    #[arg(long, requires = "output")]
    force: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Shows the table, and draws the picture where one is wanted.
pub(crate) fn run(args: &Args, output: &mut Output) -> Result<Exit> {
    let (path, history) = run_log::history(&args.run)?;
    let profile = history.profile();
    if let Some(file) = &args.output {
        run_log::write(file, &history.profile_picture(&[]), args.force)?;
    }
    let seconds = history.ended_ns as f64 / 1e9;
    if output.is_json() {
        let layers: Vec<_> = profile
            .layers
            .iter()
            .map(|layer| {
                json!({
                    "name": layer.name, "tasks": layer.tasks, "seconds": layer.seconds, "bytes": layer.bytes,
                    "spilled_bytes": layer.spilled_bytes, "read_again_bytes": layer.read_again_bytes,
                })
            })
            .collect();
        output.document(&json!({
            "log": path, "whole": history.whole, "seconds": seconds, "peak_bytes": profile.peak_bytes, "ends": history.ends, "layers": layers,
        }))?;
        return Ok(Exit::Success);
    }
    output.line(profile)?;
    for end in &history.ends {
        output.line(format!("ended: {end}"))?;
    }
    if let Some(file) = &args.output {
        output.line(format!("the picture is in {}", file.display()))?;
    }
    Ok(Exit::Success)
}
