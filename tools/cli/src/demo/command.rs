//! `chunkstore demo`: two jobs on data larger than memory, with forecast, fact, and answers that are known.

use super::dataset::{COLUMNS, Dataset};
use super::folder::Folder;
use super::process::peak_rss_bytes;
use super::screen::Screen;
use crate::units::{bytes, count, rate};
use chunkstore::array::Array;
use chunkstore::engine::{Computable, Explain, RunReport, parse_bytes};
use chunkstore::{Engine, Error, ErrorKind, Result};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Instant;

/// How far an answer may be from the closed form.
const TOLERANCE: f64 = 1e-12;

/// The arguments of `chunkstore demo`.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The memory that the whole process may take.
    #[arg(long, default_value = "256MiB")]
    memory: String,
    /// The bytes of data.
    #[arg(long, default_value = "2GiB")]
    size: String,
    /// Workers [default: the number of processors].
    #[arg(long)]
    threads: Option<usize>,
    /// The folder for the data and for spilled chunks [default: TMPDIR, else /var/tmp].
    #[arg(long)]
    scratch: Option<PathBuf>,
    /// Keep the data.
    #[arg(long)]
    keep: bool,
    /// Print one JSON object instead.
    #[arg(long)]
    json: bool,
}

/// What the steps of a demo share.
struct Demo {
    engine: Engine,
    data: Dataset,
    screen: Screen,
}

/// Runs the demo; whether every answer was right and the bound was kept.
///
/// # Errors
/// Those of the engine.
pub(crate) fn run(args: &Args) -> Result<bool> {
    let screen = Screen::new(!args.json);
    let data = Dataset::of(parse_bytes(&args.size)?);
    let folder = Folder::new(args.scratch.as_deref(), args.keep)?;
    folder.check_room(data.bytes())?;
    let builder = Engine::builder().memory(&args.memory).scratch(folder.path());
    let builder = args.threads.into_iter().fold(builder, |builder, threads| builder.threads(threads));
    let engine = if args.json { builder.progress(false) } else { builder }.build()?;
    let (memory, threads) = (engine.memory(), engine.threads());
    screen.head("chunkstore demo", &format!("{} of data through {} of memory, {threads} threads", bytes(data.bytes()), bytes(memory)));
    let demo = Demo { engine, data, screen };

    let path = folder.path().join("x.npy");
    let steps = [demo.write(&path)?, demo.standardise(&path)?, demo.spill(&path)?];

    let peak = peak_rss_bytes();
    let within = peak.is_none_or(|peak| peak <= memory);
    let right = steps.iter().all(|step| step["ok"] == true);
    let screen = demo.screen;
    screen.line("");
    let verdict = if within { "within the bound" } else { "BEYOND THE BOUND" };
    screen.head(
        &format!("Peak of the process: {}", peak.map_or("unknown".into(), bytes)),
        &format!("{verdict} of {} (VmHWM)", bytes(memory)),
    );
    if args.keep {
        screen.line(&format!("The data are kept: {}", path.display()));
    }
    if args.json {
        let line = json!({ "memory": memory, "size": data.bytes(), "threads": threads, "steps": steps, "peak_rss_bytes": peak, "ok": right && within });
        println!("{line}");
    }
    if !right {
        eprintln!("error: an answer is not what the closed form says");
    }
    if !within {
        eprintln!("error: the process took more memory than its bound");
    }
    Ok(right && within)
}

impl Demo {
    /// Makes the data and writes them to a file.
    fn write(&self, path: &std::path::Path) -> Result<Value> {
        self.screen.line("");
        self.screen.head("1  Write the data", &format!("{} x {} numbers to x.npy", count(self.data.rows as u64), count(COLUMNS as u64)));
        let start = Instant::now();
        self.engine.compute(&self.data.array().to_npy(path))?;
        let seconds = start.elapsed().as_secs_f64();
        self.screen.item("time", &format!("{seconds:.2} s, {}", rate(self.data.bytes(), seconds)));
        Ok(json!({ "name": "write", "seconds": seconds, "ok": true }))
    }

    /// Standardises and reduces the file, and takes the mean of each column.
    fn standardise(&self, path: &std::path::Path) -> Result<Value> {
        self.screen.line("");
        self.screen.head("2  Standardise and reduce", "sum(abs((x - mean(x)) / std(x))), and the mean of each column");
        let x = Array::<f64>::from_npy_chunks(path, Dataset::chunks())?;
        let z = (&x - x.mean(..)) / x.std(..);
        let job = (z.abs().sum(..).item_collection(), x.mean(0));
        let ((sum, columns), run) = self.compute(&job)?;
        let mut report = self.report("standardise", &run, sum);
        let off = columns.iter().enumerate().map(|(c, mean)| error(*mean, Dataset::column_mean(c))).fold(0.0, f64::max);
        let right = off <= TOLERANCE && columns.len() == COLUMNS;
        self.screen.item("columns", &verdict(&format!("{} means", count(columns.len() as u64)), right, off));
        report["ok"] = json!(report["ok"] == true && right);
        report["columns_error"] = json!(off);
        Ok(report)
    }

