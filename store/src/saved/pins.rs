//! Segments that are in use: by datasets that are open, and by frames that are not committed yet.

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// How often each segment is in use. Compaction and collection leave those alone.
#[derive(Debug, Default, Clone)]
pub(crate) struct Pins(Arc<Mutex<FxHashMap<u64, usize>>>);

impl Pins {
    /// Whether a segment is in use.
    pub(crate) fn is_pinned(&self, segment: u64) -> bool {
        self.0.lock().contains_key(&segment)
    }

    /// No segment yet, to be given back together.
    pub(crate) fn none(&self) -> Pinned {
        Pinned { pins: self.clone(), segments: Vec::new() }
    }
}

/// Segments that stay as long as this does.
#[derive(Debug)]
pub(crate) struct Pinned {
    pins: Pins,
    segments: Vec<u64>,
}

impl Pinned {
    /// Adds a segment.
    pub(crate) fn add(&mut self, segment: u64) {
        if !self.segments.contains(&segment) {
            *self.pins.0.lock().entry(segment).or_insert(0) += 1;
            self.segments.push(segment);
        }
    }

    /// The segments.
    pub(crate) fn segments(&self) -> &[u64] {
        &self.segments
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let mut pins = self.pins.0.lock();
        for segment in &self.segments {
            if let Some(count) = pins.get_mut(segment) {
                *count -= 1;
                if *count == 0 {
                    pins.remove(segment);
                }
            }
        }
    }
}
