//! Watching the runs of an engine: callbacks, and recordings.

use super::Engine;
use crate::exec::{Callback, Recording as Events, Sink};
use crate::report::History;
use chunkstore_store::EventLog;
use std::sync::Arc;

impl Engine {
    /// The same engine, whose runs tell `callback` what they do where they are asked for through what this gives: see [`Callback`].
    pub fn with_callback(&self, callback: Arc<dyn Callback>) -> Engine {
        let mut told = self.clone();
        told.callbacks = self.callbacks.with(callback);
        told
    }

    /// Records what happens on this engine from now on: each task, and each chunk that is made, spilled, read back or dropped. Recording ends
    /// when what this gives is dropped.
    ///
    /// ```
    /// use chunkstore::{Engine, array::Array};
    /// let engine = Engine::builder().memory("256MiB").build()?;
    /// let recording = engine.record();
    /// engine.compute(&Array::<f64>::ones([1000], 100).sum(..).item_collection())?;
    /// let history = recording.history();
    /// assert_eq!(history.tasks().filter(|task| task.ran()).count() as u64, engine.last_run().expect("one ran").tasks);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    pub fn record(&self) -> Recording {
        let events = Arc::new(Events::new(self.shared.core.arena.ledger()));
        let sink = Arc::new(Sink::Memory(events.clone()));
        self.shared.core.recorder.add(sink.clone());
        Recording { engine: self.clone(), sink, events }
    }
}

/// What happens on an engine, recorded in memory while this lives: 32 bytes for each event, which count in the engine's bound. Made
/// by [`Engine::record`].
pub struct Recording {
    engine: Engine,
    sink: Arc<Sink>,
    events: Arc<Events>,
}

impl Recording {
    /// The events so far. Where there was no room for all of them, [`EventLog::whole`] is false.
    pub fn log(&self) -> EventLog {
        self.events.log()
    }

    /// What became of each task and each chunk so far.
    pub fn history(&self) -> History {
        History::of(&self.log())
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let core = &self.engine.shared.core;
        core.recorder.remove(&self.sink);
        core.unreserve(self.events.end());
    }
}

impl std::fmt::Debug for Recording {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recording").finish_non_exhaustive()
    }
}
