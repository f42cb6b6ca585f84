//! Reading a manifest: its records in order, and what stands after the last one.
//!
//! ```text
//!   header | record 1 | ack 1 | record 2 | ack 2 | ... | record n | ack n | end
//! ```
//! An acknowledgement is written after the fsync of its record, without one of its own, and record n+2 only after the fsync of
//! record n+1. So where record n is the last that can be read, what follows is *torn* if nothing sound stands behind it: commit n+1 was never
//! reported. It is *damage* if acknowledgement n+1 or record n+2 does: the commit was reported, and must not be cut. An acknowledgement
//! that cannot be read before a sound record was either torn or damaged; it has done its duty, and is passed over. The last one is damaged where it is
//! neither whole nor a beginning with zeros behind it.

use super::window::Window;
use crate::codec::{Encode, Fields};
use crate::format::{
    ACK_BYTES, ACK_MAGIC, MANIFEST_HEADER_BYTES, MANIFEST_MAGIC, MANIFEST_VERSION, RECORD_HEADER_BYTES, RECORD_MOST_BYTES,
};
use crate::io::BackendFile;
use crate::{Error, ErrorKind, Ledger, Result, checksum};

/// What a record holds; the numbers are on disk and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Kind {
    /// What a commit changed.
    Changes = 1,
    /// The whole state at the beginning, or its last part. All parts have the number of the commit of which it is the state.
    State = 2,
    /// A part of the state, and not the last.
    Part = 3,
}

/// What a scan found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scan {
    pub(crate) store_id: u64,
    /// That of the last sound record.
    pub(crate) sequence: u64,
    /// Where the last sound record or acknowledgement ends.
    pub(crate) end: u64,
    /// Whether the last sound record is acknowledged, and nothing stands behind that.
    pub(crate) clean: bool,
    /// The bytes of the records of the state at the beginning.
    pub(crate) state_bytes: u64,
    /// Where the first acknowledgement is that cannot be read.
    pub(crate) flaw: Option<u64>,
}

pub(super) fn encode_header(store_id: u64, seconds: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(MANIFEST_HEADER_BYTES);
    out.extend_from_slice(&MANIFEST_MAGIC);
    out.put_u32(MANIFEST_VERSION);
    out.put_u32(0);
    out.put_u64(store_id);
    out.put_u64(seconds);
    out.put_u64(checksum(&out));
    out
}

/// Appends a record to `out`.
///
/// # Errors
/// Invalid where it is longer than a record can be.
pub(super) fn encode_record(kind: Kind, sequence: u64, payload: &[u8], out: &mut Vec<u8>) -> Result<()> {
    if payload.len() > RECORD_MOST_BYTES {
        let message = format!("a commit of {} bytes is longer than the manifest takes at once, {RECORD_MOST_BYTES}", payload.len());
        return Err(Error::new(ErrorKind::Invalid, message).hint("save fewer datasets at once, or with smaller attributes"));
    }
    let mut header = Vec::with_capacity(RECORD_HEADER_BYTES);
    header.put_u32(payload.len() as u32);
    header.put_u32(kind as u32);
    header.put_u64(sequence);
    header.put_u64(checksum(payload));
    header.put_u64(checksum(&header));
    out.extend_from_slice(&header);
    out.extend_from_slice(payload);
    out.resize(out.len().next_multiple_of(8), 0);
    Ok(())
}

pub(super) fn encode_ack(sequence: u64, out: &mut Vec<u8>) {
    let mut ack = ACK_MAGIC.to_vec();
    ack.put_u64(sequence);
    ack.put_u64(checksum(&ack));
    out.extend_from_slice(&ack);
}

/// The header of a record, if these bytes are one.
#[derive(Debug, Clone, Copy)]
struct Header {
    kind: Kind,
    sequence: u64,
    len: usize,
    payload_checksum: u64,
}

