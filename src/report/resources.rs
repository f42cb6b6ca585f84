//! What the process takes of the machine over time.

use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The most samples that are kept: when there are more, every second one goes, and samples are taken half as often.
const MOST: usize = 8192;

/// What the process took at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// When, in nanoseconds since 1970.
    pub epoch_ns: u64,
    /// Bytes resident in memory.
    pub resident_bytes: u64,
    /// Processors in use since the sample before, 1.0 for one.
    pub processors: f64,
}

impl Sample {
    /// When, in nanoseconds since `began_ns`.
    pub(super) fn at_ns(&self, began_ns: u64) -> u64 {
        self.epoch_ns.saturating_sub(began_ns)
    }
}

/// Samples memory and processors of the whole process at an interval, on a thread of its own, until it is stopped or dropped.
///
/// ```
/// use chunkstore::report::ResourceProfiler;
/// use std::time::Duration;
/// let profiler = ResourceProfiler::start(Duration::from_millis(1))?;
/// std::thread::sleep(Duration::from_millis(20));
/// let samples = profiler.stop();
/// assert!(samples.len() > 1 && samples.iter().all(|sample| sample.resident_bytes > 0));
/// # Ok::<(), chunkstore::Error>(())
/// ```
pub struct ResourceProfiler {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    over: Condvar,
}

struct State {
    samples: Vec<Sample>,
    interval: Duration,
    stopped: bool,
}

impl ResourceProfiler {
    /// Begins to sample.
    ///
    /// # Errors
    /// That of the system where it starts no thread.
    pub fn start(interval: Duration) -> crate::Result<Self> {
        let interval = interval.max(Duration::from_micros(100));
        let state = Mutex::new(State { samples: Vec::new(), interval, stopped: false });
        let shared = Arc::new(Shared { state, over: Condvar::new() });
        let own = shared.clone();
        let thread = std::thread::Builder::new()
            .name("chunkstore-resources".to_string())
            .stack_size(128 << 10)
            .spawn(move || sample(&own))
            .map_err(|error| {
                crate::Error::new(crate::ErrorKind::Io, format!("the system started no thread for samples: {error}"))
                    .hint("raise the limit on processes")
            })?;
        Ok(ResourceProfiler { shared, thread: Some(thread) })
    }

    /// Ends sampling; gives the samples.
    pub fn stop(mut self) -> Vec<Sample> {
        self.end();
        std::mem::take(&mut self.shared.state.lock().samples)
    }

    fn end(&mut self) {
        self.shared.state.lock().stopped = true;
        self.shared.over.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for ResourceProfiler {
    fn drop(&mut self) {
        self.end();
    }
}

impl std::fmt::Debug for ResourceProfiler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResourceProfiler").finish_non_exhaustive()
    }
}

fn sample(shared: &Shared) {
    let (mut at, mut used) = (Instant::now(), processor_seconds());
    let mut state = shared.state.lock();
    loop {
        let interval = state.interval;
        shared.over.wait_for(&mut state, interval);
        let (now, now_used) = (Instant::now(), processor_seconds());
        let elapsed = (now - at).as_secs_f64().max(1e-9);
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        state.samples.push(Sample {
            epoch_ns: epoch.as_nanos() as u64,
            resident_bytes: chunkstore_store::resident_bytes(),
            processors: ((now_used - used) / elapsed).max(0.0),
        });
        (at, used) = (now, now_used);
        if state.samples.len() >= MOST {
            let mut keep = false;
            state.samples.retain(|_| {
                keep = !keep;
                keep
            });
            state.interval *= 2;
        }
        if state.stopped {
            return;
        }
    }
}

/// The seconds that processors have worked for this process, user and system together; 0 where the system does not tell.
fn processor_seconds() -> f64 {
    let Ok(text) = std::fs::read_to_string("/proc/self/stat") else { return 0.0 };
    // The second field is a name that may hold spaces; the 14th and 15th are ticks.
    let Some((_, rest)) = text.rsplit_once(") ") else { return 0.0 };
    let mut ticks = rest.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok());
    let sum = ticks.next().unwrap_or(0) + ticks.next().unwrap_or(0);
    sum as f64 / rustix::param::clock_ticks_per_second().max(1) as f64
}
