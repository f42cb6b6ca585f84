//! The build of a program: a digest of the files that hold its code.

use crate::graph::KeyBuilder;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// A file of code: as the system knows it, and where it was when it was mapped.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Mapped {
    device: (u32, u32),
    inode: u64,
    path: PathBuf,
}

/// A digest of the file in which the code at `address` stands and of that in which this function does: one file, as a rule, the program. None where they cannot be read, or
/// have been replaced since they were mapped.
pub fn build_of(address: usize) -> Option<u128> {
    // Files that have been read: a program has few.
    static DIGESTS: Mutex<BTreeMap<Mapped, Option<u128>>> = Mutex::new(BTreeMap::new());
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let mut files = vec![mapped_at(&maps, build_of as fn(usize) -> Option<u128> as usize)?, mapped_at(&maps, address)?];
    files.sort();
    files.dedup();
    let mut key = KeyBuilder::new("build", 1);
    for file in files {
        let digest = *DIGESTS.lock().entry(file).or_insert_with_key(digest);
        key = key.bytes(&digest?.to_be_bytes());
    }
    Some(u128::from_be_bytes(key.finish().0))
}

/// The file that is mapped at an address: `from-to rwxp offset major:minor inode path`.
fn mapped_at(maps: &str, address: usize) -> Option<Mapped> {
    maps.lines().find_map(|line| {
        let mut fields = line.splitn(6, ' ');
        let (from, to) = fields.next()?.split_once('-')?;
        let hex = |text: &str| usize::from_str_radix(text, 16).ok();
        if !(hex(from)?..hex(to)?).contains(&address) {
            return None;
        }
        let (major, minor) = fields.nth(2)?.split_once(':')?;
        let device = (u32::from_str_radix(major, 16).ok()?, u32::from_str_radix(minor, 16).ok()?);
        let inode = fields.next()?.parse().ok().filter(|inode| *inode != 0)?;
        Some(Mapped { device, inode, path: PathBuf::from(fields.next()?.trim_start()) })
    })
}

/// The digest of a file; none where it is not the one that was mapped.
fn digest(mapped: &Mapped) -> Option<u128> {
    let is_it = |file: &File| file.metadata().is_ok_and(|found| found.ino() == mapped.inode && device_of(found.dev()) == mapped.device);
    // The program's own file can be read there even if another has taken its place; some file systems give it other numbers when they are asked.
    let own = std::path::Path::new("/proc/self/exe");
    let mut file = match std::fs::read_link(own).is_ok_and(|program| program == mapped.path) {
        true => File::open(own).ok()?,
        false => File::open(&mapped.path).ok().filter(is_it)?,
    };
    let mut key = KeyBuilder::new("file", 1);
    let mut piece = vec![0; 256 << 10];
    loop {
        match file.read(&mut piece).ok()? {
            0 => return Some(u128::from_be_bytes(key.finish().0)),
            read => key = key.part(piece.get(..read)?),
        }
    }
}

fn device_of(device: u64) -> (u32, u32) {
    (rustix::fs::major(device), rustix::fs::minor(device))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_build_is_the_same_for_all_code_of_the_program() {
        let own = build_of(build_of as fn(usize) -> Option<u128> as usize);
        assert!(own.is_some());
        assert_eq!(own, build_of(device_of as fn(u64) -> (u32, u32) as usize));
        let heap = Box::new(1);
        assert_eq!(build_of(&raw const *heap as usize), None, "no file is there");
    }

    #[test]
    fn a_file_that_was_replaced_is_not_taken() {
        let path = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(path.path(), "code").unwrap();
        let found = path.path().metadata().unwrap();
        let mut mapped = Mapped { device: device_of(found.dev()), inode: found.ino(), path: path.path().to_owned() };
        let before = digest(&mapped);
        assert!(before.is_some());
        std::fs::write(path.path(), "cods").unwrap();
        assert_ne!(digest(&mapped), before);
        mapped.inode += 1;
        assert_eq!(digest(&mapped), None);
    }

    #[test]
    fn maps_are_read() {
        let maps = "55e0-55f0 r--p 00000000 fd:01 123 /a b/c\n55f0-5600 rw-p 00000000 00:00 0 [heap]\n";
        let mapped = mapped_at(maps, 0x55e5).unwrap();
        assert_eq!((mapped.device, mapped.inode, mapped.path), ((0xfd, 1), 123, PathBuf::from("/a b/c")));
        assert!(mapped_at(maps, 0x55f0).is_none() && mapped_at(maps, 1).is_none());
    }
}