impl Header {
    fn decode(bytes: &[u8]) -> Option<Header> {
        let bytes = bytes.get(..RECORD_HEADER_BYTES)?;
        let mut from = Fields(bytes);
        let (len, kind, sequence, payload_checksum) = (from.u32().ok()?, from.u32().ok()?, from.u64().ok()?, from.u64().ok()?);
        let own = from.u64().ok()?;
        if len as usize > RECORD_MOST_BYTES || own != checksum(bytes.get(..RECORD_HEADER_BYTES - 8)?) {
            return None;
        }
        let kind = [Kind::Changes, Kind::State, Kind::Part].into_iter().find(|known| *known as u32 == kind)?;
        Some(Header { kind, sequence, len: len as usize, payload_checksum })
    }

    /// The bytes of the record, with its padding.
    fn total(&self) -> usize {
        (RECORD_HEADER_BYTES + self.len).next_multiple_of(8)
    }

    /// The payload, if `bytes` are the record whose header this is.
    fn payload<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let padding = bytes.get(RECORD_HEADER_BYTES + self.len..self.total())?;
        let payload = bytes.get(RECORD_HEADER_BYTES..RECORD_HEADER_BYTES + self.len)?;
        (checksum(payload) == self.payload_checksum && padding.iter().all(|byte| *byte == 0)).then_some(payload)
    }

    /// Whether this can stand behind what was read.
    fn follows(&self, seen: Seen) -> bool {
        match (seen, self.kind) {
            (Seen::Nothing, Kind::State | Kind::Part) => true,
            (Seen::Parts(number), Kind::State | Kind::Part) => self.sequence == number,
            (Seen::Whole(last), Kind::Changes) => last.checked_add(1) == Some(self.sequence),
            _ => false,
        }
    }
}

/// What was read before a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    Nothing,
    /// Parts of the state with this number.
    Parts(u64),
    /// The state and all commits up to this number.
    Whole(u64),
}

/// The sequence number of an acknowledgement, if these bytes are one.
fn decode_ack(bytes: &[u8]) -> Option<u64> {
    let bytes = bytes.get(..ACK_BYTES)?;
    let mut from = Fields(bytes);
    let (magic, sequence, own) = (from.take::<8>().ok()?, from.u64().ok()?, from.u64().ok()?);
    (magic == ACK_MAGIC && own == checksum(bytes.get(..ACK_BYTES - 8)?)).then_some(sequence)
}

fn damaged(file: &dyn BackendFile, offset: u64, what: &str) -> Error {
    let hint = "run `chunkstore repair` on the folder: it keeps what is sound and says what is gone";
    Error::new(ErrorKind::Corrupt, format!("the manifest is damaged: {what}")).at(file.path()).offset(offset).hint(hint)
}

fn read_header(file: &dyn BackendFile, window: &mut Window) -> Result<u64> {
    let bytes = window.get(0, MANIFEST_HEADER_BYTES)?;
    let Some(bytes) = bytes.get(..MANIFEST_HEADER_BYTES) else {
        return Err(damaged(file, 0, "it ends within its header"));
    };
    let mut from = Fields(bytes);
    let (magic, version, zeros) = (from.take::<8>()?, from.u32()?, from.u32()?);
    let (store_id, _seconds, own) = (from.u64()?, from.u64()?, from.u64()?);
    if magic != MANIFEST_MAGIC {
        return Err(damaged(file, 0, "it does not begin as a manifest"));
    }
    if own != checksum(bytes.get(..MANIFEST_HEADER_BYTES - 8).unwrap_or_default()) || zeros != 0 {
        return Err(damaged(file, 0, "the checksum of its header is wrong"));
    }
    if version != MANIFEST_VERSION {
        let message = format!("a manifest of version {version}; this program knows {MANIFEST_VERSION}");
        return Err(Error::new(ErrorKind::Unsupported, message).at(file.path()).hint("use a newer chunkstore"));
    }
    Ok(store_id)
}

