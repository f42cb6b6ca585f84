//! `chunkstore why`: the story of a chunk of a run.

use crate::common::Common;
use crate::failure::{Exit, Failure, Result};
use crate::output::{Output, Style};
use crate::run_log;
use serde_json::json;

const HELP: &str = "\
Examples:
  chunkstore why run/ 'mean-1f2e3d4c[0, 3]'    of the last run with the checkpoint folder run/
  chunkstore why run/ 'mean[0, 3]'             the same, where one layer has that name
  chunkstore why run/events/18a2.events x      of one log, every task whose name has an x in it

For each thing that happened to the chunk: when, how much was in memory then, and why: which task it was
made or read back for, who uses it next, and how many of the other chunks in memory are used sooner.
Names are those that errors and `timeline` show; of a graph of your own they are its keys.

JSON: one document: log, whole, and tasks, a list of {name, bytes, place, inputs, users, steps [{at_ns,
held, text}]}.";

/// Tell why a chunk was made, spilled, read back or dropped.
#[derive(clap::Args)]
#[command(after_long_help = HELP)]
pub(crate) struct Args {
    /// A checkpoint folder, whose last run is looked at, or a log: RUN.events.
    #[arg(value_name = "RUN", value_hint = clap::ValueHint::AnyPath)]
    run: String,
    /// The name of the task that gives the chunk, or a part of it.
    #[arg(value_name = "KEY")]
    key: String,
    /// Show at most this many.
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 10)]
    limit: usize,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Tells the stories.
pub(crate) fn run(args: &Args, output: &mut Output) -> Result<Exit> {
    let (path, history) = run_log::history(&args.run)?;
    let found = history.find(&args.key);
    if found.is_empty() {
        let example = history.tasks().next().map(|task| history.name(task));
        let hint = example.map_or("the log names no task".to_string(), |name| format!("names are like {name}"));
        return Err(Failure::new(Exit::NotFound, format!("no task of {} is named {}", path.display(), args.key)).hint(hint));
    }
    let stories: Vec<_> = found.iter().take(args.limit).map(|task| history.why(task)).collect();
    if output.is_json() {
        let tasks: Vec<_> = stories
            .iter()
            .map(|why| {
                let steps: Vec<_> =
                    why.steps.iter().map(|step| json!({ "at_ns": step.at_ns, "held": step.held, "text": step.text })).collect();
                json!({
                    "name": why.name, "bytes": why.bytes, "place": why.place, "inputs": why.inputs, "users": why.users, "steps": steps,
                })
            })
            .collect();
        output.document(&json!({ "log": path, "whole": history.whole, "tasks": tasks }))?;
        return Ok(Exit::Success);
    }
    for why in &stories {
        output.line(why.to_string().trim_end())?;
    }
    if found.len() > stories.len() {
        output.line(output.style(Style::Dim, format!("... and {} more; -n shows more of them", found.len() - stories.len())))?;
    }
    if !history.whole {
        output.line(output.style(Style::Dim, "the log is not whole: the run goes on, or was killed"))?;
    }
    Ok(Exit::Success)
}
