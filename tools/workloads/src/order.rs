//! `workloads order`: plans the order of a task graph, from a file or made.

use crate::order_made::{Kind, Made};
use crate::process::peak_rss_bytes;
use chunkstore::plan::{Cost, Eviction, Shape, choose, inputs_first, largest_need, peak, simulated_cost};
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The arguments of `workloads order`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A graph: `{"name": .., "tasks": [{"bytes": .., "deps": [..]}, ..]}`.
    #[arg(required_unless_present = "made")]
    file: Option<PathBuf>,
    /// Make the graph instead: chain, tree, grid, layered, transpose or broadcast, and about how many tasks, as in layered:1000000.
    #[arg(long, conflicts_with = "file")]
    made: Option<Kind>,
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
    reread_bytes: u64,
    peak_rss_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    order: Option<Vec<u32>>,
}

/// A graph with its name, and for each of its tasks the number in the file.
struct Read {
    name: String,
    made: Made,
    numbering: Vec<u32>,
}

/// Plans one graph and prints one line.
pub(crate) fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    let Read { name, made, numbering } = match (&args.file, &args.made) {
        (Some(file), _) => read(file)?,
        (None, Some(kind)) => Read { name: kind.name(), made: kind.make(), numbering: Vec::new() },
        (None, None) => return Err("name a file, or what is to be made".into()),
    };
    let start = Instant::now();
    let shape = Shape { input_start: &made.input_start, inputs: &made.inputs, out: &made.out, scratch: &[], keep: &[] };
    let least = largest_need(&shape);
    let bound = args.memory.unwrap_or(0);
    if args.memory.is_some() && bound < least {
        return Err(format!("the largest task needs {least} bytes, more than {bound}").into());
    }
    let choice = choose(&shape, bound, |order| match args.memory {
        Some(_) => simulated_cost(&shape, order, bound, Eviction::Cheapest).unwrap_or_else(|| Cost::of_peak(peak(&shape, order), bound)),
        None => Cost::of_peak(peak(&shape, order), least),
    });
    let seconds = start.elapsed().as_secs_f64();
    // What nobody had to know to choose is no part of the time.
    let moved = || simulated_cost(&shape, &choice.order, bound, Eviction::Cheapest);
    let cost = args.memory.and_then(|_| choice.cost.or_else(moved)).unwrap_or_default();
    let number = |task: &u32| numbering.get(*task as usize).copied().unwrap_or(*task);
    let line = Line {
        name,
        tasks: shape.len(),
        peak_bytes: peak(&shape, &choice.order),
        chosen: choice.name,
        seconds,
        spilled_bytes: cost.spilled,
        reread_bytes: cost.reread,
        peak_rss_bytes: peak_rss_bytes(),
        order: args.print_order.then(|| choice.order.iter().map(number).collect()),
    };
    println!("{}", serde_json::to_string(&line)?);
    Ok(())
}

/// The graph of a file, renumbered so that inputs come first.
fn read(path: &Path) -> Result<Read, Box<dyn Error>> {
    let file: File = serde_json::from_slice(&std::fs::read(path)?)?;
    let deps: Vec<Vec<u32>> = file.tasks.iter().map(|task| task.deps.clone()).collect();
    let numbering = inputs_first(&deps).ok_or("the graph has a cycle, or names a task that it does not have")?;
    let mut number = vec![0u32; numbering.len()];
    for (new, old) in numbering.iter().enumerate() {
        number[*old as usize] = new as u32;
    }
    let mut made = Made { input_start: vec![0], inputs: Vec::new(), out: Vec::with_capacity(numbering.len()) };
    for old in &numbering {
        made.inputs.extend(deps[*old as usize].iter().map(|dep| number[*dep as usize]));
        made.input_start.push(made.inputs.len() as u32);
        made.out.push(file.tasks[*old as usize].bytes);
    }
    Ok(Read { name: file.name, made, numbering })
}
