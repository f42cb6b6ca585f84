//! What a computation will take, and what it took.

use super::curve::{Curve, CurvePoint};
use super::memory::show_bytes;
use crate::exec::Facts;
use crate::graph::TaskTable;
use crate::plan::{Numbered, lasts};
use crate::policy::Forecast;
use rustc_hash::FxHashMap;
use std::fmt;
use std::sync::Arc;

/// One layer's part of a computation.
#[derive(Clone, Debug, PartialEq)]
pub struct LayerForecast {
    /// The layer's readable name.
    pub name: String,
    /// Its tasks, loads of sources included.
    pub tasks: u64,
    /// The bytes that they give.
    pub bytes: u64,
    /// The bytes that they read from files.
    pub load_bytes: u64,
    /// The most of those that they give that are wanted at a time, in memory or spilled.
    pub peak_bytes: u64,
    /// Those of them that are spilled.
    pub spilled_bytes: u64,
    /// The seconds that they are expected to take one thread, by what this engine has learned of layers of this name, or by usual rates.
    pub seconds: f64,
}

/// What a computation will take: the policy, run against sizes instead of data. Made by [`Engine::explain`](super::Engine::explain).
#[derive(Clone, Debug)]
pub struct Explain {
    /// The bound on the whole process, in bytes.
    pub memory: u64,
    /// What tasks share, in bytes: [`Engine::memory_for_tasks`](super::Engine::memory_for_tasks) less results, the graph's tables
    /// and buffers for input and output.
    pub memory_for_tasks: u64,
    /// Tasks that workers run.
    pub tasks: u64,
    /// Blocks of sources that are loaded, the first time.
    pub sources: u64,
    /// The bytes that the results take.
    pub result_bytes: u64,
    /// The most bytes booked at a time: by tasks, results, the graph's tables, buffers for input and output, and memory that waits to
    /// be used again. Where sizes are exact a run alone on its engine books no more.
    pub peak_bytes: u64,
    /// Where sizes are not exact, the least and the most that the peak is expected to be: by what functions of the same names have given on this engine, and
    /// where nothing is known of one, from what is exact to the bound that the run is held to.
    pub peak_range: Option<(u64, u64)>,
    /// The least that tasks can do with: the largest need of one task.
    pub least_bytes: u64,
    /// Bytes written to the scratch folder, before compression.
    pub spilled_bytes: u64,
    /// Bytes read back from there.
    pub reread_bytes: u64,
    /// Bytes read from files.
    pub read_bytes: u64,
    /// Bytes of files that are read a second time.
    pub read_again_bytes: u64,
    /// The bytes, about, that shuffles move through append logs, on disk where their buffers have no room: as many as this engine moved there the last time, or as many as go into the
    /// functions before them, which may leave some out or make more of them.
    pub shuffled_bytes: u64,
    /// Whether the engine did each of these shuffles before.
    pub shuffles_known: bool,
    /// Seconds that the run is expected to take, at the rates that this engine has learned from its runs, or at usual ones.
    pub seconds: f64,
    /// Whether all sizes are exact; otherwise the figures are guesses.
    pub exact: bool,
    /// The order that was chosen.
    pub order: &'static str,
    /// The layers, in the order in which their first task stands in the graph.
    pub layers: Vec<LayerForecast>,
    pub(super) curve: Option<Arc<Curve>>,
}

impl Explain {
    /// What the same computation would spill and read again with other bounds, and the least bound with which it runs: found by planning it
    /// for each of them, beside the chunks that are kept when this is asked. Empty for the forecast of a report, which keeps no tasks, and where the
    /// engine has no room to keep them.
    ///
    /// ```
    /// use chunkstore::{Engine, array::random};
    /// let engine = Engine::builder().memory("1GiB").build()?;
    /// let x = random::random([64, 100_000]).chunks([1, 100_000]).seed(7).array();
    /// let z = &x - x.mean(0);
    /// let curve = engine.explain(&z.sum(..))?.curve();
    /// println!("at least {} bytes", curve[0].memory);
    /// let last = curve.last().expect("there are some");
    /// assert_eq!((last.spilled_bytes, last.read_again_bytes), (0, 0));
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    pub fn curve(&self) -> Vec<CurvePoint> {
        self.curve.as_ref().map(|curve| curve.points(self.least_bytes)).unwrap_or_default()
    }

