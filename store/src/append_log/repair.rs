//! What is sound kept, what is not set aside.

use super::files::{Part, all_writers, data_path, index_path, mirror_path, remove_rest};
use super::tidy::Copy;
use crate::format::LOG_ASIDE_SUFFIX;
use crate::io::{Backend, Open};
use crate::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};

/// What a repair of a log has done.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct LogRepaired {
    /// Indexes that were made anew, from their second copies or from their sound beginnings.
    pub restored: Vec<PathBuf>,
    /// Files that no longer count; each has `.aside` behind its name now.
    pub set_aside: Vec<PathBuf>,
}

/// Renames a file, so that nobody looks at it.
fn set_aside(backend: &dyn Backend, path: &Path, repaired: &mut LogRepaired) -> Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(LOG_ASIDE_SUFFIX);
    backend.rename(path, Path::new(&name))?;
    repaired.set_aside.push(path.to_path_buf());
    Ok(())
}

/// Makes the indexes of a log sound again, of which nobody has the log open.
pub(super) fn repair(backend: &dyn Backend, folder: &Path) -> Result<LogRepaired> {
    let mut repaired = LogRepaired::default();
    for (id, parts) in all_writers(backend, folder)? {
        if parts.contains(&Part::Gone) {
            remove_rest(backend, folder, id);
            continue;
        }
        let (path, other) = (index_path(folder, id), mirror_path(folder, id));
        let made = !backend.exists(&path)?;
        let busy = || Error::new(ErrorKind::Unusable, "the log is open").at(&path).hint("close it in all processes first");
        let _lock = backend.lock(&path)?.ok_or_else(busy)?;
        let read = |path: &Path| match Copy::read(backend, path, id) {
            Err(e) if !matches!(e.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported | ErrorKind::Truncated) => Err(e),
            other => Ok(other.ok().flatten()),
        };
        let (index, mirror) = (read(&path)?, read(&other)?);
        if index.as_ref().is_some_and(|index| index.damage.is_none()) {
            if mirror.is_none_or(|mirror| mirror.damage.is_some()) && parts.contains(&Part::Mirror) {
                // The next opening writes it anew.
                set_aside(backend, &other, &mut repaired)?;
            }
            continue;
        }
        let better = [mirror, index].into_iter().flatten().max_by_key(|copy| (copy.cursor.sequence, copy.damage.is_none()));
        match better.filter(Copy::has_frames) {
            Some(copy) => {
                let new = path.with_extension("new");
                let file = backend.open(&new, Open::Create)?;
                file.truncate(0)?;
                copy.copy_to(&*file, 0)?;
                if made {
                    backend.remove(&path)?;
                } else {
                    set_aside(backend, &path, &mut repaired)?;
                }
                backend.rename(&new, &path)?;
                if copy.damage.is_some() && parts.contains(&Part::Mirror) {
                    set_aside(backend, &other, &mut repaired)?;
                }
                repaired.restored.push(path);
            }
            None => {
                for part in &parts {
                    match part {
                        Part::Data(number) => set_aside(backend, &data_path(folder, id, *number), &mut repaired)?,
                        Part::Mirror => set_aside(backend, &other, &mut repaired)?,
                        Part::Index => set_aside(backend, &path, &mut repaired)?,
                        Part::Gone => {}
                    }
                }
                if made {
                    backend.remove(&path)?;
                }
            }
        }
    }
    backend.sync_folder(folder)?;
    Ok(repaired)
}
