//! Rust sources as text without comments, literals and tests, and the paths that they name.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A source file.
pub(crate) struct Source {
    /// The file, from the root of the repository: `src/graph/key.rs`.
    pub(crate) path: String,
    /// The module that it is, from the root of its crate: `["graph", "key"]`.
    pub(crate) module: Vec<String>,
    /// The text as it is.
    pub(crate) text: String,
    /// The text with blanks for comments, literals and what is compiled for tests only; lines stay where they are.
    pub(crate) code: String,
}

/// A path that a file names, such as `crate::graph::Key`.
pub(crate) struct Named {
    /// The line, counted from 1.
    pub(crate) line: usize,
    /// The segments, from a crate on: `crate`, `graph`, `Key`.
    pub(crate) segments: Vec<String>,
    /// The name that it gets in this file.
    pub(crate) alias: String,
}

/// All sources under `folder`, which is the root of a crate.
pub(crate) fn sources(root: &Path, folder: &str) -> Vec<Source> {
    let mut files = Vec::new();
    list(&root.join(folder), &mut files);
    files.sort();
    let mut sources: Vec<Source> = files.iter().map(|file| Source::read(root, folder, file)).collect();
    // Files that belong to a module of tests.
    let tests: BTreeSet<Vec<String>> = sources.iter().flat_map(Source::test_modules).collect();
    sources.retain(|source| !tests.iter().any(|test| source.module.starts_with(test)));
    sources
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            list(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

impl Source {
    fn read(root: &Path, folder: &str, file: &Path) -> Source {
        let text = fs::read_to_string(file).unwrap();
        let inside = file.strip_prefix(root.join(folder)).unwrap().with_extension("");
        let mut module: Vec<String> = inside.iter().map(|part| part.to_str().unwrap().to_string()).collect();
        if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
            module.pop();
        }
        let path = file.strip_prefix(root).unwrap().to_str().unwrap().to_string();
        let code = without_tests(without_literals(&text));
        Source { path, module, text, code }
    }

    /// The modules in files of their own that are declared here for tests only.
    fn test_modules(&self) -> Vec<Vec<String>> {
        let code = without_literals(&self.text);
        let declared = test_items(&code).into_iter().filter_map(|(from, to)| {
            let item = code[from..to].strip_suffix(';')?;
            Some(item.rsplit_once("mod ")?.1.trim().to_string())
        });
        declared.map(|name| self.module.iter().cloned().chain([name]).collect()).collect()
    }

    /// The line of a byte of the code, counted from 1.
    pub(crate) fn line(&self, at: usize) -> usize {
        self.code[..at].matches('\n').count() + 1
    }

    /// Where `word` stands in the code as a word of its own.
    pub(crate) fn words(&self, word: &str) -> Vec<usize> {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let found = self.code.match_indices(word).map(|(at, _)| at);
        found.filter(|at| !self.code[..*at].ends_with(is_part) && !self.code[at + word.len()..].starts_with(is_part)).collect()
    }

    /// All paths of two segments and more that the code names, `super` and `self` resolved. `modules` are those of the crate.
    pub(crate) fn paths(&self, modules: &BTreeSet<Vec<String>>) -> Vec<Named> {
        let tokens = tokens(&self.code);
        let mut named = Vec::new();
        let mut module = self.module.clone();
        // Where inline modules begin and end: the depth of braces outside of them.
        let (mut depth, mut inline) = (0, Vec::new());
        let mut at = 0;
        while at < tokens.len() {
            match tokens[at].1 {
                "{" => depth += 1,
                "}" => {
                    depth -= 1;
                    if inline.last() == Some(&depth) {
                        inline.pop();
                        module.pop();
                    }
                }
                "mod" if tokens.get(at + 2).is_some_and(|token| token.1 == "{") => {
                    module.push(tokens[at + 1].1.to_string());
                    inline.push(depth);
                    depth += 1;
                    at += 3;
                    continue;
                }
                "::" => {}
                word if is_word(word) => {
                    let mut found = Vec::new();
                    at = tree(&tokens, at, &[], &mut found);
                    for (at, segments, alias) in found {
                        let segments = resolve(segments, &module, modules);
                        if segments.len() > 1 {
                            named.push(Named { line: self.line(at), segments, alias });
                        }
                    }
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
        named
    }
}

/// The path of a name as it is seen from the crate's root or from outside.
fn resolve(segments: Vec<String>, module: &[String], modules: &BTreeSet<Vec<String>>) -> Vec<String> {
    let first = segments[0].as_str();
    if first == "crate" {
        return segments;
    }
    let mut base = module.to_vec();
    let mut rest = segments.as_slice();
    if first == "super" || first == "self" {
        while let Some(up) = rest.first().filter(|segment| *segment == "super" || *segment == "self") {
            if up == "super" {
                base.pop();
            }
            rest = &rest[1..];
        }
    } else {
        let child: Vec<String> = module.iter().cloned().chain([segments[0].clone()]).collect();
        if !modules.contains(&child) {
            return segments;
        }
    }
    ["crate".to_string()].into_iter().chain(base).chain(rest.iter().cloned()).collect()
}

fn is_word(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// Words, `::` and single other characters, with their places.
fn tokens(code: &str) -> Vec<(usize, &str)> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(c) = code[at..].chars().next() {
        let rest = &code[at..];
        let len = if c.is_alphanumeric() || c == '_' {
            rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            c.len_utf8()
        };
        if !c.is_whitespace() {
            tokens.push((at, &rest[..len]));
        }
        at += len;
    }
    tokens
}

/// Reads a path, or a tree of them as in `use a::{b, c::d}`, from the token `at` on; gives the token after it.
fn tree(tokens: &[(usize, &str)], mut at: usize, prefix: &[String], found: &mut Vec<(usize, Vec<String>, String)>) -> usize {
    let mut path = prefix.to_vec();
    let place = tokens[at].0;
    let text = |at: usize| tokens.get(at).map_or("", |token| token.1);
    loop {
        match text(at) {
            "{" => {
                at += 1;
                while !matches!(text(at), "}" | "") {
                    at = if text(at) == "," { at + 1 } else { tree(tokens, at, &path, found).max(at + 1) };
                }
                return at + 1;
            }
            "*" => {
                path.push("*".to_string());
                at += 1;
                break;
            }
            word if is_word(word) => {
                path.push(word.to_string());
                at += 1;
            }
            _ => break,
        }
        if text(at) != "::" {
            break;
        }
        at += 1;
    }
    let mut alias = path.last().cloned().unwrap_or_default();
    if text(at) == "as" && is_word(text(at + 1)) && text(at + 2) != "::" {
        alias = text(at + 1).to_string();
        at += 2;
    }
    if !path.is_empty() {
        found.push((place, path, alias));
    }
    at
}

/// Blanks for comments, text and characters.
fn without_literals(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let end = if rest.starts_with("//") {
            rest.find('\n').map_or(bytes.len(), |n| at + n)
        } else if rest.starts_with("/*") {
            comment_end(text, at)
        } else if let Some(hashes) = raw_start(text, at) {
            let close = format!("\"{}", "#".repeat(hashes));
            let open = at + rest.find('"').unwrap() + 1;
            text[open..].find(&close).map_or(bytes.len(), |n| open + n + close.len())
        } else if rest.starts_with('"') {
            string_end(bytes, at)
        } else if let Some(end) = character_end(rest) {
            at + end
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
            continue;
        };
        for byte in &mut out[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    String::from_utf8(out).unwrap()
}

fn comment_end(text: &str, from: usize) -> usize {
    let (mut depth, mut at) = (0, from);
    loop {
        match text.as_bytes().get(at..at + 2) {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") => (depth, at) = (depth - 1, at + 2),
            Some(_) => at += 1,
            None => return text.len(),
        }
        if depth == 0 {
            return at;
        }
    }
}

/// The number of `#` where a raw text begins.
fn raw_start(text: &str, at: usize) -> Option<usize> {
    let before = text[..at].chars().next_back();
    if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
        return None;
    }
    let rest = text[at..].strip_prefix("br").or_else(|| text[at..].strip_prefix('r'))?;
    let hashes = rest.len() - rest.trim_start_matches('#').len();
    rest[hashes..].starts_with('"').then_some(hashes)
}

fn string_end(bytes: &[u8], from: usize) -> usize {
    let mut at = from + 1;
    while at < bytes.len() && bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    (at + 1).min(bytes.len())
}

/// The length of a character such as `'x'` or `'\n'`; a lifetime is none.
fn character_end(rest: &str) -> Option<usize> {
    let inside = rest.strip_prefix('\'')?;
    if let Some(escape) = inside.strip_prefix('\\') {
        let first = escape.chars().next()?.len_utf8();
        return Some(2 + first + escape[first..].find('\'')? + 1);
    }
    let c = inside.chars().next()?;
    inside[c.len_utf8()..].starts_with('\'').then_some(2 + c.len_utf8())
}

/// From and to of each item that is compiled for tests only.
fn test_items(code: &str) -> Vec<(usize, usize)> {
    let mut items = Vec::new();
    let mut after = 0;
    for (from, _) in code.match_indices("#[cfg(test)]") {
        if from < after {
            continue;
        }
        let (mut depth, mut to) = (0i32, code.len());
        for (at, c) in code[from..].char_indices() {
            match c {
                '{' | '(' | '[' => depth += 1,
                '}' | ')' | ']' => depth -= 1,
                _ => {}
            }
            if depth == 0 && matches!(c, '}' | ';') {
                to = from + at + 1;
                break;
            }
        }
        items.push((from, to));
        after = to;
    }
    items
}

fn without_tests(code: String) -> String {
    let mut out = code.clone().into_bytes();
    for (from, to) in test_items(&code) {
        for byte in &mut out[from..to] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
    }
    String::from_utf8(out).unwrap()
}

#[test]
fn literals_comments_and_tests_are_left_out() {
    let text = "use a::{b, c::d as e}; // use x::y\nlet s = \"p::q\\\"\"; let r = r#\"m::\"n\"#; 'a: loop {}\nlet c = '\"'; /* g::h /* */ */ i::j();\n\
                #[cfg(test)]\n#[allow(k)]\nmod tests { use l::m; }\nmod n { use super::o::p; } f::<u8>();\n";
    let code = without_tests(without_literals(text));
    let source = Source { path: String::new(), module: vec!["z".into()], text: text.into(), code };
    let paths = source.paths(&BTreeSet::new());
    let shown: Vec<String> = paths.iter().map(|named| format!("{}:{}={}", named.line, named.segments.join("::"), named.alias)).collect();
    assert_eq!(shown, ["1:a::b=b", "1:a::c::d=e", "3:i::j=j", "7:crate::z::o::p=p"]);
}
