//! Whether memory is short in the control group, or on the machine, that this process runs in.

use super::machine::{cgroup_files, read_text};
use std::path::Path;

/// How short memory is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MemoryPressure {
    /// Percent of the last ten seconds in which some task of the group waited for memory (`some avg10` of the kernel's pressure stall information); 0
    /// where the kernel does not measure that.
    pub stalled: f64,
    /// The part of the group's limit that is neither used by processes nor by the kernel, from 0 to 1; what files are cached in counts as
    /// free. 1 where there is no limit.
    pub free: f64,
    /// The same in bytes, of the group in which they are fewest; `u64::MAX` where there is no limit.
    pub free_bytes: u64,
}

/// Measures it: for the control group (version 1 or 2) that is most pressed on the way to the root, and where there is none for the machine. None where
/// the system does not tell.
pub fn memory_pressure() -> Option<MemoryPressure> {
    let cgroups = read_text(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let mounts = read_text(Path::new("/proc/self/mountinfo")).unwrap_or_default();
    let groups = cgroup_files(&cgroups, &mounts);
    let measured = groups.iter().filter_map(|(folder, version)| of_group(folder, *version, read_text));
    let machine = || of_machine(read_text);
    let worse = |a: MemoryPressure, b: MemoryPressure| MemoryPressure {
        stalled: a.stalled.max(b.stalled),
        free: a.free.min(b.free),
        free_bytes: a.free_bytes.min(b.free_bytes),
    };
    measured.reduce(worse).or_else(machine)
}

fn of_group(folder: &Path, version: u8, read: impl Fn(&Path) -> Option<String>) -> Option<MemoryPressure> {
    let number = |name: &str| read(&folder.join(name)).and_then(|text| text.trim().parse::<u64>().ok());
    let stat = |wanted: &str| {
        let text = read(&folder.join("memory.stat"))?;
        text.lines().find_map(|line| line.strip_prefix(wanted)?.strip_prefix(' ')?.trim().parse::<u64>().ok())
    };
    let (limit, used, cached) = match version {
        2 => (number("memory.max"), number("memory.current"), stat("file")),
        _ => (number("memory.limit_in_bytes"), number("memory.usage_in_bytes"), stat("total_cache")),
    };
    let stalled = read(&folder.join("memory.pressure")).and_then(|text| stalled(&text));
    let free = match (limit, used) {
        // Version 1 has a limit of nearly 2^63 where there is none.
        (Some(limit), Some(used)) if limit > 0 && limit < 1 << 62 => {
            Some((limit.saturating_sub(used.saturating_sub(cached.unwrap_or(0))), limit))
        }
        _ => None,
    };
    if stalled.is_none() && free.is_none() {
        return None;
    }
    let part = free.map_or(1.0, |(bytes, limit)| bytes as f64 / limit as f64);
    Some(MemoryPressure { stalled: stalled.unwrap_or(0.0), free: part, free_bytes: free.map_or(u64::MAX, |(bytes, _)| bytes) })
}

fn of_machine(read: impl Fn(&Path) -> Option<String>) -> Option<MemoryPressure> {
    let text = read(Path::new("/proc/meminfo"))?;
    let field = |name: &str| {
        let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
        rest.split_whitespace().next()?.parse::<f64>().ok()
    };
    let (free, all) = (field("MemAvailable:")?, field("MemTotal:")?);
    let stalled = read(Path::new("/proc/pressure/memory")).and_then(|text| stalled(&text));
    Some(MemoryPressure { stalled: stalled.unwrap_or(0.0), free: free / all, free_bytes: (free * 1024.0) as u64 })
}

/// The `some avg10` of a file of pressure stall information.
fn stalled(text: &str) -> Option<f64> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    some.split(' ').find_map(|field| field.strip_prefix("avg10="))?.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn files<'a>(files: &'a [(&'a str, &'a str)]) -> impl Fn(&Path) -> Option<String> + 'a {
        |path| files.iter().find(|(name, _)| Path::new("/g").join(name) == path).map(|(_, text)| text.to_string())
    }

    #[test]
    fn groups_of_both_versions_are_read() {
        let v2 = [
            ("memory.max", "1000\n"),
            ("memory.current", "900\n"),
            ("memory.stat", "anon 300\nfile 400\nfile_dirty 7\n"),
            ("memory.pressure", "some avg10=12.50 avg60=0.00 avg300=0.00 total=1\nfull avg10=1.00 avg60=0.00 avg300=0.00 total=1\n"),
        ];
        assert_eq!(of_group(Path::new("/g"), 2, files(&v2)), Some(MemoryPressure { stalled: 12.5, free: 0.5, free_bytes: 500 }));
        let v1 = [("memory.limit_in_bytes", "1000"), ("memory.usage_in_bytes", "800"), ("memory.stat", "cache 1\ntotal_cache 50\n")];
        assert_eq!(of_group(Path::new("/g"), 1, files(&v1)), Some(MemoryPressure { stalled: 0.0, free: 0.25, free_bytes: 250 }));
        let none = [("memory.max", "max\n"), ("memory.current", "900\n")];
        assert_eq!(of_group(Path::new("/g"), 2, files(&none)), None);
        let none = [("memory.limit_in_bytes", "9223372036854771712"), ("memory.usage_in_bytes", "800")];
        assert_eq!(of_group(Path::new("/g"), 1, files(&none)), None);
    }

    #[test]
    fn this_machine_tells() {
        let pressure = memory_pressure().unwrap();
        assert!((0.0..=1.0).contains(&pressure.free) && pressure.stalled >= 0.0, "{pressure:?}");
    }
}
