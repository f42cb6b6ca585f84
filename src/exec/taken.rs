//! What the layers of a run take: bytes that went through their tasks, and the time of that. Rates are learned from it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The time of tasks that move less is not taken: looking at the clock would be a part of it.
const LEAST: u64 = 64 << 10;

/// What each layer has taken.
pub(crate) struct Taken(Vec<Amount>);

/// Bytes, and the time that they took.
#[derive(Default)]
pub(crate) struct Amount {
    bytes: AtomicU64,
    nanoseconds: AtomicU64,
}

impl Amount {
    /// Another `bytes` took `time`.
    pub(super) fn add(&self, bytes: u64, time: Duration) {
        self.bytes.fetch_add(bytes, Relaxed);
        self.nanoseconds.fetch_add(time.as_nanos() as u64, Relaxed);
    }

    /// The bytes and the seconds.
    pub(crate) fn get(&self) -> (u64, f64) {
        (self.bytes.load(Relaxed), self.nanoseconds.load(Relaxed) as f64 / 1e9)
    }
}

/// What an engine's spilled chunks have taken, each thread by itself.
#[derive(Default)]
pub(crate) struct Moved {
    /// Writing them.
    pub(crate) written: Amount,
    /// Reading them back.
    pub(crate) read: Amount,
}

impl Taken {
    /// Nothing, for so many layers.
    pub(super) fn new(layers: usize) -> Self {
        Taken((0..layers).map(|_| Amount::default()).collect())
    }

    /// Whether the time of a task that moves `bytes` counts.
    pub(super) fn counts(bytes: u64) -> bool {
        bytes >= LEAST
    }

    /// A task of `layer` took `time` for `bytes`, inputs and output together.
    pub(super) fn add(&self, layer: u32, bytes: u64, time: Duration) {
        if let Some(layer) = self.0.get(layer as usize) {
            layer.add(bytes, time);
        }
    }

    /// The bytes and seconds of each layer.
    pub(crate) fn layers(&self) -> impl Iterator<Item = (u64, f64)> {
        self.0.iter().map(Amount::get)
    }
}
