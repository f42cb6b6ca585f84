//! Aligned, counted memory.

#![allow(unsafe_code)]

use crate::{Booking, Element, Ledger, Result};
use std::any::Any;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

/// Where buffers come from: a ledger that counts them. Clones share it.
#[derive(Clone, Debug)]
pub struct Arena {
    ledger: Ledger,
}

impl Arena {
    /// An arena that books in `ledger`.
    pub fn new(ledger: Ledger) -> Self {
        Arena { ledger }
    }

    /// The ledger in which buffers are booked.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The bytes that the ledger counts for a buffer of `len` bytes.
    pub fn footprint(len: usize) -> u64 {
        (len as u64).next_multiple_of(4096)
    }

    /// A buffer of `len` bytes, 64-byte aligned, of any content.
    ///
    /// # Errors
    /// Out of memory where the ledger has no room.
    pub fn alloc(&self, len: usize) -> Result<BufferMut> {
        let booking = self.ledger.book(Self::footprint(len))?;
        let map = memmap2::MmapMut::map_anon(len.max(1)).map_err(|e| crate::Error::io("cannot map memory", e))?;
        Ok(BufferMut { map, len, booking })
    }
}

/// A buffer with one owner, who may write.
#[derive(Debug)]
pub struct BufferMut {
    map: memmap2::MmapMut,
    len: usize,
    #[allow(dead_code)]
    booking: Booking,
}

impl BufferMut {
    /// Ends the writing: from here on the buffer can be shared.
    pub fn freeze(self) -> Buffer {
        let (ptr, len) = (self.map.as_ptr(), self.len);
        Buffer { ptr, len, owner: Arc::new(self) }
    }

    /// The content as elements; the length is what fits.
    pub fn as_slice_mut<T: Element>(&mut self) -> &mut [T] {
        let n = self.len / size_of::<T>();
        // SAFETY: the map is 64-byte aligned and initialised, and every `Element` is valid for all the bit patterns
        // that kernels write; `bool` blocks hold 0 or 1 by construction (see `Block`).
        unsafe { std::slice::from_raw_parts_mut(self.map.as_mut_ptr().cast(), n) }
    }
}

impl Deref for BufferMut {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.map[..self.len]
    }
}

impl DerefMut for BufferMut {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.map[..self.len]
    }
}

/// Bytes that no longer change; clones share them, and the last one gives the memory back.
#[derive(Clone)]
pub struct Buffer {
    ptr: *const u8,
    len: usize,
    #[allow(dead_code)]
    owner: Arc<dyn Any + Send + Sync>,
}

// SAFETY: the bytes are immutable and live as long as `owner`, which is itself `Send + Sync`.
unsafe impl Send for Buffer {}
// SAFETY: as above.
unsafe impl Sync for Buffer {}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer({} bytes)", self.len)
    }
}

impl Buffer {
    /// A view of memory that the user owns; it is not counted here.
    pub fn from_vec<T: Element>(values: Arc<Vec<T>>) -> Self {
        let len = size_of_val(values.as_slice());
        Buffer { ptr: values.as_ptr().cast(), len, owner: values }
    }
}

impl Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: `ptr` and `len` name initialised bytes that `owner` keeps alive and nobody writes.
        unsafe { std::slice::from_raw_parts(self.ptr, self.len) }
    }
}
