//! Whether a folder can take spilled data.

use crate::{Error, ErrorKind, Result};
use std::path::Path;

const TMPFS: u64 = 0x0102_1994;
const RAMFS: u64 = 0x8584_58f6;
const HUGETLBFS: u64 = 0x9584_58f6;

/// The name of a file system that lives in memory, by the number that `statfs` gives.
fn name_of_memory(magic: u64) -> Option<&'static str> {
    match magic {
        TMPFS => Some("tmpfs"),
        RAMFS => Some("ramfs"),
        HUGETLBFS => Some("hugetlbfs"),
        _ => None,
    }
}

/// Checks that `folder` is a folder on a medium that is not memory, and that files can be made in it.
pub(super) fn check_folder(folder: &Path) -> Result<()> {
    let unusable = |message: &str, e: std::io::Error| {
        let hint = "choose a folder on a disk that this process may write to";
        Error::caused(ErrorKind::Unusable, message, e).at(folder).hint(hint)
    };
    let meta = std::fs::metadata(folder).map_err(|e| unusable("the scratch folder cannot be opened", e))?;
    if !meta.is_dir() {
        return Err(Error::new(ErrorKind::Unusable, "what should be the scratch folder is not a folder")
            .at(folder)
            .hint("choose another path"));
    }
    let stat =
        rustix::fs::statfs(folder).map_err(|e| unusable("the file system of the scratch folder cannot be asked for its type", e.into()))?;
    if let Some(name) = name_of_memory((stat.f_type as u64) & 0xffff_ffff) {
        let message = format!("the scratch folder is on a {name}, which is memory: spilling to it would free none");
        let hint = "choose a folder on a disk, such as one under /var/tmp, or set TMPDIR to one";
        return Err(Error::new(ErrorKind::Unusable, message).at(folder).hint(hint));
    }
    rustix::fs::access(folder, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)
        .map_err(|e| unusable("the scratch folder is not writable", e.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_told_from_disks() {
        assert_eq!(name_of_memory(0x0102_1994), Some("tmpfs"));
        assert_eq!(name_of_memory(0xef53), None);
        let shm = Path::new("/dev/shm");
        if shm.is_dir() && rustix::fs::statfs(shm).is_ok_and(|s| s.f_type as u64 == TMPFS) {
            let error = check_folder(shm).err();
            assert_eq!(error.as_ref().map(Error::kind), Some(ErrorKind::Unusable));
            let text = error.map(|e| e.to_string()).unwrap_or_default();
            assert!(text.contains("is memory") && text.contains("/dev/shm") && text.contains("TMPDIR"), "{text}");
        }
    }

    #[test]
    fn what_is_no_folder_is_unusable() {
        for path in ["/proc/self/status", "/no/such/folder"] {
            assert_eq!(check_folder(Path::new(path)).err().map(|e| e.kind()), Some(ErrorKind::Unusable), "{path}");
        }
    }
}
