//! Why a chunk was where it was: its story, with the reason for each step.

use super::history::{History, Moment, TaskHistory};
use chunkstore_store::EventKind;
use std::fmt;

/// The story of one chunk, ready to be printed. Made by [`History::why`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    /// The name of the task that gives the chunk.
    pub name: String,
    /// The bytes that the chunk takes.
    pub bytes: u64,
    /// What it needs, by name.
    pub inputs: Vec<String>,
    /// What needs it, by name.
    pub users: Vec<String>,
    /// Its place in the order of its run, where it was planned.
    pub place: Option<u32>,
    /// What happened, in order.
    pub steps: Vec<Step>,
}

/// One thing that happened to a chunk, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// When, in nanoseconds since the log began.
    pub at_ns: u64,
    /// What happened, and why, in words.
    pub text: String,
    /// The bytes of all chunks in memory then.
    pub held: u64,
}

/// How many names are shown.
const SHOWN: usize = 6;

impl History {
    /// The story of a task's chunk.
    ///
    /// ```
    /// use chunkstore::{Engine, array::Array};
    /// let engine = Engine::builder().memory("256MiB").build()?;
    /// let recording = engine.record();
    /// let x = Array::<f64>::linspace(0.0, 1.0, 1001, 500).sqrt();
    /// let x = engine.persist(&x)?;
    /// let history = recording.history();
    /// let why = history.why(history.find("sqrt[1]")[0]);
    /// assert!(why.steps.iter().any(|step| step.text.contains("finished")));
    /// println!("{why}");
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    pub fn why(&self, task: &TaskHistory) -> Why {
        let names = |tasks: &[u32]| tasks.iter().filter_map(|task| self.task(*task)).map(|task| self.name(task)).collect();
        let step = |(at, moment): (usize, &Moment)| Step { at_ns: moment.at_ns, text: self.reason(task, at, moment), held: moment.held };
        Why {
            name: self.name(task),
            bytes: task.bytes,
            inputs: names(&task.inputs),
            users: names(&task.users),
            place: task.place,
            steps: task.moments.iter().enumerate().map(step).collect(),
        }
    }

    fn reason(&self, task: &TaskHistory, at: usize, moment: &Moment) -> String {
        let before = task.moments.get(..at).unwrap_or_default();
        let was = |kind: EventKind| before.iter().any(|moment| moment.kind == kind);
        match moment.kind {
            EventKind::Started if was(EventKind::PutBack) => format!("started again on worker {}, with what it had needed", moment.worker),
            EventKind::Started => format!("started on worker {}", moment.worker),
            EventKind::Finished => format!("finished: {} in memory", size(task.bytes)),
            EventKind::PutBack => "put back: it needed more memory than was expected, and there was no room for that".to_string(),
            EventKind::Loaded if was(EventKind::Spilled) => format!("read back from scratch for {}", self.next_use(task, moment)),
            EventKind::Loaded if was(EventKind::Dropped) => format!("read from its source again for {}", self.next_use(task, moment)),
            EventKind::Loaded => format!("read from its source for {}", self.next_use(task, moment)),
            EventKind::Spilled => {
                format!("written to scratch: next used by {}; {}", self.next_use(task, moment), self.beside(task, moment))
            }
            EventKind::Dropped if was(EventKind::Spilled) => {
                format!("left memory, and stays on disk: next used by {}; {}", self.next_use(task, moment), self.beside(task, moment))
            }
            EventKind::Dropped => {
                format!("left memory, as it can be read again: next used by {}; {}", self.next_use(task, moment), self.beside(task, moment))
            }
            EventKind::Died => match self.last_user(task, moment) {
                Some(user) => format!("died: {user}, its last user, had run"),
                None if task.users.is_empty() => "died: nothing needs it".to_string(),
                None => "died: nothing needs it any more".to_string(),
            },
            EventKind::Saved => "saved in the checkpoint".to_string(),
            EventKind::Failed => "failed".to_string(),
            _ => format!("{:?}", moment.kind).to_lowercase(),
        }
    }

    /// The users that have not finished by then, the first in order first.
    fn open_users<'a>(&'a self, task: &'a TaskHistory, moment: &Moment) -> Vec<&'a TaskHistory> {
        let open = |user: &&TaskHistory| finished(user).is_none_or(|at| at > moment.at_ns);
        let mut users: Vec<&TaskHistory> = task.users.iter().filter_map(|user| self.task(*user)).filter(open).collect();
        users.sort_by_key(|user| (user.moments.first().map_or(u64::MAX, |first| first.at_ns), user.place));
        users
    }

    fn next_use(&self, task: &TaskHistory, moment: &Moment) -> String {
        match self.open_users(task, moment).first() {
            Some(user) => match user.place {
                Some(place) if place > moment.started => format!("{}, {} tasks later", self.name(user), place - moment.started),
                _ => self.name(user),
            },
            None => "whoever holds the collection".to_string(),
        }
    }

    /// Of the chunks that were in memory then, how many were to be used sooner.
    fn beside(&self, task: &TaskHistory, moment: &Moment) -> String {
        let next = |task: &TaskHistory| self.open_users(task, moment).iter().filter_map(|user| user.place).min().unwrap_or(u32::MAX);
        let own = next(task);
        let there = |other: &&TaskHistory| {
            let then = other.stays(self.ended_ns);
            then.iter().any(|stay| stay.in_memory && stay.ns.0 <= moment.at_ns && moment.at_ns < stay.ns.1)
        };
        let others: Vec<&TaskHistory> = self.tasks().filter(|other| !std::ptr::eq(*other, task)).filter(there).collect();
        let sooner = others.iter().filter(|other| next(other) < own).count();
        format!("{sooner} of {} other chunks in memory are used sooner", others.len())
    }

    fn last_user(&self, task: &TaskHistory, moment: &Moment) -> Option<String> {
        let users = task.users.iter().filter_map(|user| self.task(*user));
        let ended = users.filter_map(|user| Some((finished(user).filter(|at| *at <= moment.at_ns)?, user)));
        ended.max_by_key(|(at, _)| *at).map(|(_, user)| self.name(user))
    }
}

fn finished(task: &TaskHistory) -> Option<u64> {
    task.moments.iter().rfind(|moment| moment.kind == EventKind::Finished).map(|moment| moment.at_ns)
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20)),
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.name, size(self.bytes))?;
        if let Some(place) = self.place {
            writeln!(f, "  task {} in order", place + 1)?;
        }
        for (what, names) in [("needs", &self.inputs), ("is needed by", &self.users)] {
            let more = match names.len().saturating_sub(SHOWN) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            if !names.is_empty() {
                writeln!(f, "  {what} {}{more}", names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", "))?;
            }
        }
        for step in &self.steps {
            writeln!(f, "  {:>10.6} s  {:>10} in memory  {}", step.at_ns as f64 / 1e9, size(step.held), step.text)?;
        }
        Ok(())
    }
}
