//! The stamp on a closed catalogue: the checksums of its files, so that what was damaged, or not closed, is not opened.

use crate::checksum;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The name of the stamp, a file in the folder of the catalogue.
const NAME: &str = "closed";

/// Removes the stamp; whether there was one, and all files were as it says.
pub(super) fn take(folder: &Path) -> bool {
    let path = folder.join(NAME);
    let Ok(there) = fs::read(&path) else { return false };
    fs::remove_file(&path).is_ok() && of_files(folder).is_some_and(|found| found == there)
}

/// Puts a stamp on the files as they are; without one the catalogue is made anew the next time.
pub(super) fn put(folder: &Path) {
    if let Some(stamp) = of_files(folder) {
        fs::write(folder.join(NAME), stamp).ok();
    }
}

/// The checksum of the names, lengths and contents of all files under `folder`.
fn of_files(folder: &Path) -> Option<Vec<u8>> {
    let mut files = Vec::new();
    collect(folder, &mut files)?;
    files.sort();
    let (mut sums, mut piece) = (Vec::new(), vec![0; 256 << 10]);
    for path in files {
        sums.extend_from_slice(&checksum(path.strip_prefix(folder).ok()?.as_os_str().as_encoded_bytes()).to_le_bytes());
        let mut file = fs::File::open(&path).ok()?;
        loop {
            let n = read_full(&mut file, &mut piece)?;
            sums.extend_from_slice(&checksum(piece.get(..n)?).to_le_bytes());
            if n < piece.len() {
                break;
            }
        }
    }
    Some(checksum(&sums).to_le_bytes().to_vec())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Option<()> {
    for entry in fs::read_dir(folder).ok()? {
        let entry = entry.ok()?;
        match entry.file_type().ok()?.is_dir() {
            true => collect(&entry.path(), files)?,
            false => files.push(entry.path()),
        }
    }
    Some(())
}

fn read_full(file: &mut fs::File, piece: &mut [u8]) -> Option<usize> {
    let mut filled = 0;
    while filled < piece.len() {
        match file.read(piece.get_mut(filled..)?).ok()? {
            0 => break,
            n => filled += n,
        }
    }
    Some(filled)
}
