//! Who may use whom: the folders of the repository, and what each may name.
//!
//! ```text
//! tools, tests, benches, examples ---> the public API of chunkstore and chunkstore-store, nothing else
//!
//! array bag frame delayed ---> engine ---> exec ---> plan ---> policy
//!            |                   |  \        |         |          |
//!            |                   |   report  |         |          v
//!            |                   +-> optimize ---------+------> graph ---> chunk types of the store
//!            +------------------------------------------------------^
//! convert ---> several collections                  store ---> nothing of src
//! ```
//! `ARCHITECTURE.md` says why. A breach is printed as `file:line`; what is let through on purpose stands in a list here, with its reason,
//! and an entry that nothing needs any more is a failure too.

#![allow(clippy::unwrap_used)]

mod source;

use source::{Named, Source, sources};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// For each module of `src`, the others that it may use. All may use `error`.
const ARROWS: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("graph", &[]),
    // A package of its own: what it writes are names in the user's program.
    ("macros", &[]),
    ("policy", &["graph"]),
    ("plan", &["policy", "graph"]),
    ("optimize", &["graph"]),
    ("exec", &["plan", "policy", "graph"]),
    ("report", &["exec", "plan", "policy", "graph"]),
    ("collection", &["graph"]),
    ("engine", &["exec", "plan", "policy", "graph", "optimize", "report", "collection"]),
    ("sketch", &[]),
    ("shuffle", &["graph"]),
    ("array", &["engine", "graph", "collection", "sketch", "shuffle"]),
    ("bag", &["engine", "graph", "collection", "sketch", "shuffle"]),
    ("frame", &["engine", "graph", "collection", "sketch", "shuffle"]),
    ("delayed", &["engine", "graph", "collection"]),
    ("convert", &["array", "bag", "frame", "delayed", "engine", "graph", "collection"]),
];

/// What the graph may name of the store: the types of chunks.
const CHUNK_TYPES: &[&str] =
    &["Block", "Bytes", "Chunk", "ChunkHeader", "ChunkKind", "DType", "Element", "Records", "RecordsIter", "Scalar", "Shape"];

/// Modules that name nothing of the store but what is listed.
const STORE: &[(&str, &[&str])] = &[("graph", CHUNK_TYPES), ("policy", &[]), ("plan", &[]), ("optimize", &[]), ("sketch", &[])];

/// Modules that do no input or output.
const PURE: &[&str] = &["graph", "policy", "plan", "optimize", "sketch"];

/// What no pure module names.
const IO: &[&[&str]] = &[
    &["std", "fs"],
    &["std", "io"],
    &["std", "net"],
    &["std", "os"],
    &["std", "process", "Command"],
    &["std", "env"],
    &["rustix"],
    &["libc"],
    &["memmap2"],
    &["indicatif"],
];

/// Modules that hold sizes and no data, and what they do not name for that reason.
const SIZES_ONLY: &[&str] = &["policy", "plan"];
const DATA: &[&str] = &["Value", "Object", "Block", "Buffer", "BufferMut", "Chunk", "Records", "Bytes", "Scalar"];

/// Names that stand in one file although the rules above keep them out of its module: file, name, reason.
const EXCEPTIONS: &[(&str, &str, &str)] = &[
    ("src/graph/allowance.rs", "Booking", "what a task claims beside counted memory is booked until it ends"),
    ("src/graph/allowance.rs", "Ledger", "what a task claims beside counted memory is booked there"),
    ("src/graph/allowance.rs", "trim_heap", "what a task held on the heap is free before its booking ends"),
    ("src/graph/operator.rs", "Arena", "a task's context hands out counted memory"),
    ("src/graph/operator.rs", "BufferMut", "a task's context hands out counted memory"),
    ("src/graph/result.rs", "Buffer", "an array that a function returns becomes a block"),
    ("src/plan/bound.rs", "Arena", "the bound is what the ledger leaves, and bytes are booked as the arena rounds them"),
    ("src/plan/bound.rs", "Chunk", "asks a value for its size, and keeps nothing of it"),
    ("src/plan/bound.rs", "Value", "asks a value for its size, and keeps nothing of it"),
];