    pub(super) fn layers_of(table: &TaskTable, numbered: &Numbered, forecast: Option<&Forecast>, seconds: &[f64]) -> Vec<LayerForecast> {
        let named = table.layers.iter().map(|layer| layer.name()).chain(["graph"]);
        let empty = |(name, seconds): (&str, &f64)| LayerForecast {
            name: name.to_string(),
            tasks: 0,
            bytes: 0,
            load_bytes: 0,
            peak_bytes: 0,
            spilled_bytes: 0,
            seconds: *seconds,
        };
        let mut layers: Vec<LayerForecast> = named.zip(seconds).map(empty).collect();
        let graph = layers.len().saturating_sub(1);
        // The tasks of one layer that are of several kinds have a row for each.
        let mut kinds = FxHashMap::<(usize, &str), usize>::default();
        let mut row_of = |task: usize| {
            let own = table.layer.get(task).map_or(graph, |layer| (*layer as usize).min(graph));
            let kind = table.layers.get(own).and_then(|layer| layer.kind_of(table.block_of(task as u32)));
            kind.map_or(own, |kind| {
                *kinds.entry((own, kind)).or_insert_with(|| {
                    layers.push(empty((kind, &0.0)));
                    layers.len() - 1
                })
            })
        };
        let rows: Vec<usize> = (0..table.len()).map(&mut row_of).collect();
        let layer_of = |task: usize| rows.get(task).copied().unwrap_or(graph);
        for task in 0..table.len() {
            let Some(layer) = layers.get_mut(layer_of(task)) else { continue };
            layer.tasks += 1;
            layer.bytes += table.out.get(task).copied().unwrap_or(0);
            layer.load_bytes += table.load.get(task).copied().unwrap_or(0);
        }
        for place in forecast.iter().flat_map(|forecast| &forecast.will_spill) {
            let task = numbered.order.get(*place as usize).map_or(usize::MAX, |task| *task as usize);
            if let Some(layer) = layers.get_mut(layer_of(task)) {
                layer.spilled_bytes += table.out.get(task).copied().unwrap_or(0);
            }
        }
        let ends = lasts(&numbered.batch, numbered.base);
        let mut held = vec![0u64; layers.len()];
        for (place, task) in numbered.order.iter().enumerate() {
            let (at, bytes) = (layer_of(*task as usize), table.out.get(*task as usize).copied().unwrap_or(0));
            if let (Some(layer), Some(held)) = (layers.get_mut(at), held.get_mut(at)) {
                *held += bytes;
                layer.peak_bytes = layer.peak_bytes.max(*held);
            }
            for over in ends.at(place as u32) {
                let task = numbered.order.get(*over as usize).map_or(usize::MAX, |task| *task as usize);
                if let Some(held) = held.get_mut(layer_of(task)) {
                    *held -= table.out.get(task).copied().unwrap_or(0);
                }
            }
        }
        // What is known of the speed is known of the layer: each kind has its share.
        let mut tasks = FxHashMap::<usize, u64>::default();
        for ((own, _), row) in &kinds {
            *tasks.entry(*own).or_default() += layers.get(*row).map_or(0, |layer| layer.tasks);
        }
        for ((own, _), row) in &kinds {
            let all = tasks.get(own).copied().unwrap_or(0).max(1);
            if let Some(layer) = layers.get_mut(*row) {
                layer.seconds = seconds.get(*own).copied().unwrap_or(0.0) * layer.tasks as f64 / all as f64;
            }
        }
        layers.retain(|layer| layer.tasks > 0);
        layers
    }

    /// Fills in what the simulation says.
    pub(super) fn set_forecast(&mut self, forecast: &Forecast) {
        self.tasks = forecast.tasks;
        self.spilled_bytes = forecast.spilled_bytes;
        self.reread_bytes = forecast.reread_bytes;
        self.read_again_bytes = forecast.source_reread_bytes;
    }
}

impl fmt::Display for Explain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["tasks", "gives", "at a time", "spills", "reads", "seconds"];
        let [tasks, gives, most, spills, reads, seconds] = head;
        writeln!(f, "{:<24} {tasks:>9} {gives:>11} {most:>11} {spills:>11} {reads:>11} {seconds:>8}", "layer")?;
        for layer in &self.layers {
            let shown = |bytes: u64| if bytes > 0 { show_bytes(bytes) } else { "-".to_string() };
            let [gives, most, spills, reads] = [layer.bytes, layer.peak_bytes, layer.spilled_bytes, layer.load_bytes].map(shown);
            writeln!(f, "{:<24} {:>9} {gives:>11} {most:>11} {spills:>11} {reads:>11} {:>8.2}", layer.name, layer.tasks, layer.seconds)?;
        }
        let about = if self.exact { "" } else { "about " };
        writeln!(f, "bound {} ({} for tasks), order: {}", show_bytes(self.memory), show_bytes(self.memory_for_tasks), self.order)?;
        let range = |(least, most): (u64, u64)| format!(" (from {} to {})", show_bytes(least), show_bytes(most));
        let range = self.peak_range.map(range).unwrap_or_default();
        writeln!(f, "peak {about}{}{range}, at least {} needed", show_bytes(self.peak_bytes), show_bytes(self.least_bytes))?;
        writeln!(
            f,
            "reads {about}{}, {} of it again",
            show_bytes(self.read_bytes + self.read_again_bytes),
            show_bytes(self.read_again_bytes)
        )?;
        writeln!(f, "spills {about}{}, reads back {}", show_bytes(self.spilled_bytes), show_bytes(self.reread_bytes))?;
        if self.shuffled_bytes > 0 {
            let how = if self.shuffles_known { "as the last time" } else { "where functions make no more of it" };
            writeln!(f, "shuffles about {}, {how}", show_bytes(self.shuffled_bytes))?;
        }
        write!(f, "takes about {:.2} s", self.seconds)
    }
}

