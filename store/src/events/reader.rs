//! Reading the events of a run, also while it goes on.

use super::event::{EVENT_BYTES, Event};
use super::writer::BlockKind;
use crate::format::{EVENTS_BLOCK_HEADER_BYTES, EVENTS_HEADER_BYTES, EVENTS_MAGIC, EVENTS_VERSION};
use crate::io::{Backend, Open};
use crate::{Error, ErrorKind, Result, checksum};
use std::path::Path;

/// The longest block that is believed.
const MOST: u32 = 64 << 20;

/// What an event log says.
#[derive(Debug, Clone, PartialEq)]
pub struct EventLog {
    /// The number of the run.
    pub run: u64,
    /// The process that ran it.
    pub process: u32,
    /// When it began, in nanoseconds since 1970.
    pub began_ns: u64,
    /// What was written of the run, in order: its layers first, how it ended last.
    pub descriptions: Vec<serde_json::Value>,
    /// The events, in the order in which they were recorded.
    pub events: Vec<Event>,
    /// Whether the log ends where its last block does. Else it is being written, its process was killed, or it is damaged from there on.
    pub whole: bool,
}

/// Reads an event log, as far as it is sound.
///
/// # Errors
/// Corrupt or Unsupported where it is no event log of a known version; the errors of the file system.
pub fn read_events(backend: &dyn Backend, path: &Path) -> Result<EventLog> {
    let file = backend.open(path, Open::Read)?;
    let length = file.len()?;
    let mut header = [0; EVENTS_HEADER_BYTES];
    file.read_at(0, &mut header)?;
    let mut log = decode_header(&header).map_err(|e| e.at(path).offset(0))?;
    let mut at = EVENTS_HEADER_BYTES as u64;
    let mut payload = Vec::new();
    while length.saturating_sub(at) >= EVENTS_BLOCK_HEADER_BYTES as u64 {
        let mut header = [0; EVENTS_BLOCK_HEADER_BYTES];
        file.read_at(at, &mut header)?;
        let Some((kind, len, sum)) = decode_block_header(&header) else { break };
        let begin = at + EVENTS_BLOCK_HEADER_BYTES as u64;
        if len > MOST || length - begin < u64::from(len) {
            break;
        }
        payload.resize(len as usize, 0);
        file.read_at(begin, &mut payload)?;
        if checksum(&payload) != sum || !take(&mut log, kind, &payload) {
            break;
        }
        at = begin + u64::from(len);
    }
    log.whole = at == length;
    Ok(log)
}

fn decode_header(bytes: &[u8; EVENTS_HEADER_BYTES]) -> Result<EventLog> {
    let no_log = || Error::new(ErrorKind::Corrupt, "this is no event log").hint("name a file that ends in .events");
    let (front, sum) = bytes.split_last_chunk::<8>().ok_or_else(no_log)?;
    let (magic, rest) = front.split_first_chunk::<8>().ok_or_else(no_log)?;
    let (version, rest) = rest.split_first_chunk::<4>().ok_or_else(no_log)?;
    let (process, rest) = rest.split_first_chunk::<4>().ok_or_else(no_log)?;
    let (run, rest) = rest.split_first_chunk::<8>().ok_or_else(no_log)?;
    let (began, _) = rest.split_first_chunk::<8>().ok_or_else(no_log)?;
    if *magic != EVENTS_MAGIC {
        return Err(no_log());
    }
    let version = u32::from_le_bytes(*version);
    if version != EVENTS_VERSION {
        return Err(Error::new(ErrorKind::Unsupported, format!("an event log of version {version}; this program knows {EVENTS_VERSION}")));
    }
    if checksum(front).to_le_bytes() != *sum {
        return Err(Error::new(ErrorKind::Corrupt, "the header of an event log is damaged"));
    }
    Ok(EventLog {
        run: u64::from_le_bytes(*run),
        process: u32::from_le_bytes(*process),
        began_ns: u64::from_le_bytes(*began),
        descriptions: Vec::new(),
        events: Vec::new(),
        whole: false,
    })
}

