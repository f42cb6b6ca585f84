//! What a computation will take, and what it took.

use super::memory::show_bytes;
use crate::exec::Facts;
use crate::graph::TaskTable;
use crate::policy::Forecast;
use rustc_hash::FxHashMap;
use std::fmt;

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
    /// Seconds at usual rates; a guess.
    pub seconds: f64,
    /// Whether all sizes are exact; otherwise the figures are guesses.
    pub exact: bool,
    /// The order that was chosen.
    pub order: &'static str,
    /// The layers, in the order in which their first task stands in the graph.
    pub layers: Vec<LayerForecast>,
}

impl Explain {
    pub(super) fn layers_of(table: &TaskTable) -> Vec<LayerForecast> {
        let row = |name: &str| LayerForecast { name: name.to_string(), tasks: 0, bytes: 0, load_bytes: 0 };
        let mut layers: Vec<LayerForecast> = table.layers.iter().map(|layer| row(layer.name())).collect();
        let mut graph = row("graph");
        // The tasks of one layer that are of several kinds have a row for each.
        let mut kinds = FxHashMap::<&str, LayerForecast>::default();
        for task in 0..table.len() {
            let number = table.layer.get(task).copied().unwrap_or(u32::MAX) as usize;
            let kind = table.layers.get(number).and_then(|layer| layer.kind_of(table.block.get(task).copied()?));
            let layer = match kind {
                Some(kind) => kinds.entry(kind).or_insert_with(|| row(kind)),
                None => layers.get_mut(number).unwrap_or(&mut graph),
            };
            layer.tasks += 1;
            layer.bytes += table.out.get(task).copied().unwrap_or(0);
            layer.load_bytes += table.load.get(task).copied().unwrap_or(0);
        }
        let mut kinds: Vec<LayerForecast> = kinds.into_values().collect();
        kinds.sort_by(|a, b| a.name.cmp(&b.name));
        layers.extend(kinds);
        layers.push(graph);
        layers.retain(|layer| layer.tasks > 0);
        layers
    }

    /// Fills in what the simulation says.
    pub(super) fn set_forecast(&mut self, forecast: &Forecast) {
        self.tasks = forecast.tasks;
        self.spilled_bytes = forecast.spilled_bytes;
        self.reread_bytes = forecast.reread_bytes;
        self.read_again_bytes = forecast.source_reread_bytes;
        self.seconds = forecast.seconds;
    }
}

impl fmt::Display for Explain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<28} {:>9} {:>12} {:>12}", "layer", "tasks", "gives", "reads")?;
        for layer in &self.layers {
            let reads = if layer.load_bytes > 0 { show_bytes(layer.load_bytes) } else { "-".to_string() };
            writeln!(f, "{:<28} {:>9} {:>12} {:>12}", layer.name, layer.tasks, show_bytes(layer.bytes), reads)?;
        }
        let about = if self.exact { "" } else { "about " };
        writeln!(f, "bound {} ({} for tasks), order: {}", show_bytes(self.memory), show_bytes(self.memory_for_tasks), self.order)?;
        writeln!(f, "peak {about}{}, at least {} needed", show_bytes(self.peak_bytes), show_bytes(self.least_bytes))?;
        writeln!(
            f,
            "reads {about}{}, {} of it again",
            show_bytes(self.read_bytes + self.read_again_bytes),
            show_bytes(self.read_again_bytes)
        )?;
        write!(f, "spills {about}{}, reads back {}", show_bytes(self.spilled_bytes), show_bytes(self.reread_bytes))
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
            source_bytes: facts.source_bytes,
            source_reread_bytes: facts.source_reread_bytes,
            notes,
        }
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
        write!(f, "{:<16} {:>10.2} s {:>10.2} s", "time", forecast.seconds, self.seconds)?;
        self.notes.iter().try_for_each(|note| write!(f, "\nnote: {note}"))
    }
}
