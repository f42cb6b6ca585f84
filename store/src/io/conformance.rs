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
