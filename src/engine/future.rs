//! Computations in the background.

use super::Engine;
use super::future_queue::FutureQueue;
use super::several::Computable;
use crate::exec::{RunToken, Shared};
use crate::{Error, ErrorKind, Result};
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// Where a [`Future`] stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FutureState {
    /// It waits for its turn.
    Queued,
    /// It is under way.
    Running,
    /// It has a result.
    Finished,
    /// It has an error.
    Failed,
    /// It was cancelled.
    Cancelled,
}

/// The result of a computation in the background: see [`Engine::submit`].
///
/// Who drops it does not want the result any more: the computation is cancelled, as by [`Future::cancel`]. [`Future::detach`] lets it go on.
#[must_use = "a future that is dropped is cancelled"]
pub struct Future<T> {
    slot: Arc<Slot<T>>,
    /// Its queue and its number there, for as long as it may have to be cancelled. It keeps the engine alive.
    place: Option<(Arc<FutureQueue>, u64)>,
}

/// What a future and its computation share.
struct Slot<T> {
    inner: Mutex<Inner<T>>,
    changed: Condvar,
    token: Arc<RunToken>,
}

struct Inner<T> {
    state: FutureState,
    outcome: Option<Result<T>>,
    /// Which ended first: counted through the process.
    ended: u64,
    watcher: Option<(Sender<usize>, usize)>,
}

impl<T> Slot<T> {
    fn new() -> Arc<Self> {
        let inner = Inner { state: FutureState::Queued, outcome: None, ended: 0, watcher: None };
        Arc::new(Slot { inner: Mutex::new(inner), changed: Condvar::new(), token: Arc::default() })
    }

    /// The computation has ended, unless it had before.
    fn end(&self, outcome: Result<T>) {
        static ENDED: AtomicU64 = AtomicU64::new(0);
        let mut inner = self.inner.lock();
        if inner.outcome.is_some() {
            return;
        }
        inner.state = match &outcome {
            Ok(_) => FutureState::Finished,
            Err(error) if error.kind() == ErrorKind::Cancelled => FutureState::Cancelled,
            Err(_) => FutureState::Failed,
        };
        inner.outcome = Some(outcome);
        inner.ended = ENDED.fetch_add(1, Relaxed);
        if let Some((watcher, index)) = inner.watcher.take() {
            let _ = watcher.send(index);
        }
        drop(inner);
        self.changed.notify_all();
    }
}

fn has_ended(state: FutureState) -> bool {
    !matches!(state, FutureState::Queued | FutureState::Running)
}

impl Engine {
    /// Computes one or several collections in the background, as [`Engine::compute`] does: so many at a time as
    /// [`EngineBuilder::futures`](super::EngineBuilder::futures) says, the others in the order in which they came. All that is under way shares the engine's
    /// memory and workers by one policy.
    ///
    /// What goes wrong is in the future's result. Inside a task nothing can be submitted, as nothing can be computed.
    ///
    /// ```
    /// use chunkstore::{Engine, array::Array, delayed::delayed};
    /// let engine = Engine::builder().memory("256MiB").build()?;
    /// let sum = engine.submit(Array::<f64>::ones([1000], 100).sum(..).item_collection());
    /// let both = engine.submit((delayed(|| 1i64).call(()), delayed(|| 2i64).call(())));
    /// assert_eq!(sum.result()?, 1000.0);
    /// assert_eq!(both.result()?, (1, 2));
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    pub fn submit<C>(&self, collections: C) -> Future<C::Output>
    where
        C: Computable + Send + 'static,
        C::Output: Send + 'static,
    {
        self.spawn(move |engine| engine.compute(collections))
    }

    /// Runs `work` in the background, with this engine.
    pub(super) fn spawn<T: Send + 'static>(&self, work: impl FnOnce(&Engine) -> Result<T> + Send + 'static) -> Future<T> {
        let slot = Slot::new();
        let refused = |error: Error| {
            slot.end(Err(error));
            Future { slot: slot.clone(), place: None }
        };
        if let Err(error) = Shared::refuse_nested() {
            return refused(error);
        }
        let Some(queue) = &self.futures else {
            return refused(Error::new(ErrorKind::Invalid, "what is submitted cannot submit more"));
        };
        let engine = self.in_background(slot.token.clone());
        let own = slot.clone();
        let run = Box::new(move || {
            {
                let mut inner = own.inner.lock();
                if has_ended(inner.state) {
                    return;
                }
                inner.state = FutureState::Running;
            }
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                own.token.check()?;
                work(&engine)
            }));
            drop(engine);
            own.end(outcome.unwrap_or_else(|_| Err(Error::new(ErrorKind::Panicked, "what was submitted panicked outside of its tasks"))));
        });
        match queue.push(run) {
            Ok(number) => Future { slot, place: Some((queue.clone(), number)) },
            Err(error) => refused(error),
        }
    }
}

