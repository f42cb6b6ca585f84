//! Names with slashes as a tree.

/// The lines of a tree, each the drawing before a part of a name, the part, and which of the names ends there. The names are in
/// order of their parts.
pub(crate) fn tree(names: &[&str], unicode: bool) -> Vec<(String, String, Option<usize>)> {
    let names: Vec<(Vec<&str>, usize)> = names.iter().enumerate().map(|(at, name)| (name.split('/').collect(), at)).collect();
    let mut lines = Vec::new();
    draw(&names, 0, "", if unicode { ["├── ", "└── ", "│   ", "    "] } else { ["|-- ", "`-- ", "|   ", "    "] }, &mut lines);
    lines
}

fn draw(names: &[(Vec<&str>, usize)], depth: usize, before: &str, lines: [&str; 4], out: &mut Vec<(String, String, Option<usize>)>) {
    let groups: Vec<_> = names
        .chunk_by(|a, b| a.0.get(depth) == b.0.get(depth))
        .filter(|group| group.iter().all(|(parts, _)| parts.len() > depth))
        .collect();
    for (at, group) in groups.iter().enumerate() {
        let last = at + 1 == groups.len();
        let [(first, number), ..] = group else { continue };
        let ends = (first.len() == depth + 1).then_some(*number);
        let part = first.get(depth).copied().unwrap_or_default();
        out.push((format!("{before}{}", lines[usize::from(last)]), part.to_string(), ends));
        let below = format!("{before}{}", lines[2 + usize::from(last)]);
        let rest = if ends.is_some() { group.get(1..).unwrap_or_default() } else { group };
        draw(rest, depth + 1, &below, lines, out);
    }
}

/// Orders names part by part, so that what is below a name follows it.
pub(crate) fn by_parts(a: &str, b: &str) -> std::cmp::Ordering {
    a.split('/').cmp(b.split('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_below_a_name_follows_it() {
        let mut names = ["climate/temperature", "a-b", "a", "climate/rain/daily", "a/b/c", "climate/rain", "z"];
        names.sort_by(|a, b| by_parts(a, b));
        let lines: Vec<String> = tree(&names, true)
            .into_iter()
            .map(|(before, part, at)| format!("{before}{part}{}", if at.is_some() { "" } else { "/" }))
            .collect();
        assert_eq!(
            lines,
            [
                "├── a",
                "│   └── b/",
                "│       └── c",
                "├── a-b",
                "├── climate/",
                "│   ├── rain",
                "│   │   └── daily",
                "│   └── temperature",
                "└── z"
            ]
        );
        assert_eq!(tree(&["x/y"], false)[1].0, "    `-- ");
        assert_eq!(tree(&names, true).iter().filter_map(|line| line.2).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 6]);
        assert!(tree(&[], true).is_empty());
    }
}
