//! `chunkstore timeline`: a picture of where each chunk of a run was over time.

use crate::common::Common;
use crate::failure::{Exit, Result};
use crate::output::Output;
use crate::run_log;
use serde_json::json;
use std::path::PathBuf;

const HELP: &str = "\
Examples:
  chunkstore timeline run/ -o timeline.svg             of the last run with the checkpoint folder run/
  chunkstore timeline run/events/18a2.events > t.svg   of one log

A row is a chunk, in the order in which chunks were first made or read: blue while it is in memory,
violet while it is on disk as well, orange while it is on disk only. Where there are many, neighbours
share a row. Above them stands the sum of what is in memory, and the bound.

JSON: one document: log, whole, seconds, bound, and chunks, a list of {name, bytes, stays [{from_ns, to_ns,
in_memory, on_disk}]}.";

/// Draw where each chunk of a run was: in memory, on disk, or gone.
#[derive(clap::Args)]
#[command(after_long_help = HELP)]
pub(crate) struct Args {
    /// A checkpoint folder, whose last run is drawn, or a log: RUN.events.
    #[arg(value_name = "RUN", value_hint = clap::ValueHint::AnyPath)]
    run: String,
    /// Write the picture to this file instead of standard output.
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    output: Option<PathBuf>,
    /// Replace the file, if it is there.
    #[arg(long, requires = "output")]
    force: bool,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Draws the picture.
pub(crate) fn run(args: &Args, output: &mut Output) -> Result<Exit> {
    let (path, history) = run_log::history(&args.run)?;
    if let Some(file) = &args.output {
        run_log::write(file, &history.timeline(), args.force)?;
    }
    if output.is_json() {
        let chunks: Vec<_> = history
            .tasks()
            .filter(|task| task.bytes > 0)
            .map(|task| {
                let stay = |stay: &chunkstore::report::Stay| {
                    json!({ "from_ns": stay.ns.0, "to_ns": stay.ns.1, "in_memory": stay.in_memory, "on_disk": stay.on_disk })
                };
                let stays: Vec<_> = task.stays(history.ended_ns).iter().map(stay).collect();
                json!({ "name": history.name(task), "bytes": task.bytes, "stays": stays })
            })
            .collect();
        let seconds = history.ended_ns as f64 / 1e9;
        output.document(&json!({
            "log": path, "whole": history.whole, "seconds": seconds, "bound": history.bound, "chunks": chunks,
        }))?;
    } else if let Some(file) = &args.output {
        output.line(format!("the timeline of {} is in {}", path.display(), file.display()))?;
    } else {
        output.line(history.timeline().trim_end())?;
    }
    Ok(Exit::Success)
}
