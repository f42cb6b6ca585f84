//! A block: entries of one partition that are written and read together.

use super::bucket::Held;
use super::head::Order;
use crate::scratch::Room;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// A block, in memory or on disk.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) partition: u32,
    /// The number of its writer in the table; 0 is this log itself.
    pub(super) writer: u32,
    /// The first and the last of its entries.
    pub(super) first: Order,
    pub(super) last: Order,
    /// The bytes of its entries.
    pub(super) raw: u64,
    body: Mutex<Body>,
    gone: AtomicBool,
}

/// Where a block is.
#[derive(Debug, Clone)]
pub(super) enum Body {
    Memory(Arc<Held>),
    Disk(Arc<Place>),
}

/// Where a block is on disk.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) file: u32,
    pub(super) offset: u64,
    /// The bytes of the block, and of its head and tables, which come first.
    pub(super) stored: u32,
    pub(super) head: u32,
    /// Keeps the room from being used again; nothing for what others wrote.
    pub(super) room: Option<Arc<Room>>,
}

impl Block {
    /// A block of what a bucket had, if that was anything.
    pub(super) fn held(partition: u32, held: Held) -> Option<Block> {
        let (first, last) = (held.parts.first()?.head.order(), held.parts.last()?.head.order());
        let raw = held.parts.iter().map(|part| u64::from(part.head.len)).sum();
        let body = Mutex::new(Body::Memory(Arc::new(held)));
        Some(Block { partition, writer: 0, first, last, raw, body, gone: AtomicBool::new(false) })
    }

    /// A block that is on disk.
    pub(super) fn on_disk(partition: u32, writer: u32, first: Order, last: Order, raw: u64, place: Place) -> Block {
        let body = Mutex::new(Body::Disk(Arc::new(place)));
        Block { partition, writer, first, last, raw, body, gone: AtomicBool::new(false) }
    }

    pub(super) fn body(&self) -> Body {
        self.body.lock().clone()
    }

    pub(super) fn is_in_memory(&self) -> bool {
        matches!(*self.body.lock(), Body::Memory(_))
    }

    /// Says that it was written; its memory is given back once nobody reads it.
    pub(super) fn written(&self, place: Place) {
        let before = std::mem::replace(&mut *self.body.lock(), Body::Disk(Arc::new(place)));
        drop(before);
    }

    /// The bytes of memory that it takes.
    pub(super) fn weight(&self) -> u64 {
        match &*self.body.lock() {
            Body::Memory(held) => held.weight,
            Body::Disk(_) => 0,
        }
    }

    /// Says that nobody wants it any more.
    pub(super) fn forget(&self) {
        self.gone.store(true, Relaxed);
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone.load(Relaxed)
    }
}
