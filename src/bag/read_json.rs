//! Bags of the records in files of JSON lines.

use super::files::Paths;
use super::lazy::Bag;
use super::lines::{Line, Parse};
use super::pipeline::Item;
use super::read_text::TextFiles;
use crate::graph::{Key, KeyBuilder};
use crate::{Error, ErrorKind, Result};

/// The bytes of a line that an error shows.
const SHOWN: usize = 60;

/// The records in files of JSON lines: one JSON value a line, each read as a `T`. Blank lines are passed over. For files that are compressed in a way that their names do not say, in other encodings or to be
/// cut in another way there is [`TextFiles::read_json_lines`].
///
/// # Errors
/// NotFound where there is no such file; those of the file system. A line that is no JSON, or no `T`, is found when it is read, by an error that names file, byte and line.
///
/// ```
/// use chunkstore::bag;
/// # let folder = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
/// # let path = folder.path().join("a.jsonl");
/// std::fs::write(&path, "{\"user\": \"a\", \"n\": 1}\n\n{\"user\": \"b\", \"n\": 2}\n")?;
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Event {
///     user: String,
///     n: u64,
/// }
/// assert_eq!(bag::read_json_lines::<Event>(&path)?.map(|event| event.n).sum().compute()?, 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[track_caller]
pub fn read_json_lines<T: Item>(paths: impl Paths) -> Result<Bag<T>> {
    TextFiles::new(paths).read_json_lines()
}

impl TextFiles {
    /// The records that the lines are, as JSON.
    ///
    /// # Errors
    /// As for [`read_json_lines`].
    ///
    /// ```
    /// use chunkstore::bag::TextFiles;
    /// # let folder = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
    /// # let path = folder.path().join("a.jsonl");
    /// std::fs::write(&path, "[1, \"a\"]\n[2, \"b\"]\n[2.5, \"c\"]\n")?;
    /// let records = TextFiles::new(&path).blocksize(9).read_json_lines::<(u32, String)>()?;
    /// assert_eq!(records.npartitions()?, 2);
    /// let error = records.compute().unwrap_err();
    /// assert!(error.to_string().contains("the line at byte 18 of the file"), "{error}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn read_json_lines<T: Item>(self) -> Result<Bag<T>> {
        self.parsed(Json)
    }
}

/// Each line that is not blank, as JSON.
struct Json;

impl<T: Item> Parse<T> for Json {
    fn name(&self) -> &str {
        "read_json_lines"
    }

    fn key(&self) -> Key {
        KeyBuilder::new("bag.read_json_lines", 1).text(std::any::type_name::<T>()).finish()
    }

    fn parse(&self, line: Line<'_>) -> Result<Option<T>> {
        if line.bytes.trim_ascii().is_empty() {
            return Ok(None);
        }
        let parsed = match (line.known, line.coding.is_plain()) {
            (Some(text), _) => serde_json::from_str(text),
            (None, true) => serde_json::from_slice(line.bytes),
            (None, false) => serde_json::from_str(&line.text()?),
        };
        parsed.map(Some).map_err(|e| wrong::<T>(line, &e))
    }
}

/// That a line is no JSON, or no `T`.
#[cold]
fn wrong<T>(line: Line<'_>, error: &serde_json::Error) -> Error {
    let what = error.to_string();
    // The place in the line is told as one in the file.
    let what = what.split(" at line ").next().unwrap_or_default();
    let at = line.offset + (error.column() as u64).saturating_sub(1);
    let cut = line.bytes.get(..SHOWN).unwrap_or(line.bytes);
    let more = if cut.len() < line.bytes.len() { ".." } else { "" };
    let (kind, expected) = match error.is_data() {
        true => (ErrorKind::Type, std::any::type_name::<T>()),
        false => (ErrorKind::Corrupt, "JSON"),
    };
    let place = format!("the line at byte {} of the file is no {expected}: {what} at byte {at} of the file", line.offset);
    Error::new(kind, format!("{place}, in `{}{more}`", String::from_utf8_lossy(cut))).at(line.path)
}
