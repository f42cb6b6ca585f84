//! Bags written to files of JSON lines.

use super::compress::Out;
use super::compression::Compression;
use super::finite::all_finite;
use super::lazy::Bag;
use super::output::{Format, Target, write};
use super::pipeline::Item;
use super::stream::{BoxStream, MORE};
use crate::{Collected, Collection, Error, ErrorKind, Result};
use std::fmt;
use std::panic::Location;
use std::path::{Path, PathBuf};

impl<T: Item> Bag<T> {
    /// The writing of this bag to files of JSON lines, one for each partition, with an element a line. It happens when it is computed, and gives the paths of the files in the order of partitions.
    /// NaN and infinite numbers, which JSON does not have, are an error (Dask writes them all the same, in a form that other readers refuse).
    /// Paths, compression and what is left where anything fails are those of [`Bag::to_textfiles`]; in a folder, names end in `.jsonl`.
    ///
    /// ```
    /// use chunkstore::{Engine, bag};
    /// # let folder = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
    /// # let folder = folder.path().join("squares");
    /// let engine = Engine::builder().memory("256MiB").build()?;
    /// let paths = engine.compute(&bag::range(5, 2).map(|x| (x, x * x)).to_json_lines(&folder))?;
    /// assert_eq!(std::fs::read_to_string(&paths[0])?, "[0,0]\n[1,1]\n");
    /// assert_eq!(engine.compute(&bag::read_json_lines::<(u64, u64)>(&paths)?)?[4], (4, 16));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[track_caller]
    pub fn to_json_lines(&self, path: impl AsRef<Path>) -> ToJsonLines<T> {
        ToJsonLines { bag: self.clone(), target: Target::new(path.as_ref(), ".jsonl", Location::caller()) }
    }
}

/// Files of JSON lines to be written, as a value to compute: see [`Bag::to_json_lines`].
#[must_use = "the files are written when this is computed"]
pub struct ToJsonLines<T: Item> {
    bag: Bag<T>,
    target: Target,
}

impl<T: Item> Clone for ToJsonLines<T> {
    fn clone(&self) -> Self {
        ToJsonLines { bag: self.bag.clone(), target: self.target.clone() }
    }
}

impl<T: Item> fmt::Debug for ToJsonLines<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ToJsonLines").field("bag", &self.bag).field("target", &self.target).finish_non_exhaustive()
    }
}

impl<T: Item> ToJsonLines<T> {
    /// What stands for the number of a partition in the name of its file, in place of the number with as many digits as the last one has.
    pub fn name_function(mut self, name: impl Fn(usize) -> String + Send + Sync + 'static) -> Self {
        self.target.name_function(name);
        self
    }

    /// How the files are compressed, whatever their names say.
    pub fn compression(mut self, compression: Compression) -> Self {
        self.target.compression(compression);
        self
    }
}

/// An element a line, as JSON.
struct Json;

impl<T: Item> Format<T> for Json {
    fn name(&self) -> &'static str {
        "to_json_lines"
    }

    fn write(&self, _partition: u32, mut rows: BoxStream<T>, out: &mut Out) -> Result<()> {
        rows.each(&mut |item| {
            let name = std::any::type_name::<T>;
            if let Err(e) = all_finite(&item) {
                let error = || Error::new(ErrorKind::Invalid, format!("a {} cannot be written as JSON: {e}", name()));
                return Err(out.failure(|| error().hint("filter such elements out, or map the numbers to options of which they are none")));
            }
            if let Err(e) = serde_json::to_writer(&mut *out, &item) {
                return Err(out.failure(|| Error::new(ErrorKind::Invalid, format!("a {} cannot be written as JSON: {e}", name()))));
            }
            out.push(b"\n")?;
            Ok(MORE)
        })?;
        Ok(())
    }
}

impl<T: Item> Collection for ToJsonLines<T> {
    type Output = Vec<PathBuf>;

    fn collect(&self) -> Result<Collected<Vec<PathBuf>>> {
        write(&self.bag, &self.target, Json)
    }
}