/// Libraries that stay in one place, so that they can be replaced there.
const LIBRARIES: &[(&str, &[&str])] = &[
    ("bincode", &["store/src/serial.rs"]),
    ("sled", &["store/src/catalogue"]),
    ("lru", &["store/src/chest/", "store/src/segment/segments.rs"]),
    ("zstd", &["store/src/codec/", "src/bag/compress.rs", "src/bag/decompress.rs"]),
    ("twox_hash", &["store/src/codec/"]),
    ("memmap2", &["store/src/io/map.rs"]),
    ("inventory", &["src/graph/task.rs", "src/lib.rs"]),
    ("syn", &["src/macros/"]),
    ("quote", &["src/macros/"]),
    ("blake3", &["src/graph/key.rs"]),
    ("indicatif", &["src/report/"]),
    ("rayon", &["src/exec/"]),
    ("libm", &["src/array/kernel/"]),
];

/// The files in which `unsafe` may stand.
const UNSAFE: &[&str] = &[
    "src/array/kernel/level.rs",
    "src/array/kernel/number.rs",
    "src/array/npy/writeback.rs",
    "src/array/result.rs",
    "src/engine/init.rs",
    "store/src/buffer.rs",
    "store/src/buffer/mapping.rs",
    "store/src/buffer/shared.rs",
    "store/src/buffer/unique.rs",
    "store/src/chunk/block.rs",
    "store/src/io/map.rs",
    "store/src/io/writeback.rs",
    "store/src/ledger/heap.rs",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A crate's sources and what its root exports.
struct Tree {
    sources: Vec<Source>,
    modules: BTreeSet<Vec<String>>,
    /// What a name at the root stands for: `Engine` for `crate::engine::Engine`.
    exports: BTreeMap<String, Vec<String>>,
}

impl Tree {
    fn new(folder: &str) -> Tree {
        let sources = sources(&root(), folder);
        assert!(!sources.is_empty(), "no sources in {folder}");
        let modules: BTreeSet<Vec<String>> = sources.iter().map(|source| source.module.clone()).collect();
        let mut exports = BTreeMap::new();
        for source in &sources {
            if source.module.is_empty() {
                exports.extend(source.paths(&modules).into_iter().map(|named| (named.alias, named.segments)));
            }
            // Exported macros stand at the root, whatever module they are written in.
            for at in source.words("macro_rules") {
                let exported = source.code[..at].trim_end().ends_with("]") && source.code[..at].contains("#[macro_export]");
                if let (true, Some(name)) = (exported, source.code[at..].split(['!', '{', ' ']).filter(|part| !part.is_empty()).nth(1)) {
                    let path = ["crate".to_string()].into_iter().chain(source.module.iter().cloned()).chain([name.to_string()]);
                    exports.insert(name.to_string(), path.collect());
                }
            }
        }
        Tree { sources, modules, exports }
    }

    /// The paths of a file, with what the root exports followed to where it comes from.
    fn paths(&self, source: &Source) -> Vec<Named> {
        let mut paths = source.paths(&self.modules);
        for named in &mut paths {
            let is_export = named.segments[0] == "crate" && !self.modules.contains(&named.segments[1..2]);
            if let (true, Some(target)) = (is_export, self.exports.get(&named.segments[1])) {
                named.segments.splice(..2, target.iter().cloned());
            }
        }
        paths
    }
}

/// The exceptions and listed files that something needed.
#[derive(Default)]
struct Used(BTreeSet<(String, String)>);

impl Used {
    fn excepted(&mut self, file: &str, name: &str) -> bool {
        let found = EXCEPTIONS.iter().any(|(path, what, _)| *path == file && *what == name);
        if found {
            self.0.insert((file.to_string(), name.to_string()));
        }
        found
    }
}

fn fail_if_any(breaches: &[String]) {
    assert!(breaches.is_empty(), "\n{}\n", breaches.join("\n"));
}

fn names_of<'a>(table: &'a [(&str, &'a [&'a str])], module: &str) -> Option<&'a [&'a str]> {
    table.iter().find(|(name, _)| *name == module).map(|(_, names)| *names)
}

