//! One workload: its arguments, its clock, and the line that is printed of it.

use crate::process::{evict, peak_rss_bytes};
use crate::sizes::Size;
use chunkstore::Engine;
use chunkstore::engine::parse_bytes;
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::time::Instant;

/// Whatever a workload can fail with.
pub(crate) type Failure = Box<dyn std::error::Error>;

/// The part of a workload that is repeated; it gives the check of its result.
pub(crate) type Work = Box<dyn FnMut(&mut Context) -> Result<Value, Failure>>;

/// What every workload takes.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// The folder that `make_data.py` made.
    #[arg(long)]
    data: PathBuf,
    /// How large.
    #[arg(long, value_enum, default_value_t = Size::Small)]
    size: Size,
    /// The memory bound, in bytes or as "1GiB" [default: that of the workload in `common.py`].
    #[arg(long)]
    memory: Option<String>,
    /// Workers.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// The folder for spilled chunks [default: DATA/scratch].
    #[arg(long)]
    scratch: Option<PathBuf>,
    /// Times in one process; `seconds` is the least.
    #[arg(long, default_value_t = 1)]
    repeat: usize,
}

/// A workload that is being run.
pub(crate) struct Context {
    /// How large it is.
    pub(crate) size: Size,
    /// Where its engine spills to.
    pub(crate) scratch: PathBuf,
    /// The bound, if there is one.
    pub(crate) memory: Option<u64>,
    /// The most bytes that were on disk as spilled chunks.
    pub(crate) spilled: u64,
    data: PathBuf,
    threads: usize,
    seconds: f64,
    notes: Map<String, Value>,
}

impl Context {
    /// An engine with the workload's bound, threads and scratch folder.
    pub(crate) fn engine(&self) -> Result<Engine, Failure> {
        let builder = Engine::builder().threads(self.threads).scratch(&self.scratch).progress(false);
        Ok(match self.memory {
            Some(bytes) => builder.memory(bytes),
            None => builder,
        }
        .build()?)
    }

    /// An input file.
    pub(crate) fn input(&self, name: &str) -> PathBuf {
        self.data.join(self.size.name()).join(name)
    }

    /// An input file, dropped from the page cache.
    pub(crate) fn cold(&self, name: &str) -> Result<PathBuf, Failure> {
        let path = self.input(name);
        evict(&path).map_err(|error| format!("{}: {error}; make_data.py makes it", path.display()))?;
        Ok(path)
    }

    /// The input files in a folder with names that end in `.ext`, in order, dropped from the page cache.
    pub(crate) fn cold_all(&self, folder: &str, ext: &str) -> Result<Vec<PathBuf>, Failure> {
        let folder = self.input(folder);
        let missing = |error: std::io::Error| format!("{}: {error}; make_data.py makes it", folder.display());
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(missing)? {
            let path = entry?.path();
            if path.extension().is_some_and(|found| found == ext) {
                evict(&path)?;
                paths.push(path);
            }
        }
        paths.sort();
        Ok(paths)
    }

    /// Does the part that counts; gives what it gave and its seconds.
    pub(crate) fn timed<R>(&mut self, work: impl FnOnce() -> R) -> (R, f64) {
        let start = Instant::now();
        let result = work();
        let seconds = start.elapsed().as_secs_f64();
        self.seconds += seconds;
        (result, seconds)
    }

    /// Adds a note to the line.
    pub(crate) fn note(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        self.notes.insert(name.into(), value.into());
    }

    /// Notes forecast and fact of the engine's last computation.
    pub(crate) fn note_run(&mut self, engine: &Engine) {
        let Some(run) = engine.last_run() else { return };
        self.spilled = self.spilled.max(run.stored_bytes);
        self.note("tasks", run.tasks);
        self.note("forecast_peak_bytes", run.forecast.peak_bytes);
        self.note("peak_bytes", run.peak_bytes);
        self.note("read_bytes", run.source_bytes);
        self.note("reread_bytes", run.source_reread_bytes + run.reread_bytes);
        self.note("forecast_reread_bytes", run.forecast.read_again_bytes + run.forecast.reread_bytes);
    }
}

/// Runs a workload and prints its line; whether it worked.
pub(crate) fn run(name: &str, args: &Args, prepare: impl FnOnce(&Context) -> Result<Work, Failure>) -> Result<bool, Failure> {
    let memory = match args.memory.as_deref() {
        None | Some("auto") => args.size.bound(name),
        Some(text) => Some(parse_bytes(text)?),
    };
    let mut context = Context {
        size: args.size,
        scratch: args.scratch.clone().unwrap_or_else(|| args.data.join("scratch")),
        memory,
        spilled: 0,
        data: args.data.clone(),
        threads: args.threads,
        seconds: 0.0,
        notes: Map::new(),
    };
    let result = repeat(args.repeat, &mut context, prepare);
    let mut line = json!({ "workload": name, "peer": "chunkstore", "size": args.size.name(), "memory": memory });
    let fields = match &result {
        Ok((check, seconds)) => json!({ "seconds": seconds, "result_check": check }),
        Err(error) => json!({ "seconds": null, "result_check": null, "failed": error.to_string() }),
    };
    let rest = json!({ "peak_rss_bytes": peak_rss_bytes(), "spilled_bytes": context.spilled, "notes": context.notes });
    for part in [fields, rest] {
        if let (Value::Object(line), Value::Object(part)) = (&mut line, part) {
            line.extend(part);
        }
    }
    println!("{line}");
    Ok(result.is_ok())
}

/// The check of the last run and the seconds of the fastest.
fn repeat(times: usize, context: &mut Context, prepare: impl FnOnce(&Context) -> Result<Work, Failure>) -> Result<(Value, f64), Failure> {
    let mut work = prepare(context)?;
    let (mut check, mut all) = (Value::Null, Vec::new());
    for _ in 0..times.max(1) {
        context.seconds = 0.0;
        check = work(context)?;
        all.push(round(context.seconds, 7));
    }
    let least = all.iter().copied().fold(f64::INFINITY, f64::min);
    if all.len() > 1 {
        context.note("all_seconds", all);
    }
    Ok((check, least))
}

/// Numbers of a check, each with ten significant digits.
pub(crate) fn figures(values: &[f64]) -> Value {
    let shorten = |value: &f64| format!("{value:.9e}").parse::<f64>().unwrap_or(f64::NAN);
    values.iter().map(shorten).collect()
}

/// A number with so many decimals.
pub(crate) fn round(value: f64, decimals: i32) -> f64 {
    let scale = 10f64.powi(decimals);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::{figures, round};
    use serde_json::json;

    #[test]
    fn checks_have_ten_digits() {
        assert_eq!(figures(&[1.0 / 3.0, 123_456_789_012.0, 0.0]), json!([0.3333333333, 123_456_789_000.0, 0.0]));
        assert_eq!(round(0.123456, 3), 0.123);
    }
}
