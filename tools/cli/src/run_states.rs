//! Where the blocks of a run are, as its event log tells: also while the run goes on.

use crate::failure::Result;
use crate::picture::State;
use chunkstore_store::io::FileBackend;
use chunkstore_store::{EventKind, EventLog, read_events};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// The blocks of a layer that the log has named.
pub(crate) struct Layer {
    pub(crate) number: u32,
    pub(crate) name: String,
    /// A state for each block, from 0 to the last that was named.
    pub(crate) states: Vec<State>,
}

/// What is known of one block.
#[derive(Clone, Copy, Default)]
struct Block {
    in_memory: bool,
    on_disk: bool,
    saved: bool,
    failed: bool,
}

impl Block {
    fn take(&mut self, kind: EventKind) {
        match kind {
            EventKind::Started | EventKind::PutBack => {}
            EventKind::Finished | EventKind::Loaded => self.in_memory = true,
            // It stays in memory until it is dropped.
            EventKind::Spilled => self.on_disk = true,
            EventKind::Dropped => (self.in_memory, self.on_disk) = (false, true),
            EventKind::Died => (self.in_memory, self.on_disk) = (false, false),
            EventKind::Saved => self.saved = true,
            EventKind::Failed => self.failed = true,
            // A kind that came later says nothing here.
            _ => {}
        }
    }

    fn state(self) -> State {
        match self {
            Block { failed: true, .. } => State::Damaged,
            Block { in_memory: true, .. } | Block { saved: true, .. } => State::Present,
            Block { on_disk: true, .. } => State::Spilled,
            _ => State::Missing,
        }
    }
}

/// The log of a run, and its layers.
pub(crate) fn read(path: &Path) -> Result<(EventLog, Vec<Layer>)> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let log = read_events(&FileBackend::new(), &absolute)?;
    let mut layers: BTreeMap<u32, BTreeMap<u32, Block>> = BTreeMap::new();
    for event in &log.events {
        layers.entry(event.layer).or_default().entry(event.block).or_default().take(event.kind);
    }
    // Each computation brings its layers, numbered on.
    let brought = log.descriptions.iter().filter_map(|description| description.get("layers")?.as_array());
    let names: Vec<Value> = brought.flatten().cloned().collect();
    let name = |number: u32| {
        let named = names.get(number as usize).and_then(|layer| layer.as_str().or_else(|| layer.get("name").and_then(Value::as_str)));
        named.unwrap_or_default().to_string()
    };
    let layer = |(number, blocks): (u32, BTreeMap<u32, Block>)| {
        let count = blocks.keys().last().map_or(0, |last| *last as usize + 1);
        let mut states = vec![State::Missing; count];
        for (block, known) in &blocks {
            if let Some(state) = states.get_mut(*block as usize) {
                *state = known.state();
            }
        }
        Layer { number, name: name(number), states }
    };
    let layers = layers.into_iter().map(layer).collect();
    Ok((log, layers))
}

/// What a state means for a block of a run.
pub(crate) fn meaning(state: State) -> &'static str {
    match state {
        State::Damaged => "failed",
        State::Missing => "waiting or done with",
        State::Spilled => "spilled",
        State::Present => "in memory or saved",
    }
}
