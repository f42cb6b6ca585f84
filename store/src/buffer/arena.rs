//! Where buffers come from.

use super::mapping::{Mapping, PAGE};
use super::pool::{self, Pool};
use super::slab::{CLASSES, Class, LARGEST, SMALL, class_of, class_size, slab_size};
use super::unique::{BufferMut, Memory};
use crate::ledger::Reclaim;
use crate::{Error, ErrorKind, Ledger, Result};
use parking_lot::Mutex;
use std::sync::{Arc, Weak};

/// Buffers of at least this many bytes have mappings of their own.
const MAPPED: usize = pool::LEAST;

/// The most bytes that wait in a pool, unless told otherwise: a few of the largest automatic chunks. On a virtual machine memory
/// that the host has to provide first takes longer to touch than to fill from disk.
const POOL: u64 = 96 << 20;

/// The most bytes that slabs may hold beside the small buffers in them, where a buffer can do without.
const SLACK: u64 = 4 << 20;

/// With this many mappings in the process, buffers of up to 2 MiB share larger ones.
const MANY_MAPS: usize = 12 << 10;

/// Where buffers come from: a ledger that counts them, and memory that waits to be used again. Clones share both.
///
/// ```
/// use chunkstore_store::{Arena, Ledger};
/// let arena = Arena::new(Ledger::new(64 << 20));
/// let mut buffer = arena.alloc(8_000_000)?;
/// buffer.as_slice_mut::<f64>().fill(1.5);
/// let shared = buffer.freeze();
/// assert_eq!(shared.len(), 8_000_000);
/// assert_eq!(arena.ledger().used(), Arena::footprint(8_000_000));
/// drop(shared);
/// arena.trim();
/// assert_eq!(arena.ledger().used(), 0);
/// # Ok::<(), chunkstore_store::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Arena(Arc<Home>);

/// What buffers give their memory back to.
#[derive(Debug)]
pub(super) struct Home {
    ledger: Ledger,
    /// The most bytes that wait, where it does not follow from the ledger's limit.
    pool_bytes: Option<u64>,
    many_maps: usize,
    // Lock order: a class, then the pool. Nothing is mapped or unmapped under the lock of the pool.
    pool: Mutex<Pool>,
    classes: [Mutex<Class>; CLASSES],
}

impl Arena {
    /// An arena that books in `ledger`. Up to 96 MiB, or a third of the ledger's limit if that is less, wait to be
    /// used again; they stay booked, and are given back before a booking is refused.
    pub fn new(ledger: Ledger) -> Self {
        Self::with(ledger, None, MANY_MAPS)
    }

    /// An arena in which up to `bytes` wait to be used again.
    pub fn with_pool(ledger: Ledger, bytes: u64) -> Self {
        Self::with(ledger, Some(bytes), MANY_MAPS)
    }

    /// An arena in which up to `bytes` wait, and buffers of up to 2 MiB are parts of mappings of 16 MiB, which have huge pages.
    pub(crate) fn with_slabs(ledger: Ledger, bytes: u64) -> Self {
        Self::with(ledger, Some(bytes), 0)
    }

    fn with(ledger: Ledger, pool_bytes: Option<u64>, many_maps: usize) -> Self {
        let classes = std::array::from_fn(|_| Mutex::new(Class::default()));
        let home = Arc::new(Home { ledger, pool_bytes, many_maps, pool: Mutex::new(Pool::default()), classes });
        let weak: Weak<Home> = Arc::downgrade(&home);
        home.ledger.on_shortage(weak);
        Arena(home)
    }

    /// The ledger in which buffers are booked.
    pub fn ledger(&self) -> &Ledger {
        &self.0.ledger
    }

