//! Bytes that no longer change.

#![allow(unsafe_code)]

use super::unique::BufferMut;
use crate::{Element, External};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use std::any::Any;
use std::ops::Deref;
use std::sync::{Arc, LazyLock};

/// Bytes that no longer change; clones share them, and the last one gives the memory back.
#[derive(Clone)]
pub struct Buffer {
    ptr: *const u8,
    len: usize,
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
    /// A view of memory that the user owns. It is not booked, but registered as [`External`] while it lives, once for
    /// every vector, however many buffers view it.
    pub fn from_vec<T: Element>(values: Arc<Vec<T>>) -> Self {
        let (ptr, len) = (values.as_ptr().cast(), size_of_val(values.as_slice()));
        Buffer { ptr, len, owner: Arc::new(UserVec::new(values, len)) }
    }

    /// The buffer of no bytes.
    pub fn empty() -> &'static Buffer {
        static EMPTY: LazyLock<Buffer> = LazyLock::new(|| Buffer::from_vec(Arc::new(Vec::<u64>::new())));
        &EMPTY
    }

    pub(super) fn from_owned(buffer: Arc<BufferMut>) -> Self {
        Buffer { ptr: buffer.ptr().as_ptr(), len: buffer.len(), owner: buffer }
    }

    /// The content and its padding to a multiple of 4096 bytes, which begins at a page, as direct I/O needs it: that of a
    /// buffer with a mapping of its own. Nothing for the user's memory, for parts of slabs, and for slices.
    pub fn padded(&self) -> Option<&[u8]> {
        self.whole()?.padded()
    }

    /// The `len` bytes that begin at byte `begin`, or nothing where there are not so many. They keep the whole memory.
    pub fn slice(&self, begin: usize, len: usize) -> Option<Buffer> {
        let bytes = self.get(begin..)?.get(..len)?;
        Some(Buffer { ptr: bytes.as_ptr(), len, owner: self.owner.clone() })
    }

    /// The counted buffer that this is the whole of.
    fn whole(&self) -> Option<&BufferMut> {
        let owned = self.owner.downcast_ref::<BufferMut>()?;
        (owned.len() == self.len && std::ptr::eq(owned.ptr().as_ptr(), self.ptr)).then_some(owned)
    }

    /// The buffer for writing, where this is the last view of it, the whole, and counted; otherwise itself.
    ///
    /// # Errors
    /// The buffer, unchanged, where it is shared, a slice, or the user's.
    pub fn try_into_mut(self) -> std::result::Result<BufferMut, Buffer> {
        if self.whole().is_none() {
            return Err(self);
        }
        let Buffer { ptr, len, owner } = self;
        let owned = owner.downcast::<BufferMut>().map_err(|owner| Buffer { ptr, len, owner })?;
        Arc::try_unwrap(owned).map_err(|owner| Buffer { ptr, len, owner })
    }
}

impl Deref for Buffer {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: `ptr` and `len` name initialised bytes that `owner` keeps alive and nobody writes.
        unsafe { std::slice::from_raw_parts(self.ptr, self.len) }
    }
}

/// How many buffers view a vector of the user, by the address of the vector, and its registration.
static VIEWS: LazyLock<Mutex<FxHashMap<usize, (usize, External)>>> = LazyLock::new(Mutex::default);

/// A vector of the user, registered.
struct UserVec<T> {
    values: Arc<Vec<T>>,
}

impl<T> UserVec<T> {
    fn new(values: Arc<Vec<T>>, bytes: usize) -> Self {
        let mut views = VIEWS.lock();
        views.entry(Self::address(&values)).or_insert_with(|| (0, External::register(bytes as u64))).0 += 1;
        drop(views);
        UserVec { values }
    }

    /// No other vector has the address while this one lives.
    fn address(values: &Arc<Vec<T>>) -> usize {
        Arc::as_ptr(values) as usize
    }
}

impl<T> Drop for UserVec<T> {
    fn drop(&mut self) {
        let (mut views, address) = (VIEWS.lock(), Self::address(&self.values));
        if let Some((count, _)) = views.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                views.remove(&address);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// What is registered for a vector.
    fn registered<T>(values: &Arc<Vec<T>>) -> Option<(usize, u64)> {
        VIEWS.lock().get(&UserVec::address(values)).map(|(count, external)| (*count, external.bytes()))
    }

    #[test]
    fn a_vector_is_registered_once() {
        let values = Arc::new(vec![1.0f64; 1000]);
        assert_eq!(registered(&values), None);
        let first = Buffer::from_vec(values.clone());
        let second = Buffer::from_vec(values.clone());
        let third = second.clone();
        assert_eq!(registered(&values), Some((2, 8000)));
        assert!(crate::external_bytes() >= 8000);
        assert_eq!(third.len(), 8000);
        drop((first, second));
        assert_eq!(registered(&values), Some((1, 8000)));
        drop(third);
        assert_eq!(registered(&values), None);
    }
}
