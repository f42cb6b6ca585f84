//! A picture of what each worker did over time, and a table of what took the time.

use super::history::{History, TaskHistory};
use super::resources::Sample;
use super::svg::{Anchor, Svg, colour};
use super::timeline::FRAME;
use chunkstore_store::EventKind;
use std::collections::BTreeMap;
use std::fmt;

/// The height of a worker's lane.
const LANE: f64 = 22.0;

/// What a worker did in one go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The worker.
    pub worker: u8,
    /// The task: its number in [`History::task`].
    pub task: u32,
    /// When it began and ended, in nanoseconds since the log began.
    pub ns: (u64, u64),
}

/// What a layer took. Part of a [`Profile`].
#[derive(Clone, Debug, PartialEq)]
pub struct LayerProfile {
    /// The layer's name.
    pub name: String,
    /// Tasks that ran.
    pub tasks: u64,
    /// Seconds of workers.
    pub seconds: f64,
    /// Bytes that they gave.
    pub bytes: u64,
    /// Bytes that were spilled.
    pub spilled_bytes: u64,
    /// Bytes that were read back or read again.
    pub read_again_bytes: u64,
}

/// What the layers of a recorded run took, those that took most first: see [`History::profile`].
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// The layers.
    pub layers: Vec<LayerProfile>,
    /// The most bytes of chunks in memory at a time.
    pub peak_bytes: u64,
}

impl History {
    /// What the workers did, in the order of the tasks.
    pub fn spans(&self) -> Vec<Span> {
        let mut spans = Vec::new();
        for (number, task) in self.tasks().enumerate() {
            let mut began = None;
            for moment in &task.moments {
                match (moment.kind, began) {
                    (EventKind::Started, _) => began = Some(moment.at_ns),
                    (EventKind::Finished | EventKind::PutBack | EventKind::Failed, Some(from)) => {
                        spans.push(Span { worker: moment.worker, task: number as u32, ns: (from, moment.at_ns) });
                        began = None;
                    }
                    _ => {}
                }
            }
        }
        spans
    }

    /// What each layer took.
    ///
    /// ```
    /// use chunkstore::{Engine, array::Array};
    /// let engine = Engine::builder().memory("256MiB").build()?;
    /// let recording = engine.record();
    /// engine.compute(&Array::<f64>::ones([100_000], 1000).sqrt().sum(..).item_collection())?;
    /// println!("{}", recording.history().profile());
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    pub fn profile(&self) -> Profile {
        let mut layers: BTreeMap<&str, LayerProfile> = BTreeMap::new();
        let mut peak_bytes = 0;
        for task in self.tasks() {
            let name = self.layer_name(task);
            let layer = layers.entry(name).or_insert_with(|| LayerProfile {
                name: name.to_string(),
                tasks: 0,
                seconds: 0.0,
                bytes: 0,
                spilled_bytes: 0,
                read_again_bytes: 0,
            });
            let mut seen = false;
            for moment in &task.moments {
                peak_bytes = peak_bytes.max(moment.held);
                match moment.kind {
                    EventKind::Finished => (layer.tasks, layer.bytes, seen) = (layer.tasks + 1, layer.bytes + task.bytes, true),
                    EventKind::Spilled => layer.spilled_bytes += task.bytes,
                    EventKind::Loaded => {
                        layer.read_again_bytes += if seen { task.bytes } else { 0 };
                        seen = true;
                    }
                    _ => {}
                }
            }
        }
        for span in self.spans() {
            let name = self.task(span.task).map(|task| self.layer_name(task));
            if let Some(layer) = name.and_then(|name| layers.get_mut(name)) {
                layer.seconds += (span.ns.1 - span.ns.0) as f64 / 1e9;
            }
        }
        let mut layers: Vec<LayerProfile> = layers.into_values().filter(|layer| layer.tasks + layer.read_again_bytes > 0).collect();
        layers.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        Profile { layers, peak_bytes }
    }

