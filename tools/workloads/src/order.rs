//! `workloads order`: plans the order of a task graph in a file.

use crate::belady;
use chunkstore::plan::{Cost, Shape, choose, inputs_first, largest_need, peak};
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

/// The arguments of `workloads order`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A graph: `{"name": .., "tasks": [{"bytes": .., "deps": [..]}, ..]}`.
    file: PathBuf,
    /// Plan for this many bytes; without it, for as few as possible.
    #[arg(long)]
    memory: Option<u64>,
    /// Print the order too.
    #[arg(long)]
    print_order: bool,
}

#[derive(Deserialize)]
struct File {
    name: String,
    tasks: Vec<Task>,
}

#[derive(Deserialize)]
struct Task {
    bytes: u64,
    deps: Vec<u32>,
}

#[derive(Serialize)]
struct Line {
    name: String,
    tasks: usize,
    peak_bytes: u64,
    chosen: &'static str,
    seconds: f64,
    spilled_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<Vec<u32>>,
}

/// Plans one file and prints one line.
pub(crate) fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let file: File = serde_json::from_slice(&std::fs::read(&args.file)?)?;
    let start = Instant::now();
    let deps: Vec<Vec<u32>> = file.tasks.iter().map(|task| task.deps.clone()).collect();
    let numbering = inputs_first(&deps).ok_or("the graph has a cycle, or names a task that it does not have")?;
    let mut number = vec![0u32; numbering.len()];
    for (new, old) in numbering.iter().enumerate() {
        number[*old as usize] = new as u32;
    }
    let mut input_start = vec![0u32];
    let mut inputs = Vec::new();
    for old in &numbering {
        inputs.extend(deps[*old as usize].iter().map(|dep| number[*dep as usize]));
        input_start.push(inputs.len() as u32);
    }
    let out: Vec<u64> = numbering.iter().map(|old| file.tasks[*old as usize].bytes).collect();
    let shape = Shape { input_start: &input_start, inputs: &inputs, out: &out, scratch: &[], keep: &[] };
    let least = largest_need(&shape);
    let bound = args.memory.unwrap_or(0);
    if args.memory.is_some() && bound < least {
        return Err(format!("the largest task needs {least} bytes, more than {bound}").into());
    }
    let choice = choose(&shape, bound, |order| match args.memory {
        Some(_) => belady::cost(&shape, order, bound).unwrap_or_else(|| Cost::of_peak(peak(&shape, order), bound)),
        None => Cost::of_peak(peak(&shape, order), least),
    });
    let peak_bytes = peak(&shape, &choice.order);
    let spilled_bytes = args.memory.and(choice.cost).map_or(0, |cost| cost.spilled);
    let seconds = start.elapsed().as_secs_f64();
    let order = args.print_order.then(|| choice.order.iter().map(|task| numbering[*task as usize]).collect());
    let line = Line { name: file.name, tasks: deps.len(), peak_bytes, chosen: choice.name, seconds, spilled_bytes, order };
    println!("{}", serde_json::to_string(&line)?);
    Ok(())
}
