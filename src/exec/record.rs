//! What happens in the runs of an engine, for whoever records it: an event log in a folder, and recordings in memory.
//!
//! Each plan is described as a whole when it begins: its layers, and its tasks in their order with the chunks that they need. After that comes
//! an event for each task that starts or ends and for each chunk that moves.

use super::core::Core;
use super::run::Plan;
use crate::graph::{LayerRef, TaskTable};
use chunkstore_store::{Booking, Event, EventKind, EventLog, EventWriter, Ledger};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::thread::ThreadId;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The events that are booked together for a recording in memory.
const PIECE: usize = 16 << 10;
const PIECE_BYTES: u64 = (PIECE * size_of::<Event>()) as u64;

/// About the events of a task, beside one for each input.
const EVENTS_A_TASK: usize = 6;

/// The part of the bound that may be set aside for events to come.
const MOST_AHEAD: u64 = 8;

/// So many keys of a graph are described at the most, in memory that nobody books: tasks beyond them are named by their numbers.
const MOST_NAMES: usize = 1 << 14;

/// All who record what happens on an engine.
#[derive(Default)]
pub(crate) struct Recorder {
    /// Whether there are any: looked at for each event.
    on: AtomicBool,
    sinks: Mutex<Vec<Arc<Sink>>>,
    layers: AtomicU32,
    /// The threads that were seen, in order: their places are the numbers of workers.
    threads: Mutex<Vec<ThreadId>>,
}

/// One who records.
pub(crate) enum Sink {
    /// To a file. A run goes on where its log cannot be written.
    File(EventWriter),
    /// In memory, until it is taken.
    Memory(Arc<Recording>),
}

/// Events in memory. What finds no room within the bound is left out, and the log is then not whole.
pub(crate) struct Recording {
    began: Instant,
    ledger: Ledger,
    state: Mutex<Recorded>,
}

struct Recorded {
    log: EventLog,
    bookings: Vec<Booking>,
    /// Bytes of these that tasks were told to leave free; none once the recording has ended.
    reserved: Option<u64>,
}

impl Recording {
    pub(crate) fn new(ledger: &Ledger) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let log = EventLog {
            run: 0,
            process: std::process::id(),
            began_ns: since.as_nanos() as u64,
            descriptions: Vec::new(),
            events: Vec::new(),
            whole: true,
        };
        let state = Mutex::new(Recorded { log, bookings: Vec::new(), reserved: Some(0) });
        Recording { began: Instant::now(), ledger: ledger.clone(), state }
    }

    /// What has been recorded so far.
    pub(crate) fn log(&self) -> EventLog {
        self.state.lock().log.clone()
    }

    /// Ends the recording; the bytes that were set aside for it, which are to be given back. A run that is about to begin sets aside no more.
    pub(crate) fn end(&self) -> u64 {
        self.state.lock().reserved.take().unwrap_or(0)
    }

    /// So many pieces are missing for `events` more.
    fn missing(&self, events: usize) -> usize {
        let state = self.state.lock();
        (state.log.events.len() + events).div_ceil(PIECE).saturating_sub(state.bookings.len())
    }

    /// Makes room for a piece more, of which tasks were told to leave `reserved` bytes free; whether there was any.
    fn extend(&self, Recorded { log, bookings, reserved: all, .. }: &mut Recorded, reserved: u64) -> bool {
        let Some(all) = all else { return false };
        let Ok(booking) = self.ledger.book(PIECE_BYTES) else { return false };
        let more = ((bookings.len() + 1) * PIECE).saturating_sub(log.events.len());
        let extended = log.events.try_reserve_exact(more).is_ok();
        if extended {
            bookings.push(booking);
            *all += reserved;
        }
        extended
    }

    fn record(&self, event: Event) {
        let mut state = self.state.lock();
        let full = |state: &Recorded| state.log.events.len() == state.bookings.len() * PIECE;
        if full(&state) && !self.extend(&mut state, 0) {
            state.log.whole = false;
        }
        if !full(&state) {
            state.log.events.push(event);
        }
    }
}