    /// A picture of what each worker did over time, as SVG: a lane for each worker with its tasks coloured by layer, and above it what was in memory,
    /// with the bound. `samples` of the whole process, as [`ResourceProfiler`](super::ResourceProfiler) takes them, are drawn below; there may be none.
    /// Tasks too short to be seen share a mark.
    pub fn profile_picture(&self, samples: &[Sample]) -> String {
        let (left, top, width) = FRAME;
        let spans = self.spans();
        let workers = spans.iter().map(|span| usize::from(span.worker) + 1).max().unwrap_or(1);
        let lanes = top + workers as f64 * LANE;
        let measured = if samples.is_empty() { 0.0 } else { 130.0 };
        let names: Vec<&str> = {
            let mut names: Vec<&str> = self.tasks().map(|task| self.layer_name(task)).collect();
            names.sort_unstable();
            names.dedup();
            names
        };
        let mut svg = Svg::new(left + width + 45.0, lanes + measured + 50.0 + names.len() as f64 * 16.0);
        self.axis(&mut svg, top, lanes + measured);
        self.held_curve(&mut svg);
        let mut ends = vec![f64::MIN; workers];
        let mut sorted = spans;
        sorted.sort_unstable_by_key(|span| span.ns);
        for Span { worker, task, ns } in sorted {
            let Some((task, end)) = self.task(task).zip(ends.get_mut(usize::from(worker))) else { continue };
            let (from, to) = (self.x_of(ns.0), self.x_of(ns.1));
            // What ends within the same half of a pixel cannot be seen.
            if to - *end < 0.5 {
                continue;
            }
            *end = to.max(from + 0.5);
            let layer = self.layer_name(task);
            let fill = colour(names.binary_search(&layer).unwrap_or(0));
            let title = format!("{}: {:.6} s", self.name(task), (ns.1 - ns.0) as f64 / 1e9);
            let y = top + f64::from(worker) * LANE;
            svg.rect((from, y), ((to - from).max(0.5), LANE - 4.0), &fill, &title);
        }
        for worker in 0..workers {
            svg.text((left - 6.0, top + worker as f64 * LANE + 13.0), Anchor::End, &format!("worker {worker}"));
        }
        if !samples.is_empty() {
            self.measured(&mut svg, samples, lanes + measured);
        }
        for (i, name) in names.iter().enumerate() {
            let y = lanes + measured + 34.0 + i as f64 * 16.0;
            svg.rect((left, y), (12.0, 12.0), &colour(i), "");
            svg.text((left + 18.0, y + 10.0), Anchor::Start, name);
        }
        svg.finish()
    }

    /// What the process took: resident memory, and processors in use.
    fn measured(&self, svg: &mut Svg, samples: &[Sample], base: f64) {
        let (left, ..) = FRAME;
        let resident = samples.iter().map(|sample| sample.resident_bytes).max().unwrap_or(1).max(self.bound).max(1) as f64;
        let busiest = samples.iter().map(|sample| sample.processors).fold(1.0, f64::max);
        let within = |sample: &&Sample| sample.at_ns(self.began_ns) <= self.ended_ns;
        let line = |value: &dyn Fn(&Sample) -> f64| -> Vec<(f64, f64)> {
            let point = |sample: &Sample| (self.x_of(sample.at_ns(self.began_ns)), base - 5.0 - value(sample) * 110.0);
            samples.iter().filter(within).map(point).collect()
        };
        svg.line(&line(&|sample| sample.resident_bytes as f64 / resident), "#266eb4", false);
        svg.line(&line(&|sample| sample.processors / busiest), "#c33", false);
        svg.text((left - 6.0, base - 90.0), Anchor::End, &format!("resident, up to {:.0} MiB", resident / f64::from(1 << 20)));
        svg.text((left - 6.0, base - 70.0), Anchor::End, &format!("processors, up to {busiest:.1}"));
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
        writeln!(f, "{:<24} {:>9} {:>10} {:>12} {:>12} {:>12}", "layer", "tasks", "seconds", "gave", "spilled", "read again")?;
        for LayerProfile { name, tasks, seconds, bytes, spilled_bytes, read_again_bytes } in &self.layers {
            let [gave, spilled, again] = [*bytes, *spilled_bytes, *read_again_bytes].map(mib);
            writeln!(f, "{name:<24} {tasks:>9} {seconds:>10.4} {gave:>12} {spilled:>12} {again:>12}")?;
        }
        write!(f, "at most {} of chunks in memory", mib(self.peak_bytes))
    }
}

impl TaskHistory {
    /// Seconds that workers took for it, if any did.
    pub fn seconds(&self) -> f64 {
        let at = |kind: EventKind| self.moments.iter().rfind(|moment| moment.kind == kind).map(|moment| moment.at_ns);
        match (at(EventKind::Started), at(EventKind::Finished)) {
            (Some(from), Some(to)) if to >= from => (to - from) as f64 / 1e9,
            _ => 0.0,
        }
    }
}
