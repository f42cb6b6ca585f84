//! A control group with a memory limit and without swap, to run a program in.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// A control group of this test's, of version 2 or 1; removed at the end.
pub(crate) struct Bounded {
    group: PathBuf,
    peak: &'static str,
    events: &'static str,
}

impl Bounded {
    /// A group that may hold `bytes`; none where the machine does not permit one, which standard error then says.
    pub(crate) fn new(bytes: u64) -> Option<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("chunkstore-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed));
        let base = Path::new("/sys/fs/cgroup");
        let found = [base.to_path_buf(), base.join("unified")].iter().find_map(|root| version_2(root, &name, bytes));
        let found = found.or_else(|| version_1(&base.join("memory"), &name, bytes));
        if found.is_none() {
            eprintln!("SKIPPED: no control group can be made here, so the limit of {bytes} bytes is not enforced");
        }
        found
    }

    /// A command that runs `program` in the group.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", r#"echo $$ > "$0/cgroup.procs" && exec "$@""#]).arg(&self.group).arg(program);
        command
    }

    /// The most bytes that the group has held, its page cache included.
    pub(crate) fn peak(&self) -> u64 {
        fs::read_to_string(self.group.join(self.peak)).ok().and_then(|text| text.trim().parse().ok()).expect("the peak of a group")
    }

    /// How many of the group's processes were killed for lack of memory.
    pub(crate) fn killed(&self) -> u64 {
        let events = fs::read_to_string(self.group.join(self.events)).expect("the events of a group");
        events.lines().find_map(|line| line.strip_prefix("oom_kill ")).map_or(0, |count| count.trim().parse().expect("a count"))
    }
}

impl Drop for Bounded {
    fn drop(&mut self) {
        for _ in 0..50 {
            if fs::remove_dir(&self.group).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        eprintln!("{} is left behind", self.group.display());
    }
}

fn version_2(root: &Path, name: &str, bytes: u64) -> Option<Bounded> {
    let controllers = fs::read_to_string(root.join("cgroup.controllers")).ok()?;
    controllers.split_whitespace().find(|controller| *controller == "memory")?;
    let _ = fs::write(root.join("cgroup.subtree_control"), "+memory");
    let group = root.join(name);
    fs::create_dir(&group).ok()?;
    let bounded = Bounded { group, peak: "memory.peak", events: "memory.events" };
    fs::write(bounded.group.join("memory.max"), bytes.to_string()).ok()?;
    let _ = fs::write(bounded.group.join("memory.swap.max"), "0");
    bounded.group.join(bounded.peak).exists().then_some(bounded)
}

fn version_1(root: &Path, name: &str, bytes: u64) -> Option<Bounded> {
    let group = root.join(name);
    fs::create_dir(&group).ok()?;
    let bounded = Bounded { group, peak: "memory.max_usage_in_bytes", events: "memory.oom_control" };
    fs::write(bounded.group.join("memory.limit_in_bytes"), bytes.to_string()).ok()?;
    let _ = fs::write(bounded.group.join("memory.swappiness"), "0");
    let _ = fs::write(bounded.group.join("memory.memsw.limit_in_bytes"), bytes.to_string());
    Some(bounded)
}