impl Sink {
    fn now_ns(&self) -> u64 {
        match self {
            Sink::File(log) => log.now_ns(),
            Sink::Memory(recording) => recording.began.elapsed().as_nanos() as u64,
        }
    }

    fn record(&self, event: Event) {
        match self {
            Sink::File(log) => log.record(event),
            Sink::Memory(recording) => recording.record(event),
        }
    }

    fn describe(&self, description: &Value) {
        match self {
            Sink::File(log) => {
                log.describe(description).ok();
            }
            Sink::Memory(recording) => recording.state.lock().log.descriptions.push(description.clone()),
        }
    }
}

impl Recorder {
    /// Records to `sink` too, from now on.
    pub(crate) fn add(&self, sink: Arc<Sink>) {
        self.sinks.lock().push(sink);
        self.on.store(true, Relaxed);
    }

    /// Records to `sink` no more.
    pub(crate) fn remove(&self, sink: &Arc<Sink>) {
        let mut sinks = self.sinks.lock();
        sinks.retain(|known| !Arc::ptr_eq(known, sink));
        self.on.store(!sinks.is_empty(), Relaxed);
    }

    /// Whether anybody records.
    #[inline]
    pub(crate) fn is_on(&self) -> bool {
        self.on.load(Relaxed)
    }

    /// Sets room aside for the events of a run of `table`, so that it is not taken from the run: what finds no room then finds it later, or is left out.
    pub(crate) fn expect(&self, table: &TaskTable, core: &Core) {
        if !self.is_on() {
            return;
        }
        let most = (core.arena.ledger().limit() / MOST_AHEAD / PIECE_BYTES) as usize;
        let sinks = self.sinks.lock().clone();
        for recording in sinks.iter().filter_map(|sink| match &**sink {
            Sink::Memory(recording) => Some(recording),
            Sink::File(_) => None,
        }) {
            for _ in 0..recording.missing(EVENTS_A_TASK * table.len() + table.inputs.len()).min(most) {
                if core.reserve(PIECE_BYTES).is_err() {
                    break;
                }
                if !recording.extend(&mut recording.state.lock(), PIECE_BYTES) {
                    core.unreserve(PIECE_BYTES);
                    break;
                }
            }
        }
    }

    /// Writes a description, such as how a run ended.
    pub(crate) fn describe(&self, description: &Value) {
        if self.is_on() {
            self.sinks.lock().iter().for_each(|sink| sink.describe(description));
        }
    }

    /// The same, with when it was.
    fn describe_now(&self, mut description: Value) {
        for sink in self.sinks.lock().iter() {
            description["at_ns"] = sink.now_ns().into();
            sink.describe(&description);
        }
    }

    /// Writes down that tasks share `bound` bytes from now on.
    pub(super) fn bound(&self, bound: u64) {
        if self.is_on() {
            self.describe_now(json!({ "what": "bound", "bound": bound }));
        }
    }

    /// Describes a plan, where anybody records; the number of its first layer is noted in it.
    pub(super) fn plan(&self, plan: &mut Plan, bound: u64) {
        if !self.is_on() {
            return;
        }
        let TaskTable { layers, .. } = &plan.table;
        // One more than there are layers: for tasks that a graph of the user's names.
        let count = layers.len() as u32 + 1;
        let first = self.layers.fetch_add(count, Relaxed);
        let mut left = MOST_NAMES;
        let mut described: Vec<Value> = Vec::with_capacity(count as usize);
        for (layer, number) in layers.iter().zip(first..) {
            described.push(describe(layer, number, &mut left));
        }
        described.push(self.describe_graph(plan, first + count - 1));
        plan.first_layer = Some(first);
        self.describe_now(json!({ "what": "run", "tasks": plan.order.len(), "bound": bound, "layers": described }));
        let sinks = self.sinks.lock();
        for (place, task) in plan.order.iter().enumerate() {
            let bytes = plan.batch.out.get(place).copied().unwrap_or(0);
            let send = |kind, task, bytes| {
                if let Some(place) = Place::of(plan, task) {
                    send(&sinks, kind, place, bytes, u8::MAX);
                }
            };
            send(EventKind::Planned, *task, bytes);
            plan.table.inputs_of(*task).iter().for_each(|input| send(EventKind::Needs, *input, 0));
        }
    }