#[test]
fn modules_use_only_what_is_below_them() {
    let tree = Tree::new("src");
    let mut used = Used::default();
    let mut breaches = Vec::new();
    for source in tree.sources.iter().filter(|source| !source.module.is_empty()) {
        let module = source.module[0].as_str();
        let Some(below) = names_of(ARROWS, module) else {
            breaches.push(format!("{}:1: the module {module} is in no row of ARROWS", source.path));
            continue;
        };
        for Named { line, segments, .. } in tree.paths(source) {
            let here = |what: &str| format!("{}:{line}: {module} {what}: {}", source.path, segments.join("::"));
            let last = segments.last().unwrap().as_str();
            if segments[0] == "crate" {
                let target = segments[1].as_str();
                if target != module && target != "error" && !below.contains(&target) {
                    breaches.push(here("may not use this module"));
                }
            }
            if let (true, Some(allowed)) = (segments[0] == "chunkstore_store", names_of(STORE, module)) {
                let name = segments[1].as_str();
                if !allowed.contains(&name) && !used.excepted(&source.path, name) {
                    breaches.push(here("may not use this of the store"));
                }
            }
            let is_data = segments[0] == "chunkstore_store" || segments[1] == "graph";
            if SIZES_ONLY.contains(&module) && is_data && DATA.contains(&last) && !used.excepted(&source.path, last) {
                breaches.push(here("holds sizes, not data"));
            }
            if PURE.contains(&module) && IO.iter().any(|io| segments.iter().zip(*io).filter(|(a, b)| a == b).count() == io.len()) {
                breaches.push(here("does no input or output"));
            }
        }
    }
    for (file, name, _) in EXCEPTIONS {
        if root().join(file).exists() && !used.0.contains(&(file.to_string(), name.to_string())) {
            breaches.push(format!("{file}: the exception for {name} is not needed any more"));
        }
    }
    fail_if_any(&breaches);
}

#[test]
fn the_store_knows_nothing_of_tasks() {
    let tree = Tree::new("store/src");
    let mut breaches = Vec::new();
    for source in &tree.sources {
        for Named { line, segments, .. } in tree.paths(source) {
            if segments[0] == "chunkstore" {
                breaches.push(format!("{}:{line}: {}", source.path, segments.join("::")));
            }
        }
    }
    let manifest = std::fs::read_to_string(root().join("store/Cargo.toml")).unwrap();
    let dependencies = manifest.lines().zip(1..).filter(|(line, _)| line.split([' ', '.', '=']).next() == Some("chunkstore"));
    breaches.extend(dependencies.map(|(_, line)| format!("store/Cargo.toml:{line}: the store depends on the engine")));
    fail_if_any(&breaches);
}

#[test]
fn tools_and_tests_use_the_public_api() {
    let mut breaches = Vec::new();
    for folder in ["tools", "tests", "benches", "examples"] {
        for source in sources(&root(), folder) {
            // A file of the libraries that is taken in by its path would see what is private.
            for word in ["include", "path"] {
                for at in source.words(word) {
                    let after = &source.text[at + word.len()..];
                    let is_macro = word == "include" && after.starts_with('!');
                    let is_attribute = source.code[..at].ends_with("#[") && after.trim_start().starts_with('=');
                    let Some(taken) = after.split('"').nth(1).filter(|_| is_macro || is_attribute) else { continue };
                    let file = root().join(&source.path).with_file_name(taken).canonicalize().unwrap();
                    if ["src", "store/src"].iter().any(|library| file.starts_with(root().join(library))) {
                        breaches.push(format!("{}:{}: takes in {}", source.path, source.line(at), file.display()));
                    }
                }
            }
        }
    }
    fail_if_any(&breaches);
}

