//! What was held in memory when: a table by layer, and a picture of their bytes over time.

use super::history::{History, TaskHistory};
use super::svg::{Anchor, Svg, colour};
use super::timeline::FRAME;
use std::collections::BTreeMap;
use std::fmt;

/// The layers that a picture tells apart: those that held most. All others are one.
const LAYERS: usize = 12;

/// The height of the picture's curve.
const HEIGHT: f64 = 260.0;

/// A chunk that was in memory for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    /// The task that gave it: its number in [`History::task`].
    pub task: u32,
    /// Its bytes.
    pub bytes: u64,
    /// From when to when it was in memory, in nanoseconds since the log began.
    pub ns: (u64, u64),
}

/// What a layer's chunks took of memory. Part of a [`CacheProfile`].
#[derive(Clone, Debug, PartialEq)]
pub struct LayerHeld {
    /// The layer's name; of delayed calls and tasks of a graph, `delayed` and `graph`.
    pub name: String,
    /// How often a chunk of it came into memory.
    pub holdings: u64,
    /// The most of its bytes in memory at a time.
    pub peak_bytes: u64,
    /// Its bytes when most was in memory in all.
    pub bytes_at_peak: u64,
    /// Bytes times the seconds for which they were in memory.
    pub byte_seconds: f64,
}

/// What was held in memory when, by layer, those that held most first: see [`History::cache_profile`].
#[derive(Clone, Debug, PartialEq)]
pub struct CacheProfile {
    /// The layers.
    pub layers: Vec<LayerHeld>,
    /// The most bytes in memory at a time.
    pub peak_bytes: u64,
    /// When that was, in nanoseconds since the log began.
    pub peak_ns: u64,
}

impl History {
    /// Each stretch of time in which a chunk was in memory, in the order of their beginnings: what Dask's `CacheProfiler` keeps of each result.
    ///
    /// ```
    /// use chunkstore::{Engine, array::Array};
    /// let engine = Engine::builder().memory("256MiB").build()?;
    /// let recording = engine.record();
    /// engine.compute(&Array::<f64>::ones([1000], 100).sqrt().sum(..).item_collection())?;
    /// let history = recording.history();
    /// for held in history.holdings() {
    ///     let task = history.task(held.task).expect("it is there");
    ///     println!("{}: {} bytes from {} ns to {} ns", history.name(task), held.bytes, held.ns.0, held.ns.1);
    /// }
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    pub fn holdings(&self) -> Vec<Holding> {
        let mut all = Vec::new();
        for (number, task) in self.tasks().enumerate().filter(|(_, task)| task.bytes > 0) {
            let first = all.len();
            for stay in task.stays(self.ended_ns).iter().filter(|stay| stay.in_memory) {
                // That it was written meanwhile makes no difference.
                match all.get_mut(first..).and_then(<[Holding]>::last_mut) {
                    Some(last) if last.ns.1 == stay.ns.0 => last.ns.1 = stay.ns.1,
                    _ => all.push(Holding { task: number as u32, bytes: task.bytes, ns: stay.ns }),
                }
            }
        }
        all.sort_by_key(|held| (held.ns.0, held.task));
        all
    }

    /// What each layer's chunks took of memory, for how long, and what was there when most was.
    ///
    /// ```
    /// use chunkstore::{Engine, array::Array};
    /// let engine = Engine::builder().memory("256MiB").build()?;
    /// let recording = engine.record();
    /// let x = Array::<f64>::linspace(0.0, 1.0, 100_000, 1000);
    /// engine.compute(&(&x - x.mean(..)).abs().max(..).item_collection())?;
    /// let cache = recording.history().cache_profile();
    /// assert!(cache.peak_bytes >= cache.layers[0].peak_bytes);
    /// println!("{cache}");
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    pub fn cache_profile(&self) -> CacheProfile {
        let holdings = self.holdings();
        let mut layers = BTreeMap::<&str, (LayerHeld, u64)>::new();
        for held in &holdings {
            let name = self.held_name(held);
            let empty = LayerHeld { name: name.to_string(), holdings: 0, peak_bytes: 0, bytes_at_peak: 0, byte_seconds: 0.0 };
            let (layer, _) = layers.entry(name).or_insert((empty, 0));
            layer.holdings += 1;
            layer.byte_seconds += held.bytes as f64 * (held.ns.1 - held.ns.0) as f64 / 1e9;
        }
        let (mut held_now, mut peak_bytes, mut peak_ns) = (0u64, 0, 0);
        for (at, held, begins) in moments(&holdings) {
            let Some((layer, now)) = layers.get_mut(self.held_name(held)) else { continue };
            match begins {
                true => (*now, held_now) = (*now + held.bytes, held_now + held.bytes),
                false => (*now, held_now) = (now.saturating_sub(held.bytes), held_now.saturating_sub(held.bytes)),
            }
            layer.peak_bytes = layer.peak_bytes.max(*now);
            if held_now > peak_bytes {
                (peak_bytes, peak_ns) = (held_now, at);
            }
        }
        for held in holdings.iter().filter(|held| (held.ns.0..held.ns.1).contains(&peak_ns)) {
            if let Some((layer, _)) = layers.get_mut(self.held_name(held)) {
                layer.bytes_at_peak += held.bytes;
            }
        }
        let mut layers: Vec<LayerHeld> = layers.into_values().map(|(layer, _)| layer).collect();
        layers.sort_by(|a, b| b.byte_seconds.total_cmp(&a.byte_seconds));
        CacheProfile { layers, peak_bytes, peak_ns }
    }