    /// The same on what a closure made of the data, which is made once, needed twice, and larger than memory.
    fn spill(&self, path: &std::path::Path) -> Result<Value> {
        self.screen.line("");
        self.screen.head("3  Spill", "the same of y, which a closure makes of x once and which is needed twice");
        let x = Array::<f64>::from_npy_chunks(path, Dataset::chunks())?;
        let y = x.map_blocks(|block| block.mapv(|value| 1.8 * value + 32.0));
        let z = (&y - y.mean(..)) / y.std(..);
        let (sum, run) = self.compute(&z.abs().sum(..).item_collection())?;
        let mut report = self.report("spill", &run, sum);
        let spilled = run.spilled_bytes > 0 || self.data.bytes() <= self.engine.memory();
        let text =
            format!("{} written to disk as {}, {} read back", bytes(run.spilled_bytes), bytes(run.stored_bytes), bytes(run.reread_bytes));
        self.screen.item("spilled", &text);
        if !spilled {
            eprintln!("error: nothing was spilled, although y does not fit");
        }
        report["ok"] = json!(report["ok"] == true && spilled);
        Ok(report)
    }

    /// Forecasts a job, runs it, and gives its output and the report of it.
    fn compute<'a, C>(&self, job: &'a C) -> Result<(<&'a C as Computable>::Output, RunReport)>
    where
        &'a C: Computable,
    {
        let explain: Explain = self.engine.explain(job)?;
        let read = explain.read_bytes + explain.read_again_bytes;
        let spills = if explain.spilled_bytes > 0 { format!("spill {}", bytes(explain.spilled_bytes)) } else { "spill nothing".into() };
        let tasks = count(explain.tasks);
        self.screen.item("forecast", &format!("{tasks} tasks will book {}, read {} and {spills}", bytes(explain.peak_bytes), bytes(read)));
        let output = self.engine.compute(job)?;
        let run = self.engine.last_run().ok_or_else(|| Error::new(ErrorKind::Invalid, "the engine has no report of its run"))?;
        Ok((output, run))
    }

    /// Shows forecast beside fact, and the answer beside the closed form.
    fn report(&self, name: &str, run: &RunReport, sum: f64) -> Value {
        let (forecast, screen) = (&run.forecast, &self.screen);
        screen.pair("", "forecast", "fact");
        screen.pair("tasks", &count(forecast.tasks), &count(run.tasks));
        screen.pair("peak booked", &bytes(forecast.peak_bytes), &bytes(run.peak_bytes));
        screen.pair("read", &bytes(forecast.read_bytes), &bytes(run.source_bytes));
        screen.pair("read again", &bytes(forecast.read_again_bytes), &bytes(run.source_reread_bytes));
        screen.pair("spilled", &bytes(forecast.spilled_bytes), &bytes(run.spilled_bytes));
        screen.pair("read back", &bytes(forecast.reread_bytes), &bytes(run.reread_bytes));
        screen.item("time", &format!("{:.2} s, {}", run.seconds, rate(self.data.bytes(), run.seconds)));
        let expected = self.data.sum_of_distances();
        let off = error(sum, expected);
        let right = off <= TOLERANCE;
        screen.item("answer", &verdict(&sum.to_string(), right, off));
        if !right {
            eprintln!("error: the sum is {sum}, and {expected} was expected");
        }
        json!({
            "name": name,
            "seconds": run.seconds,
            "tasks": run.tasks,
            "peak_bytes": run.peak_bytes,
            "read_bytes": run.source_bytes,
            "read_again_bytes": run.source_reread_bytes,
            "spilled_bytes": run.spilled_bytes,
            "stored_bytes": run.stored_bytes,
            "reread_bytes": run.reread_bytes,
            "forecast": {
                "tasks": forecast.tasks,
                "peak_bytes": forecast.peak_bytes,
                "read_bytes": forecast.read_bytes,
                "read_again_bytes": forecast.read_again_bytes,
                "spilled_bytes": forecast.spilled_bytes,
                "reread_bytes": forecast.reread_bytes,
                "seconds": forecast.seconds,
            },
            "answer": sum,
            "expected": expected,
            "relative_error": off,
            "ok": right,
        })
    }
}

/// The relative error.
fn error(found: f64, expected: f64) -> f64 {
    let off = (found - expected).abs() / expected.abs();
    if off.is_nan() { f64::INFINITY } else { off }
}

fn verdict(answer: &str, right: bool, off: f64) -> String {
    match right {
        true => format!("{answer}, right to {off:.0e}"),
        false => format!("{answer}, WRONG by {off:.0e}"),
    }
}
