//! A progress bar on standard error, where that is a terminal.

use crate::exec::Core;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

/// Runs that end sooner show no bar.
const DELAY: Duration = Duration::from_millis(300);
const TICK: Duration = Duration::from_millis(100);

/// A bar over the tasks of a run, drawn by a thread of its own; nothing where it is off.
pub(crate) struct Progress(Option<(Arc<AtomicBool>, JoinHandle<()>)>);

impl Progress {
    /// Shows the progress of a run of `tasks`, if `wanted`, or by default if standard error is a terminal.
    pub(crate) fn begin(wanted: Option<bool>, core: &Arc<Core>, tasks: u64) -> Self {
        let shown = wanted.unwrap_or_else(|| std::io::stderr().is_terminal());
        if !shown || tasks < 2 {
            return Progress(None);
        }
        let over = Arc::new(AtomicBool::new(false));
        let (core, seen) = (core.clone(), over.clone());
        let thread = std::thread::Builder::new()
            .name("chunkstore-progress".to_string())
            .stack_size(256 << 10)
            .spawn(move || draw(&core, &seen, tasks));
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

fn draw(core: &Core, over: &AtomicBool, tasks: u64) {
    let before = core.progress.load(Relaxed);
    std::thread::park_timeout(DELAY);
    if over.load(Relaxed) {
        return;
    }
    let bar = ProgressBar::new(tasks);
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} tasks  {elapsed} ({eta} left)  {msg}") {
        bar.set_style(style);
    }
    while !over.load(Relaxed) {
        bar.set_position(core.progress.load(Relaxed) - before);
        let ledger = core.arena.ledger();
        bar.set_message(format!("{} MiB of {} in use", ledger.used() >> 20, ledger.limit() >> 20));
        std::thread::park_timeout(TICK);
    }
    bar.finish_and_clear();
}
