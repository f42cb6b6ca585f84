//! The threads on which submitted computations run, and the queue before them.

use crate::exec::Shared;
use crate::{Error, ErrorKind, Result};
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::sync::Arc;
use std::thread::JoinHandle;

/// What a thread may come to hold beside what is booked: its stack and its allocator's caches.
const THREAD_BYTES: u64 = 128 << 10;

/// A computation that waits for a thread.
struct Waiting {
    number: u64,
    run: Box<dyn FnOnce() + Send>,
}

/// The queue of an engine. What waits in it when the last handle has gone was detached by its caller, and is run.
pub(super) struct FutureQueue {
    inner: Arc<Inner>,
    shared: Arc<Shared>,
    /// The most threads.
    at_once: usize,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Inner {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    next: u64,
    idle: usize,
    threads: usize,
    closed: bool,
}

impl FutureQueue {
    pub(super) fn new(shared: Arc<Shared>, at_once: usize) -> Arc<Self> {
        let inner = Arc::new(Inner { state: Mutex::default(), changed: Condvar::new() });
        Arc::new(FutureQueue { inner, shared, at_once, threads: Mutex::default() })
    }

    /// Puts a computation at the end; gives its number.
    ///
    /// # Errors
    /// Where there is no thread for it, because the system starts none or the bound has no room for its stack.
    pub(super) fn push(&self, run: Box<dyn FnOnce() + Send>) -> Result<u64> {
        let mut state = self.inner.state.lock();
        if state.idle <= state.waiting.len() && state.threads < self.at_once {
            match self.start(state.threads) {
                Ok(()) => state.threads += 1,
                Err(error) if state.threads == 0 => return Err(error),
                Err(_) => {}
            }
        }
        let number = state.next;
        state.next += 1;
        state.waiting.push_back(Waiting { number, run });
        drop(state);
        self.inner.changed.notify_one();
        Ok(number)
    }

    fn start(&self, number: usize) -> Result<()> {
        self.shared.core.reserve(THREAD_BYTES)?;
        let inner = self.inner.clone();
        match std::thread::Builder::new().name(format!("chunkstore-future-{number}")).spawn(move || inner.serve()) {
            Ok(thread) => {
                self.threads.lock().push(thread);
                Ok(())
            }
            Err(error) => {
                self.shared.core.unreserve(THREAD_BYTES);
                let message = format!("the system started no thread for what was submitted: {error}");
                Err(Error::new(ErrorKind::Io, message).hint("compute it on the calling thread, or raise the limit on processes"))
            }
        }
    }

    /// Takes out a computation that still waits; false where it has been started.
    pub(super) fn remove(&self, number: u64) -> bool {
        let mut state = self.inner.state.lock();
        let at = state.waiting.binary_search_by_key(&number, |waiting| waiting.number).ok();
        let removed = at.and_then(|at| state.waiting.remove(at));
        drop(state);
        removed.is_some()
    }
}

impl Inner {
    fn serve(&self) {
        let mut state = self.state.lock();
        loop {
            if let Some(waiting) = state.waiting.pop_front() {
                drop(state);
                (waiting.run)();
                state = self.state.lock();
            } else if state.closed {
                return;
            } else {
                state.idle += 1;
                self.changed.wait(&mut state);
                state.idle -= 1;
            }
        }
    }
}

impl Drop for FutureQueue {
    fn drop(&mut self) {
        self.inner.state.lock().closed = true;
        self.inner.changed.notify_all();
        let own = std::thread::current().id();
        for thread in self.threads.get_mut().drain(..) {
            // The last handle may be one that a task of the user's held.
            if thread.thread().id() != own {
                let _ = thread.join();
            }
            self.shared.core.unreserve(THREAD_BYTES);
        }
    }
}