    /// The bytes that a buffer of `len` bytes takes.
    ///
    /// From 16 KiB this is what the ledger counts for the buffer's own mapping, in whole pages of 4096 bytes, and the
    /// buffer never adds more to the ledger. Below, it is the part of a slab that the buffer takes; the ledger counts
    /// whole slabs ([`Arena::slab`]), from the first buffer that needs one to the last that leaves it, so that one buffer
    /// may add 128 KiB and the next hundred nothing ([`Arena::slack`]). Where the ledger has no room for a slab, a small
    /// buffer has a mapping of its own, of `len` rounded up to 4096, as it has where the limit is less than 2 MiB.
    ///
    /// With more than 12,288 mappings in the process, buffers of up to 2 MiB are parts of slabs of 512 KiB or 16 MiB, too, in
    /// classes up to a quarter larger, while there is room for them.
    pub fn footprint(len: usize) -> u64 {
        match len {
            0 => 0,
            small if small < MAPPED => class_size(class_of(small)) as u64,
            large => (large as u64).next_multiple_of(PAGE as u64),
        }
    }

    /// The bytes of the slab that a buffer of `len` bytes is a part of; none where it has a mapping of its own.
    pub fn slab(len: usize) -> Option<u64> {
        (1..MAPPED).contains(&len).then(|| slab_size(class_of(len)) as u64)
    }

    /// What slabs of small buffers are taken to hold at the most beside what is in them, in an arena whose ledger has a limit of so many bytes: it is more where such
    /// buffers are of many sizes, or many of them end before others in their slabs.
    pub fn most_slack(limit: u64) -> u64 {
        SLACK.min(limit / 16)
    }

    /// A buffer of `len` bytes, 64-byte aligned, of any content. One of 16 KiB or more is page aligned, unless there are too many.
    ///
    /// # Errors
    /// Out of memory where the ledger has no room, or the system has none.
    pub fn alloc(&self, len: usize) -> Result<BufferMut> {
        self.0.alloc(len).map(|memory| BufferMut::new(memory, len, self.0.clone()))
    }

    /// A buffer of `len` bytes that are all 0; otherwise as [`Arena::alloc`].
    ///
    /// # Errors
    /// As [`Arena::alloc`].
    pub fn alloc_zeroed(&self, len: usize) -> Result<BufferMut> {
        let mut buffer = self.alloc(len)?;
        if !buffer.is_fresh() {
            buffer.padded_mut().fill(0);
        }
        Ok(buffer)
    }

    /// The bytes that are booked and wait to be used again; they are given back before a booking is refused.
    pub fn idle(&self) -> u64 {
        self.0.pool.lock().bytes() as u64
    }

    /// The most bytes that wait to be used again.
    pub fn most_idle(&self) -> u64 {
        self.0.most_idle()
    }

    /// The bytes of slabs that are booked and in no buffer. They serve buffers of the same class only, and are given
    /// back with the last buffer of their slab.
    pub fn slack(&self) -> u64 {
        let slacks = self.0.classes.iter().enumerate().map(|(class, slabs)| slabs.lock().slack(class_size(class)));
        slacks.sum::<usize>() as u64
    }

    /// Gives back all that waits to be used again.
    pub fn trim(&self) {
        self.0.reclaim(u64::MAX);
    }
}

impl Home {
    fn alloc(&self, len: usize) -> Result<Memory> {
        if len == 0 {
            return Ok(Memory::Nothing);
        }
        let too_long = || Error::new(ErrorKind::OutOfMemory, format!("a buffer of {len} bytes is too long for this machine"));
        let pages = len.checked_next_multiple_of(PAGE).filter(|bytes| isize::try_from(*bytes).is_ok()).ok_or_else(too_long)?;
        if len >= MAPPED
            && let Some(mapping) = self.recycled(pages)
        {
            return Ok(Memory::Whole(mapping));
        }
        if (len < MAPPED || (len <= LARGEST && Mapping::count() >= self.many_maps))
            && let Some(memory) = self.part(class_of(len))
        {
            return Ok(memory);
        }
        Ok(Memory::Whole(Mapping::new(pages, self.ledger.book(pages as u64)?)?))
    }

    fn recycled(&self, bytes: usize) -> Option<Mapping> {
        self.pool.lock().take(bytes)
    }

    /// A part of a slab, or nothing where a slab is needed and there is no room for one.
    fn part(&self, class: usize) -> Option<Memory> {
        let (size, mut slabs) = (class_size(class), self.classes.get(class)?.lock());
        let (part, ptr) = match slabs.take(size) {
            Some(taken) => taken,
            None => {
                slabs.add(self.slab(class)?, size);
                slabs.take(size)?
            }
        };
        Some(Memory::Part { class, part, ptr })
    }

