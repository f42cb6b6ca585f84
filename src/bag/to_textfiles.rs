//! Bags of text, written to text files.

use super::compress::Out;
use super::compression::Compression;
use super::lazy::Bag;
use super::output::{Format, Target, write};
use super::stream::{BoxStream, MORE};
use crate::{Collected, Collection, Result};
use std::panic::Location;
use std::path::{Path, PathBuf};

impl Bag<String> {
    /// The writing of this bag to text files, one for each partition, with an element a line. It happens when it is computed, and gives the paths of the files in the order of partitions.
    ///
    /// `path` is that of a folder, in which the files are `0.part`, `1.part` and so on, or has one `*` in its last name, in whose place the number of the
    /// partition comes. Names that end in `.gz`, `.zst`, `.bz2` or `.xz` are compressed. Files have their names once all of them are whole and on disk, in place of those that had them; where
    /// anything fails before, nothing is left behind.
    ///
    /// ```
    /// use chunkstore::{Engine, bag};
    /// # let folder = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
    /// # let folder = folder.path();
    /// let engine = Engine::builder().memory("256MiB").build()?;
    /// let lines = bag::from_sequence(["to be", "or not", "to be"].map(String::from), 2);
    /// let paths = engine.compute(&lines.to_textfiles(folder.join("out-*.txt.gz")))?;
    /// assert_eq!(paths, ["out-0.txt.gz", "out-1.txt.gz"].map(|name| folder.join(name)));
    /// assert_eq!(engine.compute(&bag::read_text(&paths)?)?, ["to be", "or not", "to be"]);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn to_textfiles(&self, path: impl AsRef<Path>) -> ToTextFiles {
        ToTextFiles { bag: self.clone(), target: Target::new(path.as_ref(), ".part", Location::caller()), last_endline: false }
    }
}

/// Text files to be written, as a value to compute: see [`Bag::to_textfiles`].
#[derive(Clone, Debug)]
#[must_use = "the files are written when this is computed"]
pub struct ToTextFiles {
    bag: Bag<String>,
    target: Target,
    last_endline: bool,
}

impl ToTextFiles {
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

    /// Whether the last line of each file ends with `\n`, as all others do. It does not, where nothing is said.
    pub fn last_endline(mut self, last_endline: bool) -> Self {
        self.last_endline = last_endline;
        self
    }
}

/// An element a line.
struct Text {
    last_endline: bool,
}

impl Format<String> for Text {
    fn name(&self) -> &'static str {
        "to_textfiles"
    }

    fn write(&self, _partition: u32, mut rows: BoxStream<String>, out: &mut Out) -> Result<()> {
        let mut first = true;
        rows.each_str(&mut |text| {
            if !std::mem::take(&mut first) {
                out.push(b"\n")?;
            }
            out.push(text.as_bytes())?;
            Ok(MORE)
        })?;
        if self.last_endline { out.push(b"\n") } else { Ok(()) }
    }
}

impl Collection for ToTextFiles {
    type Output = Vec<PathBuf>;

    fn collect(&self) -> Result<Collected<Vec<PathBuf>>> {
        write(&self.bag, &self.target, Text { last_endline: self.last_endline })
    }
}
