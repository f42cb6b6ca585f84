//! What every backend must do.

use super::backend::{Backend, Open};
use crate::{Error, ErrorKind, Result};
use std::path::Path;

/// Checks that `backend` keeps the promises of [`Backend`] and its files, in the existing, empty folder `folder`,
/// which is empty again afterwards.
///
/// # Errors
/// Invalid, naming the promise that is not kept; else the errors of the backend.
pub fn check_backend(backend: &dyn Backend, folder: &Path) -> Result<()> {
    let sub = folder.join("a").join("b");
    promise(backend.create_folder(&sub)? == [folder.join("a"), sub.clone()], "making folders tells which")?;
    promise(backend.create_folder(&sub)?.is_empty(), "folders that exist are not made")?;
    promise(backend.remove_empty_folder(&folder.join("a")).is_err(), "a folder with something in it is not removed as an empty one")?;
    backend.remove_empty_folder(&sub)?;
    promise(backend.create_folder(&sub)? == [sub.clone()], "an empty folder that was removed is gone")?;
    backend.check_folder(&sub)?;
    promise(backend.check_folder(&folder.join("none")).is_err_and(|e| e.kind() == ErrorKind::Unusable), "a missing folder is unusable")?;
    files(backend, &sub)?;
    modes(backend, &sub)?;
    renaming(backend, &sub)?;
    links(backend, &sub)?;
    maps(backend, &sub)?;
    names(backend, &sub)?;
    locks(backend, &sub)?;
    backend.remove_folder(&folder.join("a"))?;
    promise(backend.list(folder)?.is_empty(), "a removed folder is gone")?;
    promise(backend.remove_folder(&folder.join("a")).is_err(), "what is gone cannot be removed")
}

fn files(backend: &dyn Backend, folder: &Path) -> Result<()> {
    let path = folder.join("file");
    promise(backend.open(&path, Open::Existing).is_err(), "a missing file cannot be opened")?;
    let file = backend.open(&path, Open::Create)?;
    promise(file.is_empty()? && file.path() == path, "a new file is empty")?;
    file.write_at(5, b"hello")?;
    promise(file.len()? == 10, "a write grows the file")?;
    let mut bytes = [1; 10];
    file.read_at(0, &mut bytes)?;
    promise(&bytes == b"\0\0\0\0\0hello", "what is written is read, and gaps are 0")?;
    promise(file.read_at(6, &mut bytes).is_err_and(|e| e.kind() == ErrorKind::Truncated), "a read past the end is truncated")?;
    promise(file.read_at(60, &mut bytes[..1]).is_err_and(|e| e.kind() == ErrorKind::Truncated), "a read beyond the end is truncated")?;
    file.write_at(7, b"LL")?;
    file.allocate(100)?;
    file.allocate(50)?;
    promise(file.len()? == 100, "room is made, and never taken away")?;
    let again = backend.open(&path, Open::Existing)?;
    again.read_at(5, &mut bytes)?;
    promise(&bytes == b"heLLo\0\0\0\0\0", "an opened file has its content")?;
    backend.open(&path, Open::Create)?.read_at(5, &mut bytes[..5])?;
    promise(&bytes[..5] == b"heLLo", "making a file that exists keeps it")?;
    file.truncate(7)?;
    file.truncate(9)?;
    again.read_at(5, &mut bytes[..4])?;
    promise(&bytes[..4] == b"he\0\0" && again.len()? == 9, "what is cut off is gone")?;
    file.sync()?;
    backend.remove(&path)?;
    again.read_at(5, &mut bytes[..2])?;
    again.write_at(0, b"still")?;
    promise(&bytes[..2] == b"he", "an open file can be used after its removal")?;
    promise(backend.remove(&path).is_err(), "a removed file cannot be removed")
}

fn modes(backend: &dyn Backend, folder: &Path) -> Result<()> {
    let path = folder.join("modes");
    promise(backend.open(&path, Open::Read).is_err(), "a missing file cannot be opened to be read")?;
    promise(!backend.exists(&path)? && backend.len_of(&path)?.is_none(), "a missing file has no length")?;
    backend.open(&path, Open::New)?.write_at(0, b"new")?;
    promise(backend.open(&path, Open::New).is_err(), "a file that exists cannot be made")?;
    promise(backend.len_of(&path)? == Some(3), "a file has its length")?;
    let file = backend.open(&path, Open::Read)?;
    let mut bytes = [0; 3];
    file.read_at(0, &mut bytes)?;
    promise(&bytes == b"new", "a file opened to be read is read")?;
    promise(file.write_at(0, b"no").is_err() && file.truncate(1).is_err(), "a file opened to be read cannot be written")?;
    file.read_at(0, &mut bytes)?;
    promise(&bytes == b"new" && file.len()? == 3, "a refused write changes nothing")?;
    backend.remove(&path)
}

