//! What is said of the calls that are written in a part of a program.

use std::cell::RefCell;
use std::sync::Arc;

/// What [`annotate`] says of calls. What is not set stays as it is.
///
/// Dask's `workers`, `allow_other_workers` and `resources` choose machines, of which there is one here: they are not here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Annotations {
    pub(crate) label: Option<Arc<str>>,
    pub(crate) retries: Option<u32>,
    pub(crate) priority: Option<i32>,
}

impl Annotations {
    /// Says nothing yet.
    pub fn new() -> Self {
        Annotations::default()
    }

    /// The name of the calls, in place of their function's: in keys of delayed values, errors, event logs, and the rows of
    /// [`Explain`](crate::engine::Explain). A task of a [`Graph`](super::Graph) has its key for a name, and no other.
    pub fn label(mut self, label: impl AsRef<str>) -> Self {
        self.label = Some(label.as_ref().into());
        self
    }

    /// A call whose function returned an error runs up to so many times more; a panic is not tried again.
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = Some(retries);
        self
    }

    /// Calls of a higher priority run before those of a lower one, with what they need; without one it is 0. It is a wish: it decides where memory leaves the choice,
    /// that is where everything fits at once or nothing is spilled for it, and is passed over otherwise.
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = Some(priority);
        self
    }

    /// The same, with what it leaves open as in `outer`.
    fn within(mut self, outer: &Annotations) -> Self {
        self.label = self.label.or_else(|| outer.label.clone());
        self.retries = self.retries.or(outer.retries);
        self.priority = self.priority.or(outer.priority);
        self
    }

    /// What is said where this is called.
    pub(crate) fn here() -> Annotations {
        SCOPES.with_borrow(|scopes| scopes.last().cloned().unwrap_or_default())
    }
}

thread_local! {
    /// The scopes that this thread is in, the innermost last; each has what its outer ones say.
    static SCOPES: RefCell<Vec<Annotations>> = const { RefCell::new(Vec::new()) };
}

/// Leaves a scope, also where a panic does.
struct Leave;

impl Drop for Leave {
    fn drop(&mut self) {
        SCOPES.with_borrow_mut(Vec::pop);
    }
}

/// Runs `calls`, and says `annotations` of the calls that are written in it on this thread: of delayed values, and of tasks that are put into a
/// [`Graph`](super::Graph). An inner scope goes before an outer one, and what a [`DelayedFn`](crate::delayed::DelayedFn) was told itself goes before both.
/// Calls run later, wherever they are computed; operations of arrays are not annotated.
///
/// ```
/// use chunkstore::{Annotations, annotate, delayed::{delayed, try_delayed, value}};
/// use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
/// static CALLS: AtomicU32 = AtomicU32::new(0);
/// fn flaky(x: i64) -> Result<i64, String> {
///     if CALLS.fetch_add(1, Relaxed) < 2 { Err("not yet".into()) } else { Ok(x) }
/// }
/// let x = annotate(Annotations::new().retries(2).label("load"), || try_delayed(flaky).call((7,)));
/// assert!(x.key().starts_with("load-"));
/// assert_eq!(x.compute()?, 7);
/// # Ok::<(), chunkstore::Error>(())
/// ```
pub fn annotate<R>(annotations: Annotations, calls: impl FnOnce() -> R) -> R {
    let annotations = annotations.within(&Annotations::here());
    SCOPES.with_borrow_mut(|scopes| scopes.push(annotations));
    let _leave = Leave;
    calls()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inner_scopes_go_first_and_end() {
        let outer = Annotations::new().label("a").retries(1);
        annotate(outer.clone(), || {
            annotate(Annotations::new().retries(2).priority(-1), || {
                assert_eq!(Annotations::here(), Annotations::new().label("a").retries(2).priority(-1));
            });
            assert_eq!(Annotations::here(), outer);
            let panicked = std::panic::catch_unwind(|| annotate(Annotations::new().label("b"), || std::panic::resume_unwind(Box::new(1))));
            assert!(panicked.is_err());
            assert_eq!(Annotations::here(), outer);
            std::thread::scope(|scope| scope.spawn(|| assert_eq!(Annotations::here(), Annotations::new())).join().ok());
        });
        assert_eq!(Annotations::here(), Annotations::new());
    }
}
