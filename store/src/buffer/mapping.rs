//! Anonymous memory of our own, mapped from the system.
//!
//! The system's calls are used directly, because a map of memmap2 can neither be cut to begin at a huge page nor
//! give back its end.

#![allow(unsafe_code)]

use crate::{Booking, Error, ErrorKind, Result};
use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};
use std::ptr::NonNull;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// The unit of mappings and of direct I/O.
pub(super) const PAGE: usize = 4096;

/// The size and alignment of a huge page.
pub(super) const HUGE: usize = 2 << 20;

/// The mappings of this process.
static MAPS: AtomicUsize = AtomicUsize::new(0);

/// The most mappings of this process: a third of what the kernel allows, since the huge pages in a mapping can make three of it.
static MAPS_LIMIT: LazyLock<usize> = LazyLock::new(|| {
    let text = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap_or_default();
    text.trim().parse::<usize>().unwrap_or(65530) / 3
});

/// Whole pages of zeroed memory, unmapped when dropped; those of 2 MiB and more begin at a huge page.
#[derive(Debug)]
pub(super) struct Mapping {
    ptr: NonNull<u8>,
    len: usize,
    /// Whether nobody has written yet, so that all bytes are 0.
    pub(super) fresh: bool,
    booking: Booking,
}

// SAFETY: a `Mapping` is the only owner of its pages, like a `Box<[u8]>`.
unsafe impl Send for Mapping {}
// SAFETY: a shared `Mapping` gives out its address and nothing else.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `len` bytes, a multiple of [`PAGE`] and not 0, which `booking` counts.
    pub(super) fn new(len: usize, booking: Booking) -> Result<Self> {
        if MAPS.fetch_add(1, Relaxed) >= *MAPS_LIMIT {
            MAPS.fetch_sub(1, Relaxed);
            let message = format!("more than {} buffers of their own mapping at a time", *MAPS_LIMIT);
            return Err(Error::new(ErrorKind::OutOfMemory, message).hint("use larger chunks"));
        }
        let mapped = if len < HUGE { map(len) } else { map_at_huge_page(len) };
        match mapped {
            Ok(ptr) => {
                let mapping = Mapping { ptr, len, fresh: true, booking };
                mapping.advise();
                Ok(mapping)
            }
            Err(error) => {
                MAPS.fetch_sub(1, Relaxed);
                let kind = if error.kind() == std::io::ErrorKind::OutOfMemory { ErrorKind::OutOfMemory } else { ErrorKind::Io };
                Err(Error::new(kind, format!("the system maps no {len} bytes: {error}")).hint("allow less memory, or free some"))
            }
        }
    }

    /// The mappings of this process.
    pub(super) fn count() -> usize {
        MAPS.load(Relaxed)
    }

    /// The first byte; page aligned, and all `len` bytes from it are initialised.
    pub(super) fn ptr(&self) -> NonNull<u8> {
        self.ptr
    }

    /// The bytes of the mapping.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether the end beyond `len` bytes can be given back: it must not begin inside a huge page, whose memory the
    /// system would keep.
    pub(super) fn can_shrink(&self, len: usize) -> bool {
        let cut = self.ptr.as_ptr() as usize + len;
        let whole = self.huge_pages().is_none_or(|(_, end)| cut >= end || cut.is_multiple_of(HUGE));
        whole && len > 0 && len <= self.len && len.is_multiple_of(PAGE)
    }

    /// Gives back what is beyond `len` bytes, where [`Mapping::can_shrink`].
    pub(super) fn shrink(&mut self, len: usize) {
        if len == self.len || !self.can_shrink(len) {
            return;
        }
        // SAFETY: the range is whole pages at the end of this mapping, which alone owns them; `&mut self` excludes
        // readers, and `len` shrinks so that nobody reaches them again.
        if unsafe { munmap(self.ptr.as_ptr().add(len).cast(), self.len - len) }.is_ok() {
            self.len = len;
            self.booking.shrink(len as u64);
        }
    }

    /// Begin and end of the whole huge pages inside, where there are any.
    fn huge_pages(&self) -> Option<(usize, usize)> {
        let begin = self.ptr.as_ptr() as usize;
        let (first, end) = (begin.next_multiple_of(HUGE), (begin + self.len) / HUGE * HUGE);
        (first < end).then_some((first, end))
    }

    /// Asks for huge pages where whole ones are inside; a rounded area would make more resident than is booked.
    fn advise(&self) {
        if let Some((first, end)) = self.huge_pages() {
            let offset = first - self.ptr.as_ptr() as usize;
            // SAFETY: the range is inside this mapping, and this advice never changes its content. A kernel without
            // huge pages refuses, which does no harm.
            let _ = unsafe { madvise(self.ptr.as_ptr().add(offset).cast(), end - first, Advice::LinuxHugepage) };
        }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the pages are this mapping's alone, and all borrows of them ended with it.
        let _ = unsafe { munmap(self.ptr.as_ptr().cast(), self.len) };
        MAPS.fetch_sub(1, Relaxed);
    }
}