/// Forecast and fact of a computation, side by side.
#[derive(Clone, Debug)]
pub struct RunReport {
    /// What was forecast.
    pub forecast: Explain,
    /// Tasks run.
    pub tasks: u64,
    /// Seconds taken.
    pub seconds: f64,
    /// The most bytes booked at a time, results and buffers kept for reuse included.
    pub peak_bytes: u64,
    /// Bytes of chunks written to the scratch folder, before compression.
    pub spilled_bytes: u64,
    /// The same as stored.
    pub stored_bytes: u64,
    /// Bytes of chunks read back from there.
    pub reread_bytes: u64,
    /// Bytes that went through the append logs of shuffles.
    pub shuffled_bytes: u64,
    /// Bytes of source chunks loaded, the first time.
    pub source_bytes: u64,
    /// Bytes of source chunks loaded again.
    pub source_reread_bytes: u64,
    /// What the computation had to do without, such as threads that the system did not start; mostly empty.
    pub notes: Vec<String>,
}

impl RunReport {
    pub(super) fn new(forecast: Explain, facts: Facts, notes: Vec<String>) -> Self {
        RunReport {
            forecast,
            tasks: facts.tasks,
            seconds: facts.seconds,
            peak_bytes: facts.peak_bytes,
            spilled_bytes: facts.spilled_bytes,
            stored_bytes: facts.stored_bytes,
            reread_bytes: facts.reread_bytes,
            shuffled_bytes: facts.shuffled_bytes,
            source_bytes: facts.source_bytes,
            source_reread_bytes: facts.source_reread_bytes,
            notes,
        }
    }
}

/// How much more than was forecast is no finding.
const TOLERANCE: f64 = 0.15;

impl RunReport {
    /// Where the run was not as forecast, in words; empty where it was. Of sizes that are exact, no more may be booked than was forecast; spilled and read
    /// again may be 15 % more, since when tasks and transfers end differs. Where sizes are learned,
    /// the peak is held to its range.
    ///
    /// ```
    /// use chunkstore::{Engine, array::Array};
    /// let engine = Engine::builder().memory("256MiB").build()?;
    /// engine.compute(&Array::<f64>::ones([8 << 20], 1 << 20).sqrt().sum(..).item_collection())?;
    /// assert!(engine.last_run().expect("one ran").audit().is_empty());
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    pub fn audit(&self) -> Vec<String> {
        let forecast = &self.forecast;
        let mut findings = Vec::new();
        let mut more = |what: &str, forecast: u64, fact: u64, tolerance: f64| {
            if fact as f64 > forecast as f64 * (1.0 + tolerance) {
                findings.push(format!("{what}: {} were forecast, and it was {}", show_bytes(forecast), show_bytes(fact)));
            }
        };
        match forecast.exact {
            true => more("peak", forecast.peak_bytes, self.peak_bytes, 0.0),
            false => more("peak", forecast.peak_range.map_or(forecast.memory, |(_, most)| most), self.peak_bytes, 0.0),
        }
        if forecast.exact {
            more("spilled", forecast.spilled_bytes, self.spilled_bytes, TOLERANCE);
            more("read back", forecast.reread_bytes, self.reread_bytes, TOLERANCE);
            more("sources again", forecast.read_again_bytes, self.source_reread_bytes, TOLERANCE);
        }
        findings
    }
}

impl fmt::Display for RunReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let forecast = &self.forecast;
        writeln!(f, "{:<16} {:>12} {:>12}", "", "forecast", "fact")?;
        let mut line = |name: &str, forecast: String, fact: String| writeln!(f, "{name:<16} {forecast:>12} {fact:>12}");
        line("tasks", forecast.tasks.to_string(), self.tasks.to_string())?;
        line("peak", show_bytes(forecast.peak_bytes), show_bytes(self.peak_bytes))?;
        line("spilled", show_bytes(forecast.spilled_bytes), show_bytes(self.spilled_bytes))?;
        line("read back", show_bytes(forecast.reread_bytes), show_bytes(self.reread_bytes))?;
        line("sources again", show_bytes(forecast.read_again_bytes), show_bytes(self.source_reread_bytes))?;
        if forecast.shuffled_bytes > 0 || self.shuffled_bytes > 0 {
            line("shuffled", show_bytes(forecast.shuffled_bytes), show_bytes(self.shuffled_bytes))?;
        }
        write!(f, "{:<16} {:>10.2} s {:>10.2} s", "time", forecast.seconds, self.seconds)?;
        self.audit().iter().try_for_each(|finding| write!(f, "\nbeyond the forecast: {finding}"))?;
        self.notes.iter().try_for_each(|note| write!(f, "\nnote: {note}"))
    }
}