fn renaming(backend: &dyn Backend, folder: &Path) -> Result<()> {
    let (from, to) = (folder.join("from"), folder.join("to"));
    promise(backend.rename(&from, &to).is_err(), "a missing file cannot be renamed")?;
    let (first, second) = (backend.open(&from, Open::New)?, backend.open(&to, Open::New)?);
    first.write_at(0, b"first")?;
    second.write_at(0, b"second")?;
    backend.rename(&from, &to)?;
    promise(!backend.exists(&from)? && backend.len_of(&to)? == Some(5), "a renamed file replaces the one that had its name")?;
    let mut bytes = [0; 6];
    second.read_at(0, &mut bytes)?;
    promise(&bytes == b"second", "an open file can be used after it lost its name")?;
    first.write_at(5, b"!")?;
    backend.open(&to, Open::Read)?.read_at(0, &mut bytes)?;
    promise(&bytes == b"first!", "an open file can be used after it was renamed")?;
    backend.sync_folder(folder)?;
    promise(backend.sync_folder(&folder.join("none")).is_err(), "a missing folder cannot be synced")?;
    promise(backend.rename(&to, &folder.join("none").join("to")).is_err(), "a file cannot go to a missing folder")?;
    backend.remove(&to)
}

fn links(backend: &dyn Backend, folder: &Path) -> Result<()> {
    let (one, two) = (folder.join("one"), folder.join("two"));
    promise(backend.hard_link(&one, &two).is_err(), "a missing file has no second name")?;
    let file = backend.open(&one, Open::New)?;
    match backend.hard_link(&one, &two) {
        Err(e) if e.kind() == ErrorKind::Unsupported => return backend.remove(&one),
        other => other?,
    }
    promise(backend.hard_link(&one, &two).is_err(), "a second name must be free")?;
    file.write_at(0, b"both")?;
    backend.remove(&one)?;
    let mut bytes = [0; 4];
    backend.open(&two, Open::Read)?.read_at(0, &mut bytes)?;
    promise(&bytes == b"both", "two names are of one file, which lives as long as it has one")?;
    backend.remove(&two)
}

fn maps(backend: &dyn Backend, folder: &Path) -> Result<()> {
    let path = folder.join("map");
    backend.open(&path, Open::New)?.write_at(0, &(0..=255).collect::<Vec<u8>>())?;
    let file = backend.open(&path, Open::Read)?;
    let map = file.map(3, 200)?;
    backend.remove(&path)?;
    if let Some(map) = map {
        promise(map.iter().copied().eq(3..203), "a map has the content, also after the removal of the file")?;
        promise(file.map(200, 57).is_err_and(|e| e.kind() == ErrorKind::Truncated), "a map beyond the end is truncated")?;
        promise(file.map(256, 0)?.is_some_and(|map| map.is_empty()), "a map of nothing is empty")?;
    }
    Ok(())
}

fn names(backend: &dyn Backend, folder: &Path) -> Result<()> {
    for name in ["c", "a", "b"] {
        backend.open(&folder.join(name), Open::Create)?;
    }
    backend.create_folder(&folder.join("d"))?;
    backend.open(&folder.join("d").join("e"), Open::Create)?;
    let want: Vec<_> = ["a", "b", "c", "d"].iter().map(|name| folder.join(name)).collect();
    promise(backend.list(folder)? == want, "a folder lists what is in it, in order of name")
}

fn locks(backend: &dyn Backend, folder: &Path) -> Result<()> {
    let path = folder.join("lock");
    let first = backend.lock(&path)?;
    promise(first.is_some(), "a free lock is taken")?;
    promise(backend.lock(&path)?.is_none(), "a held lock is not taken")?;
    drop(first);
    promise(backend.lock(&path)?.is_some(), "a lock ends when it is dropped")
}

fn promise(kept: bool, what: &str) -> Result<()> {
    match kept {
        true => Ok(()),
        false => Err(Error::new(ErrorKind::Invalid, format!("the backend does not keep this promise: {what}"))),
    }
}