/// The number of the store whose manifest is in `file`.
///
/// # Errors
/// Corrupt or unsupported where the file does not begin as a manifest of this version.
pub(crate) fn store_id(file: &dyn BackendFile) -> Result<u64> {
    read_header(file, &mut Window::short(file)?)
}

/// Reads the manifest in `file`, and gives each sound record in order to `visit`: kind, sequence number and payload.
///
/// # Errors
/// Corrupt where something is damaged that was reported as saved; what was visited must then not be used. Those of `visit`, and of
/// reading; out of memory where `ledger` has no room for a window of 1 MiB, or the longest record.
pub(crate) fn scan(file: &dyn BackendFile, ledger: &Ledger, mut visit: impl FnMut(Kind, u64, &[u8]) -> Result<()>) -> Result<Scan> {
    let mut window = Window::new(file, ledger)?;
    let store_id = read_header(file, &mut window)?;
    let (mut at, mut seen, mut acknowledged, mut state_bytes, mut flaw) = (MANIFEST_HEADER_BYTES as u64, Seen::Nothing, false, 0, None);
    while at < window.len() {
        let bytes = window.get(at, RECORD_HEADER_BYTES)?;
        if let Some(sequence) = decode_ack(bytes) {
            if Seen::Whole(sequence) != seen || acknowledged {
                return Err(damaged(file, at, "an acknowledgement stands where none belongs"));
            }
            acknowledged = true;
            at += ACK_BYTES as u64;
            continue;
        }
        let header = match Header::decode(bytes) {
            Some(header) if !header.follows(seen) => return Err(damaged(file, at, "a record stands where another belongs")),
            Some(header) => header,
            None if !acknowledged && next_is_sound(&mut window, at + ACK_BYTES as u64, seen)? => {
                flaw = flaw.or(Some(at));
                acknowledged = true;
                at += ACK_BYTES as u64;
                continue;
            }
            None => break,
        };
        let Some(payload) = header.payload(window.get(at, header.total())?) else { break };
        visit(header.kind, header.sequence, payload).map_err(|error| match error.kind() {
            ErrorKind::Corrupt => damaged(file, at, &error.to_string()),
            _ => error,
        })?;
        acknowledged = false;
        seen = if header.kind == Kind::Part { Seen::Parts(header.sequence) } else { Seen::Whole(header.sequence) };
        at += header.total() as u64;
        if header.kind != Kind::Changes {
            state_bytes += header.total() as u64;
        }
    }
    let Seen::Whole(sequence) = seen else {
        return Err(damaged(file, at, "the state at its beginning cannot be read"));
    };
    if at < window.len() && was_reported(&mut window, at, sequence)? {
        return Err(damaged(file, at, "a record cannot be read, and what stands behind it shows that it was saved"));
    }
    if !acknowledged && flaw.is_none() && !may_be_torn(&mut window, at, sequence)? {
        flaw = Some(at);
    }
    let clean = acknowledged && at == window.len() && flaw.is_none();
    Ok(Scan { store_id, sequence, end: at, clean, state_bytes, flaw })
}

/// Whether what stands in the place of an acknowledgement at the end can be what a crash left of it: it is not synced, so that its beginning may be
/// there and the rest 0. Where other bytes are as they were written, one of it was changed.
fn may_be_torn(window: &mut Window, at: u64, sequence: u64) -> Result<bool> {
    let mut ack = Vec::with_capacity(ACK_BYTES);
    encode_ack(sequence, &mut ack);
    let there = window.get(at, ACK_BYTES)?;
    if there.len() < ACK_BYTES {
        return Ok(true);
    }
    let different = there.iter().zip(&ack).filter(|(found, written)| found != written).count();
    let torn = there.iter().zip(&ack).skip_while(|(found, written)| found == written).all(|(found, _)| *found == 0);
    // Another record may have been begun in its place, of which nothing is as that of an acknowledgement.
    Ok(torn || different > ACK_BYTES / 2)
}