    /// The tasks of a plan that belong to no layer, as a layer.
    fn describe_graph(&self, plan: &Plan, number: u32) -> Value {
        let table = &plan.table;
        let own = (0..table.len()).filter(|task| is_in_graph(table, *task));
        let mut names: Vec<String> = Vec::new();
        for task in own.clone().take(MOST_NAMES) {
            let block = table.block_of(task as u32) as usize;
            names.resize(names.len().max(block + 1), String::new());
            names[block] = table.name_of(task as u32);
        }
        json!({ "layer": number, "name": "graph", "key": "", "blocks": own.count(), "names": names })
    }

    /// Records what happened to a task, or to its chunk.
    pub(super) fn record(&self, kind: EventKind, place: Option<Place>, bytes: u64) {
        if let Some(place) = place {
            let worker = self.worker();
            send(&self.sinks.lock(), kind, place, bytes, worker);
        }
    }

    fn worker(&self) -> u8 {
        let own = std::thread::current().id();
        let mut threads = self.threads.lock();
        let at = threads.iter().position(|thread| *thread == own).unwrap_or_else(|| {
            threads.push(own);
            threads.len() - 1
        });
        at.min(254) as u8
    }
}

fn send(sinks: &[Arc<Sink>], kind: EventKind, Place { layer, block }: Place, bytes: u64, worker: u8) {
    for sink in sinks {
        sink.record(Event { at_ns: sink.now_ns(), kind, worker, layer, block, bytes });
    }
}

/// What a task is called in an event log.
#[derive(Clone, Copy)]
pub(super) struct Place {
    layer: u32,
    block: u32,
}

impl Place {
    /// The place of a task of a plan; none where the plan began before anybody recorded.
    pub(super) fn of(plan: &Plan, task: u32) -> Option<Self> {
        let first_layer = plan.first_layer?;
        let at = task as usize;
        let own = match is_in_graph(&plan.table, at) {
            true => plan.table.layers.len() as u32,
            false => plan.table.layer.get(at).copied().unwrap_or(0),
        };
        Some(Place { layer: first_layer + own, block: plan.table.block_of(task) })
    }
}

/// Whether a task comes from a graph of the user's.
fn is_in_graph(table: &TaskTable, task: usize) -> bool {
    table.layer.get(task).is_none_or(|layer| *layer as usize >= table.layers.len())
}

/// A layer's name, key and grid of blocks.
///
/// Tasks of several kinds have names of their own, of which `left` more are written down.
fn describe(layer: &LayerRef, number: u32, left: &mut usize) -> Value {
    let blocks = layer.blocks();
    let last = layer.position(blocks.saturating_sub(1));
    let grid: Vec<u32> = last.iter().map(|index| index + 1).collect();
    let counted = grid.iter().try_fold(1u32, |product, n| product.checked_mul(*n));
    // A grid that does not count the blocks is none.
    let grid = if counted == Some(blocks) { grid } else { vec![blocks] };
    let mut described = json!({ "layer": number, "name": layer.name(), "key": layer.key().to_string(), "blocks": blocks, "grid": grid });
    if layer.kind_of(0).is_some() {
        let operator = layer.operator();
        let named = blocks.min(u32::try_from(*left).unwrap_or(u32::MAX));
        *left -= named as usize;
        let names: Vec<String> = (0..named).map(|block| operator.task_name(block).unwrap_or_default()).collect();
        described["names"] = json!(names);
    }
    described
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.describe(&json!({ "what": "closed" }));
    }
}
