//! The names of datasets.

use crate::{Error, ErrorKind, Result};

/// The most bytes of a name.
const MOST_BYTES: usize = 1024;

/// Checks that `name` can be the name of a dataset: parts separated by `/`, none of them empty, `.` or `..`, without control
/// characters, at most 1024 bytes together.
///
/// # Errors
/// Invalid, with the reason.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let wrong = |why: &str| {
        let message = format!("{name:?} cannot be the name of a dataset: {why}");
        Err(Error::new(ErrorKind::Invalid, message).hint("a name is like \"era5/t2m\": parts separated by /"))
    };
    if name.is_empty() {
        return wrong("it is empty");
    }
    if name.len() > MOST_BYTES {
        let message = format!("a name of {} bytes is longer than the most, {MOST_BYTES}", name.len());
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    if name.chars().any(char::is_control) {
        return wrong("it has a control character");
    }
    for part in name.split('/') {
        match part {
            "" => return wrong("it has an empty part"),
            "." | ".." => return wrong("a part is . or .."),
            _ => {}
        }
    }
    Ok(())
}

/// What a name begins with, whatever matches the glob `pattern`.
pub(super) fn literal_prefix(pattern: &str) -> &str {
    let end = pattern.find(['*', '?', '[', ']']).unwrap_or(pattern.len());
    pattern.get(..end).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for good in ["a", "a/b", "era5/t2m.v2", "ä ö/…", "...", &"x".repeat(1024)] {
            check_name(good).unwrap();
        }
        for bad in ["", "/", "a/", "/a", "a//b", ".", "a/../b", "a\nb", "a\0", &"x".repeat(1025)] {
            assert_eq!(check_name(bad).unwrap_err().kind(), ErrorKind::Invalid, "{bad:?}");
        }
        assert_eq!((literal_prefix("a/b*"), literal_prefix("abc"), literal_prefix("[a]b")), ("a/b", "abc", ""));
    }
}