    /// A picture of the bytes in memory over time, as SVG: one band for each layer, those that held most at the bottom, with the bound. It is the picture of Dask's
    /// `CacheProfiler`, in bytes.
    ///
    /// ```
    /// use chunkstore::{Engine, array::Array};
    /// let engine = Engine::builder().memory("256MiB").build()?;
    /// let recording = engine.record();
    /// engine.compute(&Array::<f64>::ones([1000], 100).sqrt().sum(..).item_collection())?;
    /// let svg = recording.history().cache_picture();
    /// assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    pub fn cache_picture(&self) -> String {
        let (left, top, width) = FRAME;
        let columns = width as usize;
        let profile = self.cache_profile();
        let names: Vec<&str> = profile.layers.iter().take(LAYERS).map(|layer| layer.name.as_str()).collect();
        let others = profile.layers.len() > names.len();
        let bands = names.len() + usize::from(others);
        // For each column the most that each band held in it, at the moment when the sum was greatest.
        let (mut now, mut most) = (vec![0u64; bands], vec![vec![0u64; bands]; columns]);
        let end = self.ended_ns.max(1) as f64;
        let column_of = |at: u64| ((at as f64 / end * columns as f64) as usize).min(columns.saturating_sub(1));
        let raise = |cell: &mut Vec<u64>, now: &[u64]| {
            if now.iter().sum::<u64>() >= cell.iter().sum() {
                cell.copy_from_slice(now);
            }
        };
        let holdings = self.holdings();
        let mut reached = 0;
        for (at, held, begins) in moments(&holdings) {
            let column = column_of(at);
            most.iter_mut().take(column + 1).skip(reached).for_each(|cell| raise(cell, &now));
            reached = column;
            let name = self.held_name(held);
            let band = names.iter().position(|known| *known == name).unwrap_or(names.len());
            if let Some(bytes) = now.get_mut(band) {
                *bytes = if begins { *bytes + held.bytes } else { bytes.saturating_sub(held.bytes) };
            }
            if let Some(cell) = most.get_mut(column) {
                raise(cell, &now);
            }
        }
        let base = top - 110.0 + HEIGHT;
        let scale = HEIGHT / profile.peak_bytes.max(self.most_bound()).max(1) as f64;
        let mut svg = Svg::new(left + width + 45.0, base + 40.0 + bands as f64 * 16.0);
        self.axis(&mut svg, top, base);
        let mut at = 0;
        for run in most.chunk_by(|a, b| a == b) {
            let mut y = base;
            for (band, bytes) in run.first().into_iter().flatten().enumerate().filter(|(_, bytes)| **bytes > 0) {
                let height = *bytes as f64 * scale;
                y -= height;
                svg.rect((left + at as f64, y), (run.len() as f64, height), &colour(band), "");
            }
            at += run.len();
        }
        if let Some((_, first)) = self.bounds.first() {
            let y = |bound: u64| base - bound as f64 * scale;
            svg.line(&self.bound_line(y), "#c33", false);
            svg.text((left - 6.0, y(*first) + 4.0), Anchor::End, &format!("bound {}", mib(*first)));
        }
        let y = base - profile.peak_bytes as f64 * scale;
        svg.text((left - 6.0, (y + 4.0).min(base - 14.0)), Anchor::End, &format!("at most {}", mib(profile.peak_bytes)));
        let labels = names.iter().copied().chain(others.then_some("others"));
        for (band, label) in labels.enumerate() {
            let y = base + 28.0 + band as f64 * 16.0;
            svg.rect((left, y), (12.0, 12.0), &colour(band), "");
            svg.text((left + 18.0, y + 10.0), Anchor::Start, label);
        }
        svg.finish()
    }

    fn held_name(&self, held: &Holding) -> &str {
        self.task(held.task).map_or("?", |task: &TaskHistory| self.layer_name(task))
    }
}

