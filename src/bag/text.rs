//! Steps over text, by the names of Python's `str`.

use super::lazy::Bag;
use super::stream::{BoxStream, ENOUGH, Flow, MORE, Stream, TakeSpans};
use super::words;
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
                Ok(text) => self.ready.extend(text.split_whitespace().map(str::to_owned)),
                Err(error) => return Some(Err(error)),
            }
        }
    }

    fn each(&mut self, take: &mut dyn FnMut(String) -> Result<Flow>) -> Result<Flow> {
        self.each_str(&mut |word| take(word.to_owned()))
    }

    fn each_str(&mut self, take: &mut dyn FnMut(&str) -> Result<Flow>) -> Result<Flow> {
        self.each_spans(&mut |text, spans| {
            for (start, len) in spans {
                let word = text.get(*start as usize..(*start + *len) as usize).unwrap_or_default();
                if take(word)?.is_break() {
                    return Ok(ENOUGH);
                }
            }
            Ok(MORE)
        })
    }

    fn each_spans(&mut self, take: &mut TakeSpans<'_>) -> Result<Flow> {
        while let Some(word) = self.ready.pop_front() {
            if take(&word, &[(0, word.len() as u32)])?.is_break() {
                return Ok(ENOUGH);
            }
        }
        let mut spans = Vec::new();
        self.inner.each_run(&mut |text| {
            spans.clear();
            words::spans(text, &mut spans)?;
            if spans.is_empty() { Ok(MORE) } else { take(text, &spans) }
        })
    }

    fn each_run(&mut self, take: &mut dyn FnMut(&str) -> Result<Flow>) -> Result<Flow> {
        self.inner.each_run(take)
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
