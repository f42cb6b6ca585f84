//! Progress bars on standard error, where that is a terminal: one for each run that is under way.

use crate::exec::{Core, Progressed};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, LazyLock};
use std::thread::JoinHandle;
use std::time::Duration;

/// Runs that end sooner show no bar.
const DELAY: Duration = Duration::from_millis(300);
const TICK: Duration = Duration::from_millis(100);

/// The bars of all runs of the process, one below the other.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// A bar over the tasks of a run, drawn by a thread of its own; nothing where it is off.
pub(crate) struct Progress(Option<(Arc<AtomicBool>, JoinHandle<()>)>);

impl Progress {
    /// Shows the progress of a run of `tasks` that computes `what`, if `wanted`, or by default if standard error is a terminal.
    pub(crate) fn begin(
        wanted: Option<bool>,
        core: &Arc<Core>,
        tasks: usize,
        run: &Arc<Progressed>,
        what: impl FnOnce() -> String,
    ) -> Self {
        let shown = wanted.unwrap_or_else(|| std::io::stderr().is_terminal());
        if !shown || tasks < 2 {
            return Progress(None);
        }
        let over = Arc::new(AtomicBool::new(false));
        let (core, run, seen, what) = (core.clone(), run.clone(), over.clone(), what());
        let thread = std::thread::Builder::new()
            .name("chunkstore-progress".to_string())
            .stack_size(256 << 10)
            .spawn(move || draw(&core, &run, &seen, what));
        Progress(thread.ok().map(|thread| (over, thread)))
    }

    /// Takes the bar away.
    pub(crate) fn end(self) {
        if let Some((over, thread)) = self.0 {
            over.store(true, Relaxed);
            thread.thread().unpark();
            let _ = thread.join();
        }
    }
}

fn draw(core: &Core, run: &Progressed, over: &AtomicBool, what: String) {
    std::thread::park_timeout(DELAY);
    if over.load(Relaxed) {
        return;
    }
    let bar = BARS.add(ProgressBar::new(run.tasks.load(Relaxed)));
    if let Ok(style) = ProgressStyle::with_template("{prefix:16} {bar:32} {pos}/{len} tasks  {elapsed} ({eta} left)  {msg}") {
        bar.set_style(style);
    }
    bar.set_prefix(what);
    while !over.load(Relaxed) {
        bar.set_length(run.tasks.load(Relaxed));
        bar.set_position(run.done.load(Relaxed));
        let ledger = core.arena.ledger();
        bar.set_message(format!("{} MiB of {} in use", ledger.used() >> 20, ledger.limit() >> 20));
        std::thread::park_timeout(TICK);
    }
    bar.finish_and_clear();
    BARS.remove(&bar);
}
