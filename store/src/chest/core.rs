//! What a chest does, whatever the types of its keys and values: put, get and remove by the bytes of a key.

use super::disk::Disk;
use super::index::LONGEST_KEY;
use super::key::check_depth;
use super::state::State;
use super::streams::{OLD_GENERATIONS, Stream};
use super::unit::{Pin, UNIT_BYTES};
use crate::{Arena, Buffer, Chunk, ChunkKind, Error, ErrorKind, Result};
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::JoinHandle;

/// The least memory of a chest.
const LEAST_MEMORY: u64 = 8 << 10;

/// A function that is told a key.
pub(super) type Hook = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// Functions that are told what happens.
#[derive(Default)]
pub(super) struct Hooks {
    pub(super) on_miss: Option<Hook>,
    pub(super) on_overflow: Option<Hook>,
}

pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    /// Told when there may be work for the background.
    pub(super) work: Condvar,
    /// Told when a write or a load has ended, or memory was given back.
    pub(super) changed: Condvar,
    pub(super) disk: Disk,
    pub(super) arena: Arena,
    pub(super) hooks: Mutex<Hooks>,
    pub(super) watched: AtomicBool,
    /// Held by who flushes, until all is written.
    pub(super) flushes: Mutex<()>,
    /// The most bytes of a value that goes in a pack.
    pub(super) small: usize,
}

pub(super) type Guard<'a> = MutexGuard<'a, State>;

/// A chest without types.
pub(super) struct Core {
    pub(super) shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// What is found under a key.
pub(super) enum Got {
    /// No value.
    Nothing,
    /// A copy of its bytes was made.
    Copied(ChunkKind),
    /// The value, and what keeps it counted.
    Chunk(Chunk, Arc<Pin>),
    /// A stream, to be read part by part.
    Stream(Stream),
}

/// How a value is wanted.
pub(super) enum Want<'a> {
    /// To be decoded: a copy of a small one's bytes will do.
    Copy(&'a mut Vec<u8>),
    /// To be kept.
    Share,
    /// To be in memory, by who must not wait.
    Warm,
}

impl Core {
    pub(super) fn open(disk: Disk, memory: u64, arena: Arena, threads: usize) -> Result<Self> {
        if memory < LEAST_MEMORY {
            let message = format!("{memory} bytes of memory are too few for a chest");
            return Err(Error::new(ErrorKind::Invalid, message).hint(format!("give it {LEAST_MEMORY} at least")));
        }
        let mut state = State::new(memory, disk.writes_each(), &arena)?;
        if let Some(saved) = disk.saved() {
            saved.set_small(state.small);
            saved.load(&mut state)?;
        }
        let (small, state) = (state.small, Mutex::new(state));
        let (hooks, watched) = (Mutex::default(), AtomicBool::new(false));
        let shared = Arc::new(Shared {
            state,
            work: Condvar::new(),
            changed: Condvar::new(),
            disk,
            arena,
            hooks,
            watched,
            flushes: Mutex::new(()),
            small,
        });
        let mut core = Core { shared, threads: Vec::new() };
        for number in 0..threads {
            let shared = Arc::clone(&core.shared);
            let thread = std::thread::Builder::new().name(format!("chest-io-{number}")).spawn(move || super::work::run(&shared));
            core.threads.push(thread.map_err(|e| Error::io("no thread can be started for the chest", e))?);
        }
        Ok(core)
    }

    /// Ends the background threads.
    pub(super) fn close(&mut self) {
        self.shared.state.lock().closing = true;
        self.shared.work.notify_all();
        for thread in self.threads.drain(..) {
            thread.join().ok();
        }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.close();
    }
}

/// What a value of `bytes` on its own takes.
pub(super) fn cost_alone(bytes: u64) -> u64 {
    Arena::footprint(usize::try_from(bytes).unwrap_or(usize::MAX / 2)) + UNIT_BYTES + super::state::PLACE_BYTES
}

/// The key of a part of a stream; no key of a user's begins so.
pub(super) fn part_key(key: &[u8], generation: u64, number: u64) -> Vec<u8> {
    let mut part = Vec::with_capacity(key.len() + 18);
    part.push(PART);
    if generation < OLD_GENERATIONS {
        part.push(generation as u8);
    } else {
        part.push(COUNTED);
        part.extend(generation.to_be_bytes());
    }
    part.extend(number.to_be_bytes());
    part.extend_from_slice(key);
    part
}

/// What the key of a part begins with.
const PART: u8 = 0xFF;

/// What follows where generations are counted; otherwise the generation follows, 0 or 1.
const COUNTED: u8 = OLD_GENERATIONS as u8;

/// The generation, the number, and the key of the stream of the key of a part.
pub(super) fn part_base(part: &[u8]) -> Option<(u64, u64, &[u8])> {
    let (&PART, rest) = part.split_first()? else { return None };
    let (generation, rest) = match rest.split_first()? {
        (&COUNTED, rest) => rest.split_first_chunk::<8>().map(|(bytes, rest)| (u64::from_be_bytes(*bytes), rest))?,
        (old, rest) => (u64::from(*old), rest),
    };
    let (number, key) = rest.split_first_chunk::<8>()?;
    Some((generation, u64::from_be_bytes(*number), key))
}

/// Whether a key is that of a part of a stream.
pub(crate) fn is_part(key: &[u8]) -> bool {
    key.first() == Some(&PART)
}

pub(super) fn check_key(key: &[u8]) -> Result<()> {
    if key.len() <= LONGEST_KEY {
        return check_depth(key);
    }
    let message = format!("a key of {} bytes; {LONGEST_KEY} are the most", key.len());
    Err(Error::new(ErrorKind::Invalid, message).hint("use a shorter key, such as a hash of it"))
}

/// The bytes of a chunk.
pub(super) fn bytes_of(chunk: &Chunk) -> &[u8] {
    let (buffer, begin, len) = chunk.payload();
    buffer.get(begin..).and_then(|bytes| bytes.get(..len)).unwrap_or_default()
}

/// The buffer of a pack that was read.
pub(super) fn buffer_of(chunk: Chunk) -> Buffer {
    chunk.payload().0.clone()
}