    fn slab(&self, class: usize) -> Option<Mapping> {
        let bytes = slab_size(class);
        // Pages of its own are better, where a slab would be a large part of all there is.
        if class < SMALL && bytes as u64 > Arena::most_slack(self.ledger.limit()) {
            return None;
        }
        self.recycled(bytes).or_else(|| Mapping::new(bytes, self.ledger.try_book(bytes as u64)?).ok())
    }

    /// Takes the memory of a buffer back.
    pub(super) fn give(&self, memory: Memory) {
        match memory {
            Memory::Nothing => {}
            Memory::Whole(mapping) => self.recycle(mapping),
            Memory::Part { class, part, .. } => {
                let emptied = self.classes.get(class).and_then(|slabs| slabs.lock().give(part));
                if let Some(mapping) = emptied {
                    self.recycle(mapping);
                }
            }
        }
    }

    fn most_idle(&self) -> u64 {
        self.pool_bytes.unwrap_or_else(|| POOL.min(self.ledger.limit() / 3))
    }

    fn recycle(&self, mapping: Mapping) {
        let capacity = self.most_idle();
        let out = self.pool.lock().put(mapping, usize::try_from(capacity).unwrap_or(usize::MAX));
        drop(out);
    }
}

impl Reclaim for Home {
    fn reclaim(&self, bytes: u64) -> u64 {
        let out = self.pool.lock().drain(usize::try_from(bytes).unwrap_or(usize::MAX));
        out.iter().map(|mapping| mapping.len() as u64).sum()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::Buffer;
    use proptest::prelude::*;

    const SLAB: u64 = 128 << 10;

    #[test]
    fn footprints_are_what_the_ledger_counts() {
        for len in [MAPPED, MAPPED + 1, 1 << 20, (2 << 20) - 1, (8 << 20) + 1] {
            let arena = Arena::with_pool(Ledger::new(1 << 30), 0);
            let buffer = arena.alloc(len).unwrap();
            assert_eq!((buffer.len(), arena.ledger().used()), (len, Arena::footprint(len)));
            drop(buffer);
            assert_eq!(arena.ledger().used(), 0);
        }
        assert_eq!([0, 1, 64, 65, 257].map(Arena::footprint), [0, 64, 64, 128, 320]);
        assert_eq!(Arena::footprint(MAPPED - 1), MAPPED as u64);
        let arena = Arena::new(Ledger::new(0));
        assert!(arena.alloc(0).unwrap().freeze().is_empty());
        assert_eq!(arena.alloc(1).unwrap_err().kind(), ErrorKind::OutOfMemory);
        assert_eq!(arena.alloc(usize::MAX).unwrap_err().kind(), ErrorKind::OutOfMemory);
    }

    #[test]
    fn a_buffer_is_used_again_and_zeroed_if_asked() {
        let arena = Arena::new(Ledger::new(1 << 30));
        for len in [1000, MAPPED, (4 << 20) + 5] {
            let mut buffer = arena.alloc_zeroed(len).unwrap();
            assert!(buffer.iter().all(|byte| *byte == 0));
            buffer.padded_mut().fill(7);
            let at = buffer.as_ptr();
            drop(buffer);
            let used = arena.ledger().used();
            let buffer = arena.alloc_zeroed(len).unwrap();
            assert_eq!((buffer.as_ptr(), arena.ledger().used()), (at, used));
            assert!(buffer.iter().all(|byte| *byte == 0));
            let shared = buffer.freeze();
            assert!(shared.padded().is_none_or(|bytes| bytes.len().is_multiple_of(PAGE) && bytes.iter().all(|byte| *byte == 0)));
            assert_eq!(shared.padded().is_some(), len >= MAPPED);
        }
        assert_eq!(arena.idle(), arena.ledger().used());
        arena.trim();
        assert_eq!((arena.idle(), arena.ledger().used()), (0, 0));
    }

    #[test]
    fn stale_bytes_make_no_false_truth_values() {
        let arena = Arena::new(Ledger::new(1 << 30));
        for len in [777, MAPPED + 3] {
            let mut buffer = arena.alloc(len).unwrap();
            buffer.iter_mut().enumerate().for_each(|(i, byte)| *byte = i as u8);
            drop(buffer);
            let mut buffer = arena.alloc(len).unwrap();
            assert_eq!(buffer.as_slice_mut::<bool>().len(), len);
            assert!(buffer.iter().all(|byte| *byte <= 1));
        }
    }

    #[test]
    fn what_waits_is_given_back_before_a_booking_is_refused() {
        let ledger = Ledger::new(16 << 20);
        let arena = Arena::new(ledger.clone());
        drop([(); 7].map(|()| arena.alloc(1 << 20).unwrap()));
        assert_eq!(arena.idle(), 5 << 20, "a third of the limit waits");
        let booking = ledger.book(15 << 20).unwrap();
        assert_eq!(arena.idle(), 1 << 20);
        drop(booking);
        drop(ledger.book(16 << 20).unwrap());
        assert_eq!((arena.idle(), ledger.used()), (0, 0));
        assert!(arena.alloc(16 << 20).is_ok());
    }

    #[test]
    fn small_buffers_fit_where_a_slab_does_not() {
        let arena = Arena::new(Ledger::new(3 * PAGE as u64));
        let buffers: Vec<_> = (0..3).map(|_| arena.alloc(100).unwrap()).collect();
        assert!(arena.alloc(1).is_err());
        drop(buffers);
        assert_eq!(arena.ledger().used(), 0);
    }

    #[test]
    fn many_buffers_share_mappings() {
        let arena = Arena::with(Ledger::new(1 << 34), None, 0);
        let before = Mapping::count();
        let buffers: Vec<_> = (0..600).map(|i| arena.alloc(MAPPED + i * 1000).unwrap()).collect();
        assert!(Mapping::count() < before + 300, "other tests map a few at the same time");
        assert!(buffers.iter().all(|buffer| (buffer.as_ptr() as usize).is_multiple_of(64)));
        assert!(arena.slack() > 0);
        let large = arena.alloc(LARGEST + 1).unwrap().freeze();
        assert!(large.padded().is_some());
        drop(large);
        drop(buffers);
        arena.trim();
        assert_eq!((arena.slack(), arena.ledger().used()), (0, 0));
    }

    #[test]
    fn truncating_gives_whole_pages_back() {
        let arena = Arena::new(Ledger::new(1 << 30));
        let mut buffer = arena.alloc(1 << 20).unwrap();
        buffer.truncate(5000);
        assert_eq!((buffer.len(), buffer.padded_mut().len(), arena.ledger().used()), (5000, 8192, 8192));
        buffer.truncate(6000);
        assert_eq!(buffer.len(), 5000);
        buffer.truncate(0);
        assert!(buffer.is_empty() && buffer.as_slice_mut::<f64>().is_empty());
        drop(buffer);
        assert_eq!(arena.ledger().used(), 0, "too small to wait");
    }

    #[test]
    fn the_last_view_can_be_written_again() {
        let arena = Arena::new(Ledger::new(1 << 20));
        let mut buffer = arena.alloc(100).unwrap();
        buffer.fill(1);
        let shared = buffer.freeze();
        let other = shared.clone();
        let shared = shared.try_into_mut().unwrap_err();
        drop(other);
        let mut buffer = shared.try_into_mut().unwrap();
        buffer.as_slice_mut::<u8>()[1..].fill(2);
        assert_eq!(buffer.freeze().iter().map(|byte| u32::from(*byte)).sum::<u32>(), 199);
        assert!(Buffer::from_vec(Arc::new(vec![1.0f32])).try_into_mut().is_err());
        assert!(Buffer::empty().is_empty());
        let whole = arena.alloc(MAPPED).unwrap().freeze();
        let slice = whole.slice(100, 50).unwrap();
        assert!(whole.slice(MAPPED, 1).is_none() && whole.slice(1, usize::MAX).is_none() && whole.slice(MAPPED, 0).is_some());
        assert!(whole.padded().is_some() && slice.padded().is_none());
        drop(whole);
        assert_eq!(slice.try_into_mut().unwrap_err().len(), 50);
    }

    #[test]
    fn buffers_outlive_the_arena() {
        let ledger = Ledger::new(1 << 30);
        let arena = Arena::new(ledger.clone());
        let (mut small, large) = (arena.alloc(64).unwrap(), arena.alloc(1 << 20).unwrap());
        drop(arena);
        small.fill(3);
        drop((small, large));
        assert_eq!(ledger.used(), 0, "the pool goes with the last of them");
    }

    /// A buffer whose content tells whether somebody else wrote into it.
    fn stamp(arena: &Arena, len: usize, seed: u8) -> Option<Buffer> {
        let mut buffer = arena.alloc(len).ok()?;
        buffer.padded_mut().fill(seed);
        Some(buffer.freeze())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_allocations_stay_apart_and_end_at_nothing(
            steps in prop::collection::vec((0usize..5, 1usize..4096, any::<bool>(), any::<usize>()), 1..120),
            many_maps in prop::sample::select(vec![0, MANY_MAPS]),
            limit in (1u64 << 20)..(64 << 20),
        ) {
            let arena = Arena::with(Ledger::new(limit), None, many_maps);
            let mut live: Vec<(Buffer, u8)> = Vec::new();
            for (i, (scale, len, free, which)) in steps.into_iter().enumerate() {
                if free && !live.is_empty() {
                    live.swap_remove(which % live.len());
                }
                let seed = i as u8;
                live.extend(stamp(&arena, len << (3 * scale), seed).map(|buffer| (buffer, seed)));
                let least: u64 = live.iter().map(|(buffer, _)| buffer.len() as u64).sum();
                prop_assert!(arena.ledger().used() <= limit && arena.ledger().used() >= least + arena.idle());
            }
            for (buffer, seed) in &live {
                prop_assert!(buffer.iter().all(|byte| byte == seed));
            }
            live.clear();
            prop_assert_eq!(arena.slack(), 0);
            prop_assert_eq!(arena.ledger().used(), arena.idle());
            prop_assert!(arena.idle() <= limit / 3);
            arena.trim();
            prop_assert_eq!(arena.ledger().used(), 0);
        }
    }

    #[test]
    fn threads_share_an_arena() {
        let limit = 48 << 20;
        let arena = Arena::new(Ledger::new(limit));
        let (sender, receiver) = std::sync::mpsc::channel::<(Buffer, u8)>();
        std::thread::scope(|scope| {
            for thread in 0..4u64 {
                let (arena, sender) = (arena.clone(), sender.clone());
                scope.spawn(move || {
                    let mut random = 0x9e37_79b9_7f4a_7c15u64.wrapping_mul(thread + 1);
                    let mut live = std::collections::VecDeque::new();
                    for step in 0..3000u64 {
                        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                        let len = match random >> 61 {
                            0 => 1 << 20,
                            1 => MAPPED + (random >> 50) as usize,
                            _ => (random >> 48) as usize,
                        };
                        let seed = (thread * 64 + step % 64) as u8;
                        live.extend(stamp(&arena, len, seed).map(|buffer| (buffer, seed)));
                        assert!(arena.ledger().used() <= limit);
                        if live.len() > 20 {
                            let (buffer, seed) = live.pop_front().unwrap();
                            assert!(buffer.iter().all(|byte| *byte == seed));
                            if step % 7 == 0 {
                                sender.send((buffer, seed)).unwrap();
                            }
                        }
                    }
                });
            }
            drop(sender);
            // Buffers end on another thread, too.
            for (buffer, seed) in receiver {
                assert!(buffer.iter().all(|byte| *byte == seed));
            }
        });
        assert!(arena.ledger().peak() <= limit && arena.ledger().peak() > 8 << 20);
        assert_eq!((arena.slack(), arena.ledger().used()), (0, arena.idle()));
        arena.trim();
        assert_eq!(arena.ledger().used(), 0);
        drop(arena.alloc(1).unwrap());
        assert_eq!(arena.ledger().used(), SLAB);
    }
}