/// When chunks come and go, in order; of those at one moment, what goes is first.
fn moments(holdings: &[Holding]) -> Vec<(u64, &Holding, bool)> {
    let mut moments: Vec<(u64, &Holding, bool)> = holdings
        .iter()
        .flat_map(|held| [(held.ns.0, held, true), (held.ns.1, held, false)])
        .filter(|(_, held, _)| held.ns.0 < held.ns.1)
        .collect();
    moments.sort_by_key(|(at, held, begins)| (*at, *begins, held.task));
    moments
}

fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

impl fmt::Display for CacheProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<24} {:>9} {:>12} {:>12} {:>14}", "layer", "times", "at most", "at the peak", "MiB x seconds")?;
        for LayerHeld { name, holdings, peak_bytes, bytes_at_peak, byte_seconds } in &self.layers {
            let seconds = byte_seconds / f64::from(1 << 20);
            writeln!(f, "{name:<24} {holdings:>9} {:>12} {:>12} {seconds:>14.3}", mib(*peak_bytes), mib(*bytes_at_peak))?;
        }
        write!(f, "at most {} in memory, at {:.3} s", mib(self.peak_bytes), self.peak_ns as f64 / 1e9)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chunkstore_store::{Event, EventKind, EventLog};
    use serde_json::json;

    fn log(events: &[(u64, EventKind, u32, u64)]) -> History {
        let events = events.iter().map(|(at_ns, kind, layer, bytes)| Event {
            at_ns: *at_ns,
            kind: *kind,
            worker: 0,
            layer: *layer,
            block: 0,
            bytes: *bytes,
        });
        let layers = json!([{ "layer": 0, "name": "a", "key": "", "blocks": 1, "grid": [1] }, { "layer": 1, "name": "b", "key": "", "blocks": 1, "grid": [1] }]);
        History::of(&EventLog {
            run: 0,
            process: 0,
            began_ns: 0,
            descriptions: vec![json!({ "what": "run", "tasks": 2, "bound": 400, "layers": layers })],
            events: events.collect(),
            whole: true,
        })
    }

    #[test]
    fn what_is_held_is_told_by_layer() {
        use EventKind::{Died, Dropped, Finished, Loaded, Spilled, Started};
        let history = log(&[
            (0, Started, 0, 0),
            (1_000, Finished, 0, 100),
            (2_000, Spilled, 0, 100),
            (3_000, Dropped, 0, 100),
            (3_000, Started, 1, 0),
            (4_000, Finished, 1, 50),
            (5_000, Loaded, 0, 100),
            (7_000, Died, 0, 100),
            (9_000, Died, 1, 50),
        ]);
        let held = |task, bytes, ns| Holding { task, bytes, ns };
        assert_eq!(history.holdings(), [held(0, 100, (1_000, 3_000)), held(1, 50, (4_000, 9_000)), held(0, 100, (5_000, 7_000))]);
        let profile = history.cache_profile();
        assert_eq!((profile.peak_bytes, profile.peak_ns), (150, 5_000));
        let layer =
            |at: usize| profile.layers.get(at).map(|layer| (layer.name.as_str(), layer.holdings, layer.peak_bytes, layer.bytes_at_peak));
        assert_eq!((layer(0), layer(1)), (Some(("a", 2, 100, 100)), Some(("b", 1, 50, 50))));
        assert!(profile.to_string().contains("at most 0.0 MiB in memory"));
        let svg = history.cache_picture();
        // Two bands and the bound; the upper band stands on the lower one.
        assert!(svg.matches("<rect").count() >= 6 && svg.contains("bound"), "{svg}");
        assert!(History::default().cache_picture().starts_with("<svg"));
    }
}
