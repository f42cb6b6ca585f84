//! Texts that match a pattern of a shell.

use super::lazy::Bag;
use super::stream::{BoxStream, Flow, MORE, Stream};
use super::text::TextMethods;
use crate::Result;
use std::panic::Location;
use std::sync::Arc;

impl TextMethods {
    /// The texts that match a pattern as a whole, as Python's `fnmatchcase` has it: `*` stands for any text, `?` for any character, `[abc]` and `[a-z]` for any of these,
    /// and `[!abc]` for any other. Dask calls it `match`.
    ///
    /// ```
    /// use chunkstore::bag;
    /// let names = bag::from_sequence(["Alice Smith", "Bob Jones", "Charlie Smith"].map(String::from), 2);
    /// assert_eq!(names.str().matches("*Smith").compute()?, ["Alice Smith", "Charlie Smith"]);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn matches(&self, pattern: impl AsRef<str>) -> Bag<String> {
        let pattern = pattern.as_ref();
        let parts: Arc<[Part]> = parts(pattern).into();
        self.bag().plain_step("matches", pattern.as_bytes(), Location::caller(), move |inner, _| {
            Box::new(Matching { inner, pattern: parts.clone() })
        })
    }
}

/// A part of a pattern.
#[derive(Debug, PartialEq)]
enum Part {
    Any,
    One,
    Char(char),
    /// The ranges, and whether the character is to be in none of them.
    Set(Vec<(char, char)>, bool),
}

fn parts(pattern: &str) -> Vec<Part> {
    let (mut parts, mut rest) = (Vec::new(), pattern);
    while let Some(c) = rest.chars().next() {
        rest = rest.get(c.len_utf8()..).unwrap_or_default();
        parts.push(match c {
            '*' if parts.last() == Some(&Part::Any) => continue,
            '*' => Part::Any,
            '?' => Part::One,
            '[' => match set(rest) {
                Some((set, after)) => {
                    rest = after;
                    set
                }
                // Without its end it is what it is.
                None => Part::Char('['),
            },
            c => Part::Char(c),
        });
    }
    parts
}

/// The set that begins after a `[`, and what comes after it.
fn set(rest: &str) -> Option<(Part, &str)> {
    let (not, rest) = rest.strip_prefix('!').map_or((false, rest), |rest| (true, rest));
    // A `]` that comes first is one of the characters.
    let first = rest.chars().next()?.len_utf8();
    let end = first + rest.get(first..)?.find(']')?;
    let chars: Vec<char> = rest.get(..end)?.chars().collect();
    let (mut ranges, mut left) = (Vec::new(), chars.as_slice());
    while let Some((first, others)) = left.split_first() {
        left = match others {
            ['-', last, others @ ..] => {
                ranges.push((*first, *last));
                others
            }
            others => {
                ranges.push((*first, *first));
                others
            }
        };
    }
    Some((Part::Set(ranges, not), rest.get(end + 1..)?))
}

/// Whether the whole text matches: each `*` takes as little as it can, and a later failure has the last one take one character more.
fn matches(pattern: &[Part], text: &str) -> bool {
    let (mut part, mut rest) = (0, text);
    let mut last: Option<(usize, &str)> = None;
    loop {
        let next = rest.chars().next();
        let hit = match (pattern.get(part), next) {
            (Some(Part::Any), _) => {
                part += 1;
                last = Some((part, rest));
                continue;
            }
            (None, None) => return true,
            (Some(Part::One), Some(_)) => true,
            (Some(Part::Char(c)), Some(next)) => *c == next,
            (Some(Part::Set(ranges, not)), Some(next)) => ranges.iter().any(|(low, high)| (*low..=*high).contains(&next)) != *not,
            _ => false,
        };
        if let (true, Some(next)) = (hit, next) {
            part += 1;
            rest = rest.get(next.len_utf8()..).unwrap_or_default();
            continue;
        }
        let Some((after, begin)) = last else { return false };
        let Some(skipped) = begin.chars().next() else { return false };
        let begin = begin.get(skipped.len_utf8()..).unwrap_or_default();
        last = Some((after, begin));
        (part, rest) = (after, begin);
    }
}

/// The texts that match.
struct Matching {
    inner: BoxStream<String>,
    pattern: Arc<[Part]>,
}

impl Stream<String> for Matching {
    fn next(&mut self) -> Option<Result<String>> {
        loop {
            match self.inner.next()? {
                Ok(text) if !matches(&self.pattern, &text) => {}
                kept => return Some(kept),
            }
        }
    }

    fn each(&mut self, take: &mut dyn FnMut(String) -> Result<Flow>) -> Result<Flow> {
        self.each_str(&mut |text| take(text.to_owned()))
    }

    fn each_str(&mut self, take: &mut dyn FnMut(&str) -> Result<Flow>) -> Result<Flow> {
        let Matching { inner, pattern } = self;
        inner.each_str(&mut |text| if matches(pattern, text) { take(text) } else { Ok(MORE) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_a_shell_has_them() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("**b", "aab", true),
            ("?é?", "aéb", true),
            ("?", "", false),
            ("[a-cx]?", "b1", true),
            ("[!a-c]?", "b1", false),
            ("[]x]", "]", true),
            ("[!]x]", "]", false),
            ("[a-]", "-", true),
            ("[z-a]", "b", false),
            ("[ab", "[ab", true),
            ("*.t[xs]t", "a.txt", true),
            ("*ab*ab", "ababab", true),
        ] {
            assert_eq!(matches(&parts(pattern), text), expected, "{pattern} on {text}");
        }
    }
}