#[test]
fn libraries_stay_in_their_place() {
    let mut breaches = Vec::new();
    for folder in ["src", "store/src"] {
        let tree = Tree::new(folder);
        for source in &tree.sources {
            for Named { line, segments, .. } in tree.paths(source) {
                let places = names_of(LIBRARIES, &segments[0]);
                if places.is_some_and(|places| !places.iter().any(|place| source.path.starts_with(place))) {
                    breaches.push(format!("{}:{line}: {} belongs in {:?}", source.path, segments.join("::"), places.unwrap()));
                }
                // The variants of an enum may come in together.
                let is_module = segments[segments.len() - 2].starts_with(|c: char| c.is_lowercase());
                if segments.last().unwrap() == "*" && is_module {
                    breaches.push(format!("{}:{line}: {}: names are imported one by one", source.path, segments.join("::")));
                }
            }
        }
    }
    fail_if_any(&breaches);
}

#[test]
fn unsafe_code_stays_in_its_files_and_says_why() {
    let mut breaches = Vec::new();
    let mut used = BTreeSet::new();
    for folder in ["src", "store/src", "tools", "benches", "examples"] {
        for source in sources(&root(), folder) {
            let path = source.path.as_str();
            let lines: Vec<&str> = source.text.lines().collect();
            for at in source.words("unsafe") {
                used.insert(path.to_string());
                let line = source.line(at);
                // The comment stands over the statement that the word is in.
                let above = &lines[line.saturating_sub(12)..line];
                if !UNSAFE.contains(&path) {
                    breaches.push(format!("{path}:{line}: `unsafe` is not for this file"));
                } else if !above.iter().any(|line| line.contains("SAFETY:") || line.contains("# Safety")) {
                    breaches.push(format!("{path}:{line}: no `// SAFETY:` says why this is sound"));
                }
            }
            if let Some(at) = source.words("unsafe_code").first().filter(|_| !UNSAFE.contains(&path)) {
                breaches.push(format!("{path}:{}: `unsafe_code` is not to be allowed in this file", source.line(*at)));
            }
        }
    }
    let idle = UNSAFE.iter().filter(|file| root().join(file).exists() && !used.contains(**file));
    breaches.extend(idle.map(|file| format!("{file}: has no `unsafe` any more")));
    fail_if_any(&breaches);
}

#[test]
fn the_library_does_not_panic_by_itself() {
    let mut breaches = Vec::new();
    for folder in ["src", "store/src"] {
        for source in sources(&root(), folder) {
            for word in ["todo", "unimplemented", "panic", "dbg", "unwrap", "expect"] {
                for at in source.words(word) {
                    let (before, after) = (&source.code[..at], &source.code[at + word.len()..]);
                    let is_breach = match word {
                        "unwrap" => before.ends_with('.') && after.starts_with("()"),
                        // With a message: the method of `Option` and `Result`.
                        "expect" => before.ends_with('.') && source.text[at + word.len()..].starts_with("(\""),
                        _ => after.starts_with('!'),
                    };
                    if is_breach {
                        breaches.push(format!("{}:{}: `{word}` in library code", source.path, source.line(at)));
                    }
                }
            }
        }
    }
    fail_if_any(&breaches);
}

#[test]
fn every_folder_is_known() {
    let known = ["src", "store", "tests", "benches", "tools", "examples"];
    let hidden = |name: &str| name.starts_with('.') || name == "target";
    let folder =
        |path: &Path| std::fs::read_dir(path).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_dir()).collect::<Vec<_>>();
    let names = folder(&root()).into_iter().map(|entry| entry.file_name().into_string().unwrap());
    let unknown: Vec<String> = names.filter(|name| !hidden(name) && !known.contains(&name.as_str())).collect();
    assert!(unknown.is_empty(), "folders at the root are {known:?}; found {unknown:?}");
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let missing: Vec<String> = ["src", "store/src", "tools"]
        .iter()
        .flat_map(|parent| {
            folder(&root().join(parent)).into_iter().map(move |entry| format!("{parent}/{}", entry.file_name().to_str().unwrap()))
        })
        .filter(|name| !text.contains(&format!("`{name}/`")))
        .collect();
    assert!(missing.is_empty(), "ARCHITECTURE.md does not walk through {missing:?}");
}
