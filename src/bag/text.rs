//! Steps over text, by the names of Python's `str`.

use super::lazy::Bag;
use super::stream::{BoxStream, ENOUGH, Flow, MORE, Stream};
use crate::Result;
use std::collections::VecDeque;
use std::panic::Location;

/// The methods of text: see [`Bag::str`].
#[derive(Debug, Clone)]
pub struct TextMethods(Bag<String>);

impl Bag<String> {
    /// Steps over text, by the names of Python's `str`. Words and lines go through these without a copy of each.
    ///
    /// ```
    /// use chunkstore::bag;
    /// let lines = bag::from_sequence(["To be,", " or  not"].map(String::from), 1);
    /// assert_eq!(lines.str().lower().str().split_whitespace().compute()?, ["to", "be,", "or", "not"]);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    pub fn str(&self) -> TextMethods {
        TextMethods(self.clone())
    }
}

impl TextMethods {
    /// All words: the longest runs without white space.
    #[track_caller]
    pub fn split_whitespace(&self) -> Bag<String> {
        self.0.plain_step("split_whitespace", &[], Location::caller(), |inner, _| Box::new(Words { inner, ready: VecDeque::new() }))
    }

    /// Lower case, as Unicode has it.
    #[track_caller]
    pub fn lower(&self) -> Bag<String> {
        self.0.plain_step("lower", &[], Location::caller(), |inner, _| Box::new(Rewritten { inner, f: str::to_lowercase }))
    }

    /// Upper case, as Unicode has it.
    #[track_caller]
    pub fn upper(&self) -> Bag<String> {
        self.0.plain_step("upper", &[], Location::caller(), |inner, _| Box::new(Rewritten { inner, f: str::to_uppercase }))
    }

    /// Without white space at both ends.
    #[track_caller]
    pub fn strip(&self) -> Bag<String> {
        self.0
            .plain_step("strip", &[], Location::caller(), |inner, _| Box::new(Rewritten { inner, f: |text: &str| text.trim().to_owned() }))
    }
}

/// Words of texts.
struct Words {
    inner: BoxStream<String>,
    ready: VecDeque<String>,
}

impl Stream<String> for Words {
    fn next(&mut self) -> Option<Result<String>> {
        loop {
            if let Some(word) = self.ready.pop_front() {
                return Some(Ok(word));
            }
            match self.inner.next()? {
                Ok(text) => self.ready.extend(words(&text).map(str::to_owned)),
                Err(error) => return Some(Err(error)),
            }
        }
    }

    fn each(&mut self, take: &mut dyn FnMut(String) -> Result<Flow>) -> Result<Flow> {
        self.each_str(&mut |word| take(word.to_owned()))
    }

    fn each_str(&mut self, take: &mut dyn FnMut(&str) -> Result<Flow>) -> Result<Flow> {
        while let Some(word) = self.ready.pop_front() {
            if take(&word)?.is_break() {
                return Ok(ENOUGH);
            }
        }
        self.inner.each_str(&mut |text| {
            for word in words(text) {
                if take(word)?.is_break() {
                    return Ok(ENOUGH);
                }
            }
            Ok(MORE)
        })
    }
}

/// The words of a text; text of ASCII alone is cut without looking at characters.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let ascii = text.is_ascii();
    let (ascii, unicode) = if ascii { (Some(AsciiWords(text)), None) } else { (None, Some(text.split_whitespace())) };
    ascii.into_iter().flatten().chain(unicode.into_iter().flatten())
}

/// Words of a text of ASCII: white space is what `char::is_whitespace` says it is.
struct AsciiWords<'a>(&'a str);

impl<'a> Iterator for AsciiWords<'a> {
    type Item = &'a str;

    #[inline]
    fn next(&mut self) -> Option<&'a str> {
        let space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
        let bytes = self.0.as_bytes();
        let begin = bytes.iter().position(|byte| !space(byte))?;
        let len = bytes.get(begin..)?.iter().position(space).unwrap_or(bytes.len() - begin);
        let word = self.0.get(begin..begin + len)?;
        self.0 = self.0.get(begin + len..)?;
        Some(word)
    }
}

/// Texts through a function.
struct Rewritten<F> {
    inner: BoxStream<String>,
    f: F,
}

impl<F: Fn(&str) -> String> Stream<String> for Rewritten<F> {
    fn next(&mut self) -> Option<Result<String>> {
        Some(self.inner.next()?.map(|text| (self.f)(&text)))
    }

    fn each(&mut self, take: &mut dyn FnMut(String) -> Result<Flow>) -> Result<Flow> {
        let f = &self.f;
        self.inner.each_str(&mut |text| take(f(text)))
    }
}
