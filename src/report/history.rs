//! What became of each task and each chunk of a run, as its event log tells.

use chunkstore_store::{Event, EventKind, EventLog};
use rustc_hash::FxHashMap;
use serde_json::Value;

/// What became of the tasks and chunks of the runs of an engine: read from an event log, or recorded in memory.
///
/// ```
/// use chunkstore::{Engine, array::Array};
/// let engine = Engine::builder().memory("256MiB").build()?;
/// let recording = engine.record();
/// let x = Array::<f64>::linspace(0.0, 1.0, 1001, 100);
/// engine.compute(&(&x - x.mean(..)).abs().max(..).item_collection())?;
/// let history = recording.history();
/// for task in history.tasks() {
///     println!("{} gave {} bytes", history.name(task), task.bytes);
/// }
/// # Ok::<(), chunkstore::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct History {
    layers: FxHashMap<u32, Layer>,
    tasks: Vec<TaskHistory>,
    by_place: FxHashMap<(u32, u32), u32>,
    runs: usize,
    /// The most bytes that tasks of a run shared.
    pub bound: u64,
    /// The bytes that tasks shared, and since when, in nanoseconds since the log began: they change with the engine's bound, and with what results and graphs take of it.
    pub bounds: Vec<(u64, u64)>,
    /// When the log began, in nanoseconds since 1970.
    pub began_ns: u64,
    /// When the last event was, in nanoseconds since the log began.
    pub ended_ns: u64,
    /// Whether the log is whole: else what happened last is missing.
    pub whole: bool,
    /// How the runs ended, in order: `done` or the error.
    pub ends: Vec<String>,
}

#[derive(Clone, Debug, Default)]
struct Layer {
    name: String,
    key: String,
    grid: Vec<u32>,
    names: Vec<String>,
    /// The run that it belongs to.
    run: usize,
}

/// What became of one task and of the chunk that it gave.
#[derive(Clone, Debug, Default)]
pub struct TaskHistory {
    /// The number of its layer in the log.
    pub layer: u32,
    /// Its block of the layer.
    pub block: u32,
    /// Its place in the order of its run; none for what was kept from before.
    pub place: Option<u32>,
    /// The bytes that its chunk takes.
    pub bytes: u64,
    /// The tasks whose chunks it needs: numbers in [`History::task`].
    pub inputs: Vec<u32>,
    /// The tasks that need its chunk.
    pub users: Vec<u32>,
    /// What happened, in order.
    pub moments: Vec<Moment>,
}

/// One thing that happened to a task or its chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// When, in nanoseconds since the log began.
    pub at_ns: u64,
    /// What.
    pub kind: EventKind,
    /// The worker that did it.
    pub worker: u8,
    /// The bytes of all chunks in memory after it.
    pub held: u64,
    /// How many tasks had started before it.
    pub started: u32,
}

/// A stretch of time in which a chunk was somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stay {
    /// Its beginning and end, in nanoseconds since the log began.
    pub ns: (u64, u64),
    /// Whether the chunk was in memory.
    pub in_memory: bool,
    /// Whether it was on disk.
    pub on_disk: bool,
}

impl History {
    /// Reads a log.
    pub fn of(log: &EventLog) -> Self {
        let mut history = History { whole: log.whole, began_ns: log.began_ns, ..History::default() };
        log.descriptions.iter().for_each(|description| history.describe(description));
        let (mut held, mut started) = (0u64, 0u32);
        let mut in_memory: Vec<bool> = Vec::new();
        let mut planned = None;
        let mut places = 0;
        for event in &log.events {
            let Event { at_ns, kind, worker, bytes, .. } = *event;
            history.ended_ns = history.ended_ns.max(at_ns);
            let number = history.number(event.layer, event.block);
            in_memory.resize(history.tasks.len(), false);
            let (Some(task), Some(resident)) = (history.tasks.get_mut(number as usize), in_memory.get_mut(number as usize)) else {
                continue;
            };
            match kind {
                EventKind::Planned => {
                    // The places of a run begin anew.
                    let run = history.layers.get(&event.layer).map(|layer| layer.run);
                    places = if planned.is_some_and(|(of, _)| of == run) { places + 1 } else { 0 };
                    planned = Some((run, number));
                    (task.place, task.bytes) = (Some(places), bytes);
                    continue;
                }
                EventKind::Needs => {
                    if let Some((_, user)) = planned {
                        task.users.push(user);
                        if let Some(user) = history.tasks.get_mut(user as usize) {
                            user.inputs.push(number);
                        }
                    }
                    continue;
                }
                EventKind::Started => started += 1,
                EventKind::Finished | EventKind::Loaded => {
                    if matches!(kind, EventKind::Finished) {
                        task.bytes = bytes;
                    }
                    if !std::mem::replace(resident, true) {
                        held += task.bytes;
                    }
                }
                EventKind::Dropped | EventKind::Died if std::mem::replace(resident, false) => held = held.saturating_sub(task.bytes),
                _ => {}
            }
            task.moments.push(Moment { at_ns, kind, worker, held, started });
        }
        history
    }

    fn describe(&mut self, description: &Value) {
        let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_string();
        let number = |value: &Value, name: &str| value.get(name).and_then(Value::as_u64).unwrap_or(0);
        match text(description, "what").as_str() {
            "bound" => self.bounded(description),
            "run" => {
                self.bound = self.bound.max(number(description, "bound"));
                self.bounded(description);
                self.runs += 1;
                for layer in description.get("layers").and_then(Value::as_array).into_iter().flatten() {
                    let numbers = |name: &str| -> Vec<u32> {
                        let all = layer.get(name).and_then(Value::as_array).into_iter().flatten();
                        all.filter_map(Value::as_u64).map(|n| n as u32).collect()
                    };
                    let names = layer.get("names").and_then(Value::as_array).into_iter().flatten();
                    let names = names.map(|name| name.as_str().unwrap_or_default().to_string()).collect();
                    let known = Layer { name: text(layer, "name"), key: text(layer, "key"), grid: numbers("grid"), names, run: self.runs };
                    self.layers.insert(number(layer, "layer") as u32, known);
                }
            }
            "end" => {
                let how = text(description, "ended");
                self.ends.push(if how == "done" { how } else { text(description, "error") });
            }
            _ => {}
        }
    }