impl<T> Future<T> {
    /// Waits for the end, and gives the result.
    ///
    /// # Errors
    /// What [`Engine::compute`] gives; cancelled where it was; invalid inside a task, which would hold its memory while it waits.
    pub fn result(self) -> Result<T> {
        Shared::refuse_nested()?;
        let mut inner = self.slot.inner.lock();
        while !has_ended(inner.state) {
            self.slot.changed.wait(&mut inner);
        }
        let outcome = inner.outcome.take();
        drop(inner);
        outcome.unwrap_or_else(|| Err(Error::new(ErrorKind::Invalid, "a result was taken twice; this is a defect of the engine")))
    }

    /// Waits for the end, but no longer than `timeout`; gives itself back where that was not enough.
    ///
    /// # Errors
    /// The future, which goes on.
    pub fn result_timeout(self, timeout: Duration) -> std::result::Result<Result<T>, Future<T>> {
        if self.wait(timeout) { Ok(self.result()) } else { Err(self) }
    }

    /// Waits for the end, but no longer than `timeout`; whether it has ended.
    pub fn wait(&self, timeout: Duration) -> bool {
        let until = Instant::now().checked_add(timeout);
        let mut inner = self.slot.inner.lock();
        while !has_ended(inner.state) {
            match until {
                Some(until) if self.slot.changed.wait_until(&mut inner, until).timed_out() => break,
                Some(_) => {}
                None => self.slot.changed.wait(&mut inner),
            }
        }
        has_ended(inner.state)
    }

    /// Whether it has ended, in whichever way.
    pub fn done(&self) -> bool {
        has_ended(self.state())
    }

    /// Where it stands.
    pub fn state(&self) -> FutureState {
        self.slot.inner.lock().state
    }

    /// Cancels this computation and no other. One that waits for its turn never starts; of one that is under way the tasks that are running end first. One
    /// that has ended keeps its result.
    ///
    /// ```
    /// use chunkstore::{Engine, ErrorKind, delayed::delayed};
    /// use std::{thread::sleep, time::Duration};
    /// let engine = Engine::builder().memory("256MiB").futures(1).build()?;
    /// let nap = |n: i64| { sleep(Duration::from_millis(100)); n };
    /// let (first, second) = (engine.submit(delayed(nap).call((1,))), engine.submit(delayed(nap).call((2,))));
    /// second.cancel();
    /// assert_eq!(second.result().unwrap_err().kind(), ErrorKind::Cancelled);
    /// assert_eq!(first.result()?, 1);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    pub fn cancel(&self) {
        let Some((queue, number)) = &self.place else { return };
        if queue.remove(*number) {
            self.slot.end(Err(Error::new(ErrorKind::Cancelled, "the computation was cancelled before it began")));
        } else if !self.done() {
            self.slot.token.cancel();
        }
    }

    /// Lets the computation go on without anybody who waits for its result: for what is done for its effect, such as writing a file. The last handle of the
    /// engine waits for its end.
    pub fn detach(mut self) {
        self.place = None;
    }
}

impl<T> Drop for Future<T> {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl<T> std::fmt::Debug for Future<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Future({:?})", self.state())
    }
}

/// The futures in the order in which they end; each is given when it has.
///
/// ```
/// use chunkstore::{Engine, delayed::delayed, engine::as_completed};
/// let engine = Engine::builder().memory("256MiB").build()?;
/// let square = delayed(|n: i64| n * n);
/// let futures: Vec<_> = (0..5).map(|n| engine.submit(square.call((n,)))).collect();
/// let mut squares = as_completed(futures).map(|future| future.result()).collect::<Result<Vec<_>, _>>()?;
/// squares.sort();
/// assert_eq!(squares, [0, 1, 4, 9, 16]);
/// # Ok::<(), chunkstore::Error>(())
/// ```
pub fn as_completed<T>(futures: impl IntoIterator<Item = Future<T>>) -> AsCompleted<T> {
    let (sender, ended) = channel();
    let mut futures: Vec<Option<Future<T>>> = futures.into_iter().map(Some).collect();
    let mut ready = Vec::new();
    for (index, future) in futures.iter_mut().enumerate() {
        if let Some(future) = future {
            let mut inner = future.slot.inner.lock();
            match has_ended(inner.state) {
                true => ready.push((inner.ended, index)),
                false => inner.watcher = Some((sender.clone(), index)),
            }
        }
    }
    ready.sort_unstable();
    AsCompleted { futures, ready: ready.into_iter().map(|(_, index)| index).collect(), ended }
}

/// Futures in the order in which they end: see [`as_completed`]. Those that are left when it is dropped are cancelled.
pub struct AsCompleted<T> {
    futures: Vec<Option<Future<T>>>,
    ready: VecDeque<usize>,
    ended: Receiver<usize>,
}

impl<T> Iterator for AsCompleted<T> {
    type Item = Future<T>;

    fn next(&mut self) -> Option<Future<T>> {
        // No sender is left when all have been given.
        let index = self.ready.pop_front().or_else(|| self.ended.recv().ok())?;
        self.futures.get_mut(index).and_then(Option::take)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.futures.iter().flatten().count();
        (left, Some(left))
    }
}