/// What a block is, the length of its payload and its checksum; nothing where this is no header.
fn decode_block_header(bytes: &[u8; EVENTS_BLOCK_HEADER_BYTES]) -> Option<(BlockKind, u32, u64)> {
    let (front, sum) = bytes.split_last_chunk::<8>()?;
    if checksum(front).to_le_bytes() != *sum {
        return None;
    }
    let (kind, rest) = front.split_first_chunk::<4>()?;
    let (len, rest) = rest.split_first_chunk::<4>()?;
    let kind = match u32::from_le_bytes(*kind) {
        1 => BlockKind::Events,
        2 => BlockKind::Description,
        _ => return None,
    };
    Some((kind, u32::from_le_bytes(*len), u64::from_le_bytes(rest.try_into().ok()?)))
}

/// Takes a payload in; whether it is one.
fn take(log: &mut EventLog, kind: BlockKind, payload: &[u8]) -> bool {
    match kind {
        BlockKind::Description => match serde_json::from_slice(payload) {
            Ok(description) => {
                log.descriptions.push(description);
                true
            }
            Err(_) => false,
        },
        BlockKind::Events => {
            let (events, rest) = payload.as_chunks::<EVENT_BYTES>();
            let before = log.events.len();
            log.events.extend(events.iter().map_while(Event::decode));
            rest.is_empty() && log.events.len() - before == events.len()
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{EventKind, EventWriter};
    use super::*;
    use crate::io::MemoryBackend;
    use serde_json::json;
    use std::sync::Arc;

    fn written(events: u32) -> (MemoryBackend, std::path::PathBuf, Vec<Event>) {
        let disk = MemoryBackend::new(1 << 24);
        let log = EventWriter::create(Arc::new(disk.clone()), Path::new("/events"), 0xab).unwrap();
        log.describe(&json!({ "layers": ["a", "b"] })).unwrap();
        let event = |i| Event { at_ns: u64::from(i), kind: EventKind::Finished, worker: 1, layer: i % 2, block: i, bytes: 8 };
        let all: Vec<Event> = (0..events).map(event).collect();
        all.iter().for_each(|event| log.record(*event));
        let path = log.finish(&json!({ "ended": "done" })).unwrap();
        (disk, path, all)
    }

    #[test]
    fn what_was_recorded_is_read_in_its_order() {
        let (disk, path, events) = written(5000);
        let log = read_events(&disk, &path).unwrap();
        assert_eq!((log.run, log.process, log.whole), (0xab, std::process::id(), true));
        assert_eq!(log.events, events);
        assert_eq!(log.descriptions, [json!({ "layers": ["a", "b"] }), json!({ "ended": "done" })]);
    }

    #[test]
    fn a_cut_or_damaged_log_is_read_up_to_there() {
        let (disk, path, events) = written(20);
        let file = disk.open(&path, Open::Existing).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_at(0, &mut bytes).unwrap();
        for at in 0..bytes.len() {
            file.write_at(0, &bytes).unwrap();
            file.write_at(at as u64, &[bytes[at] ^ 1]).unwrap();
            match read_events(&disk, &path) {
                Ok(log) => assert!(!log.whole && events.starts_with(&log.events), "byte {at}"),
                Err(e) => assert!(matches!(e.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported), "byte {at}"),
            }
            file.write_at(0, &bytes).unwrap();
            file.truncate(at as u64).unwrap();
            match read_events(&disk, &path) {
                Ok(log) => assert!(events.starts_with(&log.events) && log.descriptions.len() < 2, "cut at {at}"),
                Err(e) => assert!(at < EVENTS_HEADER_BYTES && e.kind() == ErrorKind::Truncated, "cut at {at}: {e}"),
            }
        }
    }
}
