//! One thing that happened in a run, in 32 bytes.
//!
//! ```text
//!    0        1        2        3        4        5        6        7
//!    +-----------------------------------------------------------------------+
//!    | nanoseconds since the run began: u64                                  |
//!    +--------+--------+-----------------+-----------------------------------+
//!    | kind   | worker | 0               | layer: u32                        |
//!    +--------+--------+-----------------+-----------------------------------+
//!    | block of the layer: u32           | 0                                 |
//!    +-----------------------------------+-----------------------------------+
//!    | bytes: u64                                                            |
//!    +-----------------------------------------------------------------------+
//! ```

/// What happened to a task or to the chunk that it gave; the numbers are on disk and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum EventKind {
    /// A worker took the task.
    Started = 1,
    /// The task ended; the bytes are those of its chunk.
    Finished = 2,
    /// The task was put back, to run again once the bytes that it needs are free.
    PutBack = 3,
    /// The chunk was written to scratch.
    Spilled = 4,
    /// The chunk was read: from scratch, or from the source that it is a part of.
    Loaded = 5,
    /// The chunk left memory; it is on disk still.
    Dropped = 6,
    /// Nothing needs the chunk any more.
    Died = 7,
    /// The chunk was saved in the checkpoint.
    Saved = 8,
    /// The task failed.
    Failed = 9,
    /// The task was planned: the events of this kind stand in the order in which the tasks are to run. The bytes are what is expected of its
    /// chunk.
    Planned = 10,
    /// The task that was planned last before this event needs the chunk that this event names.
    Needs = 11,
}

impl EventKind {
    /// The kind whose number is `code`.
    pub fn from_code(code: u8) -> Option<EventKind> {
        use EventKind::*;
        [Started, Finished, PutBack, Spilled, Loaded, Dropped, Died, Saved, Failed, Planned, Needs]
            .into_iter()
            .find(|kind| *kind as u8 == code)
    }
}

/// One thing that happened in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Nanoseconds since the run began.
    pub at_ns: u64,
    /// What happened.
    pub kind: EventKind,
    /// The worker, or 255 where it was none.
    pub worker: u8,
    /// The layer, by its place in the description of the run.
    pub layer: u32,
    /// The block of the layer.
    pub block: u32,
    /// The bytes that were made, written or read.
    pub bytes: u64,
}

/// The bytes of an event.
pub(super) const EVENT_BYTES: usize = 32;

impl Event {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend(self.at_ns.to_le_bytes());
        out.extend([self.kind as u8, self.worker, 0, 0]);
        out.extend(self.layer.to_le_bytes());
        out.extend(self.block.to_le_bytes());
        out.extend([0; 4]);
        out.extend(self.bytes.to_le_bytes());
    }

    /// The event in these bytes; nothing where they are none.
    pub(super) fn decode(bytes: &[u8; EVENT_BYTES]) -> Option<Event> {
        let (at, rest) = bytes.split_first_chunk::<8>()?;
        let ([kind, worker, 0, 0], rest) = rest.split_first_chunk::<4>()? else { return None };
        let (layer, rest) = rest.split_first_chunk::<4>()?;
        let (block, rest) = rest.split_first_chunk::<4>()?;
        let (&[0, 0, 0, 0], rest) = rest.split_first_chunk::<4>()? else { return None };
        let bytes = u64::from_le_bytes(rest.try_into().ok()?);
        let kind = EventKind::from_code(*kind)?;
        let (layer, block) = (u32::from_le_bytes(*layer), u32::from_le_bytes(*block));
        Some(Event { at_ns: u64::from_le_bytes(*at), kind, worker: *worker, layer, block, bytes })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn events_come_back(at_ns: u64, code in 0u8..20, worker: u8, layer: u32, block: u32, bytes: u64, flip in 0usize..256) {
            let Some(kind) = EventKind::from_code(code) else { return Ok(()) };
            let event = Event { at_ns, kind, worker, layer, block, bytes };
            let mut out = Vec::new();
            event.encode(&mut out);
            let mut encoded: [u8; EVENT_BYTES] = out.try_into().unwrap();
            prop_assert_eq!(Event::decode(&encoded), Some(event));
            encoded[flip / 8] ^= 1 << (flip % 8);
            prop_assert_ne!(Event::decode(&encoded), Some(event));
        }
    }
}
