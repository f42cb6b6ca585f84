//! Text files, line by line: which lines count, and which number each has.

use crate::failure::{Exit, Failure, Result};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;

/// A text file.
pub(crate) struct Text {
    pub(crate) path: PathBuf,
    /// The bytes of the longest line that is read.
    pub(crate) longest: usize,
    /// The lines that begin with this are skipped.
    pub(crate) comment: Option<u8>,
}

/// The lines that were skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Skipped {
    /// Those with nothing but white space.
    pub(crate) blank: u64,
    /// Those that begin with the character for comments.
    pub(crate) comments: u64,
}

impl Text {
    /// Gives every line that is not skipped, without its end, and its number, from 1 on; `each` says whether it wants the next line as it is, because
    /// something goes on there.
    pub(crate) fn lines(&self, mut each: impl FnMut(u64, &[u8]) -> Result<bool>) -> Result<Skipped> {
        let file = File::open(&self.path).map_err(|error| Failure::io("the file cannot be opened", &self.path, &error))?;
        let (mut reader, mut line, mut number, mut skipped) = (BufReader::with_capacity(1 << 20, file), Vec::new(), 0, Skipped::default());
        let mut goes_on = false;
        loop {
            line.clear();
            number += 1;
            let read = (&mut reader).take(self.longest as u64).read_until(b'\n', &mut line);
            if read.map_err(|error| Failure::io("the file cannot be read", &self.path, &error))? == 0 {
                return Ok(skipped);
            }
            if line.len() >= self.longest {
                let message = format!("line {number} is longer than {} bytes [{}]", self.longest, self.path.display());
                return Err(Failure::new(Exit::Failed, message).hint("give more --memory, or write fewer values a line"));
            }
            let line = line.strip_suffix(b"\n").unwrap_or(&line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            // A mark of the order of bytes, which some programs write.
            let line = if number == 1 { line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line) } else { line };
            if !goes_on && line.trim_ascii().is_empty() {
                skipped.blank += 1;
            } else if !goes_on && self.comment.is_some_and(|comment| line.first() == Some(&comment)) {
                skipped.comments += 1;
            } else {
                goes_on = each(number, line)?;
            }
        }
    }

    /// A failure that names the file and a place in it.
    pub(crate) fn wrong(&self, place: impl std::fmt::Display, what: impl std::fmt::Display) -> Failure {
        Failure::new(Exit::No, format!("{place} {what} [{}]", self.path.display()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn lines_keep_their_numbers_and_what_is_skipped_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        std::fs::write(&path, "\u{feff}one\r\n\n  \n# a remark\n\"goes\n\non\"\nlast").unwrap();
        let mut text = Text { path, longest: 100, comment: Some(b'#') };
        let mut lines = Vec::new();
        let skipped = text
            .lines(|number, line| {
                lines.push((number, String::from_utf8(line.to_vec()).unwrap()));
                Ok(number == 5 || number == 6)
            })
            .unwrap();
        let wanted = [(1, "one"), (5, "\"goes"), (6, ""), (7, "on\""), (8, "last")];
        assert_eq!(lines, wanted.map(|(number, line)| (number, line.to_string())));
        assert_eq!(skipped, Skipped { blank: 2, comments: 1 });
        text.longest = 5;
        assert!(text.lines(|_, _| Ok(false)).unwrap_err().to_string().contains("line 1 is longer"));
    }
}
