//! Texts cut at a separator, into texts and into lists.

use super::lazy::Bag;
use super::stream::{BoxStream, ENOUGH, Flow, MORE, Stream};
use super::text::TextMethods;
use crate::{Error, ErrorKind, Result};
use std::collections::VecDeque;
use std::panic::Location;
use std::sync::Arc;

impl TextMethods {
    /// What stands between the separators of each text, one after the other: Python's `split`, flattened. [`TextMethods::fields`] gives a list for each text.
    ///
    /// ```
    /// use chunkstore::bag;
    /// let rows = bag::from_sequence(["a,b", "c,,d"].map(String::from), 1);
    /// assert_eq!(rows.str().split(",").compute()?, ["a", "b", "c", "", "d"]);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn split(&self, separator: impl Into<String>) -> Bag<String> {
        self.cut(separator.into(), usize::MAX)
    }

    /// As [`TextMethods::split`], with at most so many cuts in a text: what is left is the last.
    ///
    /// ```
    /// use chunkstore::bag;
    /// let rows = bag::from_sequence(["a,b,c"].map(String::from), 1);
    /// assert_eq!(rows.str().split_n(",", 1).compute()?, ["a", "b,c"]);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn split_n(&self, separator: impl Into<String>, cuts: usize) -> Bag<String> {
        self.cut(separator.into(), cuts)
    }

    #[track_caller]
    fn cut(&self, separator: String, cuts: usize) -> Bag<String> {
        let line = Location::caller();
        let bag = self.bag();
        if let Err(error) = not_empty(&separator) {
            return Bag::at(bag.check().and(Err(error)), line);
        }
        let parameters = [&(cuts as u64).to_le_bytes(), separator.as_bytes()].concat();
        let cut = Cut { separator: separator.into(), cuts };
        bag.plain_step("split", &parameters, line, move |inner, _| Box::new(Pieces { inner, cut: cut.clone(), ready: VecDeque::new() }))
    }

    /// For each text the list of what stands between the separators: Python's `split`.
    ///
    /// ```
    /// use chunkstore::bag;
    /// let rows = bag::from_sequence(["a,b", "c,,d"].map(String::from), 1);
    /// assert_eq!(rows.str().fields(",").compute()?, [vec!["a", "b"], vec!["c", "", "d"]]);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn fields(&self, separator: impl Into<String>) -> Bag<Vec<String>> {
        let (line, separator) = (Location::caller(), separator.into());
        if let Err(error) = not_empty(&separator) {
            return Bag::at(self.bag().check().and(Err(error)), line);
        }
        self.each("fields", &separator.clone().into_bytes(), line, move |text| text.split(&*separator).map(str::to_owned).collect())
    }
}

fn not_empty(separator: &str) -> Result<()> {
    match separator.is_empty() {
        true => Err(Error::new(ErrorKind::Invalid, "an empty separator").hint("`split_whitespace` cuts text into words")),
        false => Ok(()),
    }
}

/// How texts are cut.
#[derive(Clone)]
struct Cut {
    separator: Arc<str>,
    cuts: usize,
}

impl Cut {
    fn of<'a>(&self, text: &'a str) -> impl Iterator<Item = &'a str> + use<'a, '_> {
        text.splitn(self.cuts.saturating_add(1), &*self.separator)
    }
}

/// Pieces of texts.
struct Pieces {
    inner: BoxStream<String>,
    cut: Cut,
    ready: VecDeque<String>,
}

impl Stream<String> for Pieces {
    fn next(&mut self) -> Option<Result<String>> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Some(Ok(piece));
            }
            match self.inner.next()? {
                Ok(text) => self.ready.extend(self.cut.of(&text).map(str::to_owned)),
                Err(error) => return Some(Err(error)),
            }
        }
    }

    fn each(&mut self, take: &mut dyn FnMut(String) -> Result<Flow>) -> Result<Flow> {
        self.each_str(&mut |piece| take(piece.to_owned()))
    }

    fn each_str(&mut self, take: &mut dyn FnMut(&str) -> Result<Flow>) -> Result<Flow> {
        while let Some(piece) = self.ready.pop_front() {
            if take(&piece)?.is_break() {
                return Ok(ENOUGH);
            }
        }
        let Pieces { inner, cut, .. } = self;
        inner.each_str(&mut |text| {
            for piece in cut.of(text) {
                if take(piece)?.is_break() {
                    return Ok(ENOUGH);
                }
            }
            Ok(MORE)
        })
    }
}
