//! How much memory there is, and how much this process uses.

use std::path::{Path, PathBuf};

/// The bytes of this process that are in memory now (`VmRSS`); 0 where the system does not tell.
pub fn resident_bytes() -> u64 {
    kibibytes("/proc/self/status", "VmRSS:")
}

/// The most bytes of this process that were ever in memory (`VmHWM`); 0 where the system does not tell.
pub fn peak_resident_bytes() -> u64 {
    kibibytes("/proc/self/status", "VmHWM:")
}

/// The memory that this process may use: that of the machine, or the limit of its cgroup or one above it (version 1
/// or 2) where that is less; `u64::MAX` where the system does not tell.
pub fn memory_limit_of_machine() -> u64 {
    let machine = match kibibytes("/proc/meminfo", "MemTotal:") {
        0 => u64::MAX,
        total => total,
    };
    let cgroups = read_text(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let mounts = read_text(Path::new("/proc/self/mountinfo")).unwrap_or_default();
    machine.min(cgroup_limit(&cgroups, &mounts, read_text).unwrap_or(u64::MAX))
}

/// The number of kB behind `name` in a file of /proc, in bytes.
fn kibibytes(file: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let value = text.lines().find_map(|line| line.strip_prefix(name)).and_then(|rest| rest.split_whitespace().next());
    value.and_then(|number| number.parse::<u64>().ok()).unwrap_or(0).saturating_mul(1024)
}

/// The least limit on the way from this process' memory cgroups to their roots.
fn cgroup_limit(cgroups: &str, mounts: &str, read: impl Fn(&Path) -> Option<String>) -> Option<u64> {
    let file = |version: u8| if version == 2 { "memory.max" } else { "memory.limit_in_bytes" };
    let limit = |(folder, version): (PathBuf, u8)| read(&folder.join(file(version)))?.trim().parse::<u64>().ok();
    cgroup_files(cgroups, mounts).into_iter().filter_map(limit).min()
}

/// The text of a file of the system; none where it cannot be read.
pub(super) fn read_text(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// The folders of this process' memory cgroups, up to their roots, and the version that each is of.
pub(super) fn cgroup_files(cgroups: &str, mounts: &str) -> Vec<(PathBuf, u8)> {
    let mut folders = Vec::new();
    for (root, mount, version, controller) in mounts.lines().filter_map(memory_mount) {
        let Some(path) = cgroups.lines().find_map(|line| cgroup_path(line, controller)) else { continue };
        // Inside a container the mount may show a part of the tree only, which begins at `root`.
        let inside = Path::new(path).strip_prefix(&root).or_else(|_| Path::new(path).strip_prefix("/")).unwrap_or(Path::new(""));
        let up = mount.join(inside);
        folders.extend(up.ancestors().take_while(|folder| folder.starts_with(&mount)).map(|folder| (folder.to_path_buf(), version)));
    }
    folders
}

/// Root, mount point, version and controller of a line of mountinfo that mounts memory cgroups.
fn memory_mount(line: &str) -> Option<(PathBuf, PathBuf, u8, &'static str)> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(3);
    let (root, mount) = (unescape(left.next()?), unescape(left.next()?));
    let mut right = right.split(' ');
    let (kind, options) = (right.next()?, right.nth(1)?);
    match kind {
        "cgroup2" => Some((root, mount, 2, "")),
        "cgroup" if options.split(',').any(|option| option == "memory") => Some((root, mount, 1, "memory")),
        _ => None,
    }
}

/// The path of a line `id:controllers:path` of /proc/self/cgroup that names `controller`.
fn cgroup_path<'a>(line: &'a str, controller: &str) -> Option<&'a str> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (controllers, path) = (parts.next()?, parts.next()?);
    controllers.split(',').any(|name| name == controller).then_some(path)
}

/// mountinfo writes space, tab, newline and backslash as octal numbers.
fn unescape(text: &str) -> PathBuf {
    PathBuf::from(text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: &str = "24 1 0:22 / /sys rw - sysfs sysfs rw\n30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";

    fn limit(cgroups: &str, mounts: &str, files: &[(&str, &str)]) -> Option<u64> {
        let read = |path: &Path| files.iter().find(|(name, _)| Path::new(name) == path).map(|(_, text)| text.to_string());
        cgroup_limit(cgroups, mounts, read)
    }

    #[test]
    fn takes_the_least_limit_on_the_way_up() {
        let files = [
            ("/sys/fs/cgroup/a/b/memory.max", "max\n"),
            ("/sys/fs/cgroup/a/memory.max", "268435456\n"),
            ("/sys/fs/cgroup/memory.max", "1073741824\n"),
            ("/sys/fs/memory.max", "1\n"),
        ];
        assert_eq!(limit("0::/a/b\n", V2, &files), Some(268435456));
        assert_eq!(limit("0::/\n", V2, &files), Some(1073741824));
        assert_eq!(limit("0::/../x\n", V2, &[]), None);
        assert_eq!(limit("", V2, &files), None);
    }

    #[test]
    fn knows_the_first_version_and_containers() {
        let mounts = "40 30 0:35 /docker/77 /sys/fs/cgroup/memory\\040x ro - cgroup cgroup rw,memory\n\
                      41 30 0:36 / /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\nnonsense\n";
        let files = [("/sys/fs/cgroup/memory x/memory.limit_in_bytes", "500\n")];
        assert_eq!(limit("5:cpu:/\n4:hugetlb,memory:/docker/77\n", mounts, &files), Some(500));
        assert_eq!(limit("5:cpu:/\n4:memory:/docker/77/deep\n", mounts, &files), Some(500));
    }

    #[test]
    fn measures_this_process() {
        let (now, peak, limit) = (resident_bytes(), peak_resident_bytes(), memory_limit_of_machine());
        assert!(now > 0 && peak > 0 && limit > peak, "{now} {peak} {limit}");
    }
}
