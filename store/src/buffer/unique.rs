//! A buffer with one owner.

#![allow(unsafe_code)]

use super::arena::Home;
use super::mapping::{Mapping, PAGE};
use super::shared::Buffer;
use super::slab::Part;
use crate::{DType, Element};
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::Arc;

/// The memory of a buffer, which is its alone.
#[derive(Debug)]
pub(super) enum Memory {
    /// That of an empty buffer.
    Nothing,
    /// A mapping.
    Whole(Mapping),
    /// A part of a slab of a class.
    Part { class: usize, part: Part, ptr: NonNull<u8> },
}

/// The address of an empty buffer, which is aligned as that of any other.
#[repr(align(64))]
struct Aligned;

/// A buffer with one owner, who may write. It is 64-byte aligned and counted; see [`Arena`](crate::Arena).
#[derive(Debug)]
pub struct BufferMut {
    /// At least `len` initialised bytes; from here to the drop, no other buffer has any of them.
    memory: Memory,
    len: usize,
    home: Arc<Home>,
}

// SAFETY: the buffer is the only one with access to its memory, like a `Box<[u8]>`; the slab that a part is of is kept
// by `home`, whose own state is behind locks.
unsafe impl Send for BufferMut {}
// SAFETY: a shared reference only reads.
unsafe impl Sync for BufferMut {}

impl BufferMut {
    pub(super) fn new(memory: Memory, len: usize, home: Arc<Home>) -> Self {
        BufferMut { memory, len, home }
    }

    pub(super) fn ptr(&self) -> NonNull<u8> {
        match &self.memory {
            Memory::Nothing => NonNull::<Aligned>::dangling().cast(),
            Memory::Whole(mapping) => mapping.ptr(),
            Memory::Part { ptr, .. } => *ptr,
        }
    }

    /// Whether the memory is as the system gave it, all 0.
    pub(super) fn is_fresh(&self) -> bool {
        matches!(&self.memory, Memory::Whole(mapping) if mapping.fresh)
    }

    /// The length with padding: to whole pages in a mapping, nothing beyond the content elsewhere.
    fn padded_len(&self) -> usize {
        match &self.memory {
            Memory::Whole(_) => self.len.next_multiple_of(PAGE),
            _ => self.len,
        }
    }

    /// Ends the writing: from here on the buffer can be shared.
    pub fn freeze(self) -> Buffer {
        Buffer::from_owned(Arc::new(self))
    }

    /// The content as elements; the length is what fits.
    ///
    /// Asked for truth values, it first turns every byte but 0 into 1, since the content may be anything.
    pub fn as_slice_mut<T: Element>(&mut self) -> &mut [T] {
        if T::DTYPE == DType::Bool {
            self.iter_mut().for_each(|byte| *byte = u8::from(*byte != 0));
        }
        let n = self.len / size_of::<T>();
        // SAFETY: the memory is 64-byte aligned, initialised, at least `len` bytes, and borrowed through `self` alone.
        // Any bytes are valid numbers, `Element` is sealed, and truth values were just made 0 or 1.
        unsafe { std::slice::from_raw_parts_mut(self.ptr().as_ptr().cast(), n) }
    }

    /// Has the processor fetch the memory around a byte without waiting for it, where it can. Changes nothing else.
    ///
    /// ```
    /// use chunkstore_store::{Arena, Ledger};
    /// let mut buffer = Arena::new(Ledger::new(1 << 20)).alloc(1 << 16)?;
    /// buffer.fill(7);
    /// [9, 40_000, 20_000].iter().for_each(|at| buffer.prefetch(*at));
    /// assert_eq!((buffer[9], buffer[40_000], buffer[20_000]), (7, 7, 7));
    /// # Ok::<(), chunkstore_store::Error>(())
    /// ```
    #[inline]
    pub fn prefetch(&self, at: usize) {
        #[cfg(target_arch = "x86_64")]
        if at < self.len {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: the byte is in the buffer; nothing is read or written by this.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(self.ptr().as_ptr().add(at).cast()) };
        }
        #[cfg(not(target_arch = "x86_64"))]
        let _ = at;
    }

    /// The content and its padding, for direct I/O: in a buffer of 128 KiB or more, which begins at a page, all bytes up to
    /// a multiple of 4096. A smaller buffer usually has no padding, and need not begin at a page.
    pub fn padded_mut(&mut self) -> &mut [u8] {
        let len = self.padded_len();
        // SAFETY: a mapping has whole pages, so that it holds the padding too; otherwise as in `as_slice_mut`.
        unsafe { std::slice::from_raw_parts_mut(self.ptr().as_ptr(), len) }
    }

    /// As [`BufferMut::padded_mut`], where the buffer begins at a page.
    pub(super) fn padded(&self) -> Option<&[u8]> {
        // SAFETY: as in `padded_mut`, for reading.
        let bytes = || unsafe { std::slice::from_raw_parts(self.ptr().as_ptr(), self.padded_len()) };
        matches!(self.memory, Memory::Whole(_)).then(bytes)
    }

    /// Cuts the content to its first `len` bytes, and gives back what memory it can: whole pages of a mapping, but no
    /// piece of a huge page.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
        let pages = self.len.next_multiple_of(PAGE);
        if let Memory::Whole(mapping) = &mut self.memory {
            mapping.shrink(pages);
        }
    }
}

impl Deref for BufferMut {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: at least `len` initialised bytes that nobody writes while `self` is borrowed.
        unsafe { std::slice::from_raw_parts(self.ptr().as_ptr(), self.len) }
    }
}

impl DerefMut for BufferMut {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: at least `len` initialised bytes that nobody else can reach while `self` is borrowed.
        unsafe { std::slice::from_raw_parts_mut(self.ptr().as_ptr(), self.len) }
    }
}

impl Drop for BufferMut {
    fn drop(&mut self) {
        self.home.give(std::mem::replace(&mut self.memory, Memory::Nothing));
    }
}