/// Whether the record that belongs behind what was seen stands at `at`.
fn next_is_sound(window: &mut Window, at: u64, seen: Seen) -> Result<bool> {
    match Header::decode(window.get(at, RECORD_HEADER_BYTES)?).filter(|header| header.follows(seen)) {
        Some(header) => Ok(header.payload(window.get(at, header.total())?).is_some()),
        None => Ok(false),
    }
}

/// Whether anything behind what is broken at `at` shows that the commit after `last` was reported.
fn was_reported(window: &mut Window, at: u64, last: u64) -> Result<bool> {
    let mut offset = at + 8;
    while offset < window.len() {
        let bytes = window.get(offset, RECORD_HEADER_BYTES)?;
        let record = Header::decode(bytes).is_some_and(|header| header.sequence > last.saturating_add(1));
        if record || decode_ack(bytes).is_some_and(|sequence| sequence > last) {
            return Ok(true);
        }
        offset += 8;
    }
    Ok(false)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::io::{Backend, MemoryBackend, Open};
    use std::path::Path;
    use std::sync::Arc;

    const PATH: &str = "/m/manifest";

    fn file(bytes: &[u8]) -> Arc<dyn BackendFile> {
        let backend = MemoryBackend::new(1 << 30);
        backend.create_folder(Path::new("/m")).unwrap();
        let file = backend.open(Path::new(PATH), Open::Create).unwrap();
        file.write_at(0, bytes).unwrap();
        file
    }

    type Records = Vec<(Kind, u64, Vec<u8>)>;

    fn read(bytes: &[u8]) -> Result<(Scan, Records)> {
        let mut records = Vec::new();
        let scan = scan(&*file(bytes), &Ledger::new(u64::MAX), |kind, sequence, payload| {
            records.push((kind, sequence, payload.to_vec()));
            Ok(())
        })?;
        Ok((scan, records))
    }

    /// A manifest of a state in two parts and three commits, and where each of its pieces ends.
    fn sample() -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut ends) = (encode_header(77, 5), Vec::new());
        for (kind, sequence, payload) in [(Kind::Part, 4, "the state"), (Kind::State, 4, "and more of it."), (Kind::Changes, 5, "a commit")]
        {
            encode_record(kind, sequence, payload.as_bytes(), &mut bytes).unwrap();
            ends.push(bytes.len());
        }
        encode_ack(5, &mut bytes);
        ends.push(bytes.len());
        for sequence in [6, 7] {
            encode_record(Kind::Changes, sequence, format!("another commit, number {sequence}").as_bytes(), &mut bytes).unwrap();
            ends.push(bytes.len());
            encode_ack(sequence, &mut bytes);
            ends.push(bytes.len());
        }
        (bytes, ends)
    }

    #[test]
    fn records_come_back() {
        let (bytes, _) = sample();
        let (scan, records) = read(&bytes).unwrap();
        assert_eq!((scan.store_id, scan.sequence, scan.end, scan.clean), (77, 7, bytes.len() as u64, true));
        assert_eq!(records.len(), 5);
        assert_eq!(records[1], (Kind::State, 4, b"and more of it.".to_vec()));
    }

    #[test]
    fn what_is_torn_at_any_byte_is_cut_there() {
        let (bytes, ends) = sample();
        let (_, all) = read(&bytes).unwrap();
        for cut in 0..bytes.len() {
            for filling in [0, 300] {
                let mut torn = bytes[..cut].to_vec();
                torn.resize(cut + filling, 0);
                let got = read(&torn);
                // Zeros may complete what is cut within its own padding.
                let padding = (ends[1] - 8..ends[1]).contains(&cut) && filling > 0;
                if cut < ends[1] && !(padding && got.is_ok()) {
                    assert_eq!(got.unwrap_err().kind(), ErrorKind::Corrupt, "the first state is published whole");
                    continue;
                }
                let (scan, records) = got.unwrap();
                let whole = ends.iter().filter(|end| **end <= cut).count();
                assert!(whole == 0 || scan.end as usize >= ends[whole - 1], "cut at {cut}");
                assert_eq!(records, all[..records.len()]);
                let clean = [ends[3], ends[5], ends[7]].contains(&(scan.end as usize)) && filling == 0 && scan.end == cut as u64;
                assert_eq!(scan.clean, clean, "cut at {cut}");
            }
        }
    }

    #[test]
    fn no_flipped_bit_loses_what_was_acknowledged() {
        let (bytes, ends) = sample();
        let acks = [ends[2]..ends[3], ends[4]..ends[5], ends[6]..ends[7]];
        for bit in 0..8 * bytes.len() {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            match read(&flipped) {
                Err(error) => assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported), "{error}"),
                Ok((scan, records)) => {
                    let ack = acks.iter().find(|ack| ack.contains(&(bit / 8)));
                    let ack = ack.unwrap_or_else(|| panic!("a flip in byte {} is not seen", bit / 8));
                    assert_eq!((records.len(), scan.clean, scan.sequence), (5, false, 7));
                    // Only what ends in zeros looks as if a crash had left it.
                    let torn = flipped[bit / 8..ack.end].iter().all(|byte| *byte == 0);
                    assert!(scan.flaw.is_some() || torn, "a flip in byte {} of an acknowledgement is not seen", bit / 8);
                    assert!(!torn || bit / 8 + 1 == bytes.len());
                }
            }
        }
    }

    #[test]
    fn a_power_loss_that_kept_only_parts_of_the_last_commit_is_torn() {
        let (bytes, ends) = sample();
        let last = ends[4]..ends[6];
        for hole in (last.start..last.end).step_by(8) {
            for len in [8, 16, 32, 64] {
                let mut torn = bytes[..last.end].to_vec();
                torn[hole..(hole + len).min(last.end)].fill(0);
                let (scan, records) = read(&torn).unwrap();
                assert!(records.len() == 4 || (records.len() == 5 && hole + len <= ends[5]), "{hole} {len}");
                assert!(!scan.clean);
            }
        }
    }

    #[test]
    fn a_last_record_without_acknowledgement_is_read_or_cut() {
        let (bytes, ends) = sample();
        let bytes = &bytes[..ends[6]];
        let (scan, records) = read(bytes).unwrap();
        assert_eq!((scan.sequence, scan.clean, records.len()), (7, false, 5));
        for bit in 8 * ends[5]..8 * bytes.len() {
            let mut flipped = bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let (scan, records) = read(&flipped).unwrap();
            assert_eq!((scan.sequence, scan.clean, records.len(), scan.end as usize), (6, false, 4, ends[5]));
        }
    }

    #[test]
    fn long_records_and_long_tails() {
        let mut bytes = encode_header(1, 1);
        let long: Vec<u8> = (0..3_000_000u32).map(|i| (i * 7 % 251) as u8).collect();
        encode_record(Kind::State, 0, &long, &mut bytes).unwrap();
        let end = bytes.len();
        assert_eq!(read(&bytes).unwrap().1, [(Kind::State, 0, long.clone())]);
        encode_record(Kind::Changes, 1, &long, &mut bytes).unwrap();
        let mut torn = bytes.clone();
        torn[end + 1_000_000] ^= 4;
        let (scan, _) = read(&torn).unwrap();
        assert_eq!((scan.end as usize, scan.sequence), (end, 0));
        encode_ack(1, &mut torn);
        assert_eq!(read(&torn).unwrap_err().at_byte(), Some(end as u64));
    }

    #[test]
    fn errors_of_the_visitor_name_the_place() {
        let (bytes, _) = sample();
        let error = scan(&*file(&bytes), &Ledger::new(u64::MAX), |_, _, _| Err(Error::new(ErrorKind::Corrupt, "no"))).unwrap_err();
        assert_eq!((error.at_byte(), error.kind()), (Some(40), ErrorKind::Corrupt));
        let error = scan(&*file(&bytes), &Ledger::new(u64::MAX), |_, _, _| Err(Error::new(ErrorKind::OutOfMemory, "no"))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
    }
}