    fn bounded(&mut self, description: &Value) {
        let number = |name: &str| description.get(name).and_then(Value::as_u64).unwrap_or(0);
        let (at, bound) = (number("at_ns"), number("bound"));
        if self.bounds.last().is_none_or(|(_, last)| *last != bound) {
            self.bounds.push((at, bound));
        }
    }

    /// The bound over time as a line, from where a picture's time begins to where it ends; `y` is where so many bytes are.
    pub(super) fn bound_line(&self, y: impl Fn(u64) -> f64) -> Vec<(f64, f64)> {
        let mut points = Vec::new();
        let mut before = None;
        for (place, (at, bound)) in self.bounds.iter().enumerate() {
            let x = self.x_of(if place == 0 { 0 } else { (*at).min(self.ended_ns) });
            points.extend(before.map(|bound| (x, y(bound))));
            points.push((x, y(*bound)));
            before = Some(*bound);
        }
        points.extend(before.map(|bound| (self.x_of(self.ended_ns), y(bound))));
        points
    }

    /// The most bytes that tasks shared at any time.
    pub(super) fn most_bound(&self) -> u64 {
        self.bounds.iter().map(|(_, bound)| *bound).max().unwrap_or(self.bound)
    }

    fn number(&mut self, layer: u32, block: u32) -> u32 {
        let next = self.tasks.len() as u32;
        let number = *self.by_place.entry((layer, block)).or_insert(next);
        if number == next {
            self.tasks.push(TaskHistory { layer, block, ..TaskHistory::default() });
        }
        number
    }

    /// All tasks, in the order in which the log names them first.
    pub fn tasks(&self) -> impl Iterator<Item = &TaskHistory> {
        self.tasks.iter()
    }

    /// A task by its number.
    pub fn task(&self, number: u32) -> Option<&TaskHistory> {
        self.tasks.get(number as usize)
    }

    /// The name of the layer of a task.
    pub fn layer_name(&self, task: &TaskHistory) -> &str {
        self.layers.get(&task.layer).map_or("?", |layer| &layer.name)
    }

    /// The name of a task, as errors show it: `mean-1f2e3d4c[0, 3]`, or the key that the user's graph gives it.
    pub fn name(&self, task: &TaskHistory) -> String {
        let Some(layer) = self.layers.get(&task.layer) else { return format!("?[{}]", task.block) };
        if let Some(name) = layer.names.get(task.block as usize).filter(|name| !name.is_empty()) {
            return name.clone();
        }
        let mut position = vec![0; layer.grid.len()];
        let mut rest = task.block;
        for (place, count) in position.iter_mut().zip(&layer.grid).rev() {
            (*place, rest) = (rest % (*count).max(1), rest / (*count).max(1));
        }
        match layer.key.get(..8) {
            Some(key) => format!("{}-{key}{position:?}", layer.name),
            None => format!("{}{position:?}", layer.name),
        }
    }

    /// The tasks that `text` means: a whole name (spaces do not count), a layer's name with a block (`mean[0, 3]`), or a part of names.
    pub fn find(&self, text: &str) -> Vec<&TaskHistory> {
        let squeeze = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
        let wanted = squeeze(text);
        let named = |matches: &dyn Fn(&str, &str) -> bool| -> Vec<&TaskHistory> {
            let short = |task: &TaskHistory, name: &str| match (name.find('['), self.layers.get(&task.layer)) {
                (Some(at), Some(layer)) => format!("{}{}", layer.name, name.get(at..).unwrap_or_default()),
                _ => name.to_string(),
            };
            let is_it = |task: &&TaskHistory| {
                let name = squeeze(&self.name(task));
                matches(&name, &short(task, &name))
            };
            self.tasks.iter().filter(is_it).collect()
        };
        let exact = named(&|name, short| name == wanted || short == wanted);
        if exact.is_empty() { named(&|name, _| name.contains(&wanted)) } else { exact }
    }
}

impl TaskHistory {
    /// Whether a worker ran it to its end.
    pub fn ran(&self) -> bool {
        self.moments.iter().any(|moment| moment.kind == EventKind::Finished)
    }

    /// Where its chunk was, stretch by stretch, until it died or the log ended at `ended_ns`.
    pub fn stays(&self, ended_ns: u64) -> Vec<Stay> {
        let mut stays: Vec<Stay> = Vec::new();
        let (mut in_memory, mut on_disk, mut since) = (false, false, 0);
        for moment in &self.moments {
            let before = (in_memory, on_disk);
            match moment.kind {
                EventKind::Finished | EventKind::Loaded => in_memory = true,
                EventKind::Spilled => on_disk = true,
                EventKind::Dropped => in_memory = false,
                EventKind::Died => (in_memory, on_disk) = (false, false),
                _ => {}
            }
            if before != (in_memory, on_disk) {
                if before.0 || before.1 {
                    stays.push(Stay { ns: (since, moment.at_ns), in_memory: before.0, on_disk: before.1 });
                }
                since = moment.at_ns;
            }
        }
        if in_memory || on_disk {
            stays.push(Stay { ns: (since, ended_ns), in_memory, on_disk });
        }
        stays
    }
}