fn map(len: usize) -> std::io::Result<NonNull<u8>> {
    // SAFETY: a new anonymous mapping where the kernel likes touches no memory that is in use.
    let ptr = unsafe { mmap_anonymous(std::ptr::null_mut(), len, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE)? };
    NonNull::new(ptr.cast()).ok_or_else(|| std::io::ErrorKind::OutOfMemory.into())
}

/// Maps `len` bytes that begin at a huge page: as it comes, or cut out of more, which is never touched.
fn map_at_huge_page(len: usize) -> std::io::Result<NonNull<u8>> {
    let ptr = map(len)?;
    if (ptr.as_ptr() as usize).is_multiple_of(HUGE) {
        return Ok(ptr);
    }
    // SAFETY: the mapping was just made, and nobody else knows of it.
    unsafe { munmap(ptr.as_ptr().cast(), len)? };
    let more = len.checked_add(HUGE - PAGE).ok_or(std::io::ErrorKind::OutOfMemory)?;
    let ptr = map(more)?;
    let head = (ptr.as_ptr() as usize).next_multiple_of(HUGE) - ptr.as_ptr() as usize;
    let tail = more - len - head;
    // SAFETY: head and tail are whole pages at the two ends of the mapping that was just made, at most 2 MiB - 4 KiB
    // together; the `len` bytes between them stay. If the system refuses to unmap them, they stay untouched.
    unsafe {
        let begin = ptr.add(head);
        if head > 0 {
            let _ = munmap(ptr.as_ptr().cast(), head);
        }
        if tail > 0 {
            let _ = munmap(begin.as_ptr().add(len).cast(), tail);
        }
        Ok(begin)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::Ledger;

    #[test]
    fn begins_at_a_huge_page_and_gives_back_its_end() {
        let ledger = Ledger::new(1 << 30);
        for pages in [1, 32, 511, 512, 513, 1025, 2048, 2049] {
            let len = pages * PAGE;
            let mut mapping = Mapping::new(len, ledger.book(len as u64).unwrap()).unwrap();
            assert_eq!(mapping.len(), len);
            if len >= HUGE {
                assert!((mapping.ptr().as_ptr() as usize).is_multiple_of(HUGE));
                assert!(!mapping.can_shrink(PAGE));
                mapping.shrink(PAGE);
                assert_eq!(mapping.len(), len, "a huge page is not cut");
                mapping.shrink(HUGE);
                assert_eq!((mapping.len(), ledger.used()), (HUGE, HUGE as u64));
            } else {
                mapping.shrink(PAGE);
                assert_eq!((mapping.len(), ledger.used()), (PAGE, PAGE as u64));
            }
            drop(mapping);
            assert_eq!(ledger.used(), 0);
        }
    }

    #[test]
    fn what_the_system_refuses_is_an_error() {
        let ledger = Ledger::new(u64::MAX);
        let len = usize::MAX / 2 / PAGE * PAGE;
        let maps = Mapping::count();
        let error = Mapping::new(len, ledger.book(len as u64).unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
        assert_eq!(ledger.used(), 0);
        assert!(Mapping::count() < maps + 1000);
    }
}
