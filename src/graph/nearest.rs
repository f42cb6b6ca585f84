//! Errors for keys that are not there, with the names that may have been meant.

use super::GraphKey;
use super::graph::Graph;
use crate::{Error, ErrorKind};

/// At most so many keys are looked through for near ones.
const SEARCHED: usize = 100_000;

/// The error for a key without a task, which `user` needs.
pub(crate) fn missing(graph: &Graph, key: &GraphKey, user: Option<&GraphKey>) -> Error {
    let needed = user.map(|user| format!(", which {} needs", user.quoted())).unwrap_or_default();
    let error = Error::new(ErrorKind::Graph, format!("the graph has no key {}{needed}", key.quoted()));
    let near = nearest(graph, key, user);
    match near.is_empty() {
        true => error.hint("set it, or pass the text as a literal"),
        false => error.hint(format!("did you mean {}?", near.join(" or "))),
    }
}

/// Up to three keys that are a few letters away from `key`, the nearest first; not `user`, which cannot need itself.
fn nearest(graph: &Graph, key: &GraphKey, user: Option<&GraphKey>) -> Vec<String> {
    let sought: Vec<char> = key.quoted().chars().collect();
    let most = (sought.len() / 3).clamp(1, 4);
    let mut near: Vec<_> = graph
        .keys()
        .take(SEARCHED)
        .filter(|known| Some(*known) != user)
        .filter_map(|known| {
            let name = known.quoted();
            distance(&sought, &name.chars().collect::<Vec<_>>(), most).map(|away| (away, name))
        })
        .collect();
    near.sort_unstable();
    near.truncate(3);
    near.into_iter().map(|(_, name)| name).collect()
}

/// The number of letters to insert, leave out or change, if it is at most `most`.
fn distance(a: &[char], b: &[char], most: usize) -> Option<usize> {
    if a.len().abs_diff(b.len()) > most {
        return None;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut corner = i;
        let mut left = i + 1;
        let mut least = left;
        for (y, above) in b.iter().zip(row.iter_mut().skip(1)) {
            let away = (corner + usize::from(x != y)).min(left + 1).min(*above + 1);
            corner = *above;
            *above = away;
            left = away;
            least = least.min(away);
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
        if least > most {
            return None;
        }
    }
    row.last().copied().filter(|away| *away <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        let away = |a: &str, b: &str| distance(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>(), 3);
        assert_eq!(away("kitten", "sitting"), Some(3));
        assert_eq!(away("mean", "mean"), Some(0));
        assert_eq!(away("", "abc"), Some(3));
        assert_eq!(away("abcd", "wxyz"), None);
    }
}
