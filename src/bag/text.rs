//! Steps over text, by the names of Python's `str`.

use super::lazy::Bag;
use super::pipeline::Item;
use super::stream::{BoxStream, ENOUGH, Flow, MORE, Stream, TakeSpans};
use super::words;
use crate::Result;
use std::collections::VecDeque;
use std::panic::Location;
use std::sync::Arc;

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
    ///
    /// ```
    /// use chunkstore::bag;
    /// let x = bag::from_sequence([" a ".to_string()], 1);
    /// let (both, left, right) = (x.str().strip(), x.str().lstrip(), x.str().rstrip());
    /// assert_eq!(bag::concat(&[&both, &left, &right]).compute()?, ["a", "a ", " a"]);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn strip(&self) -> Bag<String> {
        self.0.plain_step("strip", &[], Location::caller(), |inner, _| Box::new(Trimmed { inner, f: str::trim }))
    }

    /// Without white space at the beginning.
    #[track_caller]
    pub fn lstrip(&self) -> Bag<String> {
        self.0.plain_step("lstrip", &[], Location::caller(), |inner, _| Box::new(Trimmed { inner, f: str::trim_start }))
    }

    /// Without white space at the end.
    #[track_caller]
    pub fn rstrip(&self) -> Bag<String> {
        self.0.plain_step("rstrip", &[], Location::caller(), |inner, _| Box::new(Trimmed { inner, f: str::trim_end }))
    }

    /// With every `from` replaced, from left to right.
    ///
    /// ```
    /// use chunkstore::bag;
    /// let x = bag::from_sequence(["aaa".to_string(), "ba".to_string()], 1);
    /// assert_eq!(x.str().replace("aa", "x").compute()?, ["xa", "ba"]);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn replace(&self, from: impl Into<String>, to: impl Into<String>) -> Bag<String> {
        let (from, to) = (from.into(), to.into());
        let parameters = [&(from.len() as u64).to_le_bytes(), from.as_bytes(), to.as_bytes()].concat();
        self.each("replace", &parameters, Location::caller(), move |text| text.replace(&from, &to))
    }

    /// Whether each text has `part` in it.
    ///
    /// ```
    /// use chunkstore::bag;
    /// let x = bag::from_sequence(["abc".to_string(), "cab".to_string()], 1);
    /// assert_eq!(x.str().contains("ab").compute()?, [true, true]);
    /// assert_eq!(x.str().startswith("ab").compute()?, [true, false]);
    /// assert_eq!(x.str().endswith("ab").compute()?, [false, true]);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn contains(&self, part: impl Into<String>) -> Bag<bool> {
        let part = part.into();
        self.each("contains", &part.clone().into_bytes(), Location::caller(), move |text| {
            memchr::memmem::find(text.as_bytes(), part.as_bytes()).is_some()
        })
    }

    /// Whether each text begins with `part`.
    #[track_caller]
    pub fn startswith(&self, part: impl Into<String>) -> Bag<bool> {
        let part = part.into();
        self.each("startswith", &part.clone().into_bytes(), Location::caller(), move |text| text.starts_with(&*part))
    }

    /// Whether each text ends with `part`.
    #[track_caller]
    pub fn endswith(&self, part: impl Into<String>) -> Bag<bool> {
        let part = part.into();
        self.each("endswith", &part.clone().into_bytes(), Location::caller(), move |text| text.ends_with(&*part))
    }

    /// The number of characters of each text.
    ///
    /// ```
    /// use chunkstore::bag;
    /// assert_eq!(bag::from_sequence(["été".to_string(), String::new()], 1).str().len().compute()?, [3, 0]);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn len(&self) -> Bag<u64> {
        self.each("len", &[], Location::caller(), |text| text.chars().count() as u64)
    }

    pub(super) fn bag(&self) -> &Bag<String> {
        &self.0
    }

    /// What a function of ours makes of each text.
    pub(super) fn each<T: Item>(
        &self,
        name: &'static str,
        parameters: &[u8],
        line: &'static Location<'static>,
        f: impl Fn(&str) -> T + Send + Sync + 'static,
    ) -> Bag<T> {
        let f = Arc::new(f);
        self.0.plain_step(name, parameters, line, move |inner, _| {
            let f = f.clone();
            Box::new(Rewritten { inner, f: move |text: &str| f(text) })
        })
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

impl<T: 'static, F: Fn(&str) -> T> Stream<T> for Rewritten<F> {
    fn next(&mut self) -> Option<Result<T>> {
        Some(self.inner.next()?.map(|text| (self.f)(&text)))
    }

    fn each(&mut self, take: &mut dyn FnMut(T) -> Result<Flow>) -> Result<Flow> {
        let f = &self.f;
        self.inner.each_str(&mut |text| take(f(text)))
    }
}

/// Parts of texts, of which each has one.
struct Trimmed {
    inner: BoxStream<String>,
    f: fn(&str) -> &str,
}

impl Stream<String> for Trimmed {
    fn next(&mut self) -> Option<Result<String>> {
        Some(self.inner.next()?.map(|text| (self.f)(&text).to_owned()))
    }

    fn each(&mut self, take: &mut dyn FnMut(String) -> Result<Flow>) -> Result<Flow> {
        self.each_str(&mut |text| take(text.to_owned()))
    }

    fn each_str(&mut self, take: &mut dyn FnMut(&str) -> Result<Flow>) -> Result<Flow> {
        let f = self.f;
        self.inner.each_str(&mut |text| take(f(text)))
    }
}
