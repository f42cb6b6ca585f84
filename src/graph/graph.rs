//! Graphs as users write them: keys that map to tasks.

use super::call::IntoTask;
use super::function::{Callee, Op};
use super::program::Program;
use super::word::Word;
use super::{Annotations, GraphKey, LayerRef, Picked};
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::Arc;

/// The span of a key that is mentioned, but has no task.
pub(crate) const NOWHERE: (u32, u32) = (u32::MAX, u32::MAX);

/// A graph: keys map to tasks; a task is a function and arguments; an argument is a key, a literal, a nested task, or a
/// list of these.
///
/// `SPEC.md` in the folder of this module says what a graph means. A graph is printed as a dictionary, keys in single quotes and texts
/// in double quotes.
///
/// ```
/// use chunkstore::graph::{Graph, call, key, list};
/// fn add(a: i64, b: i64) -> i64 { a + b }
/// fn total(xs: Vec<i64>) -> i64 { xs.iter().sum() }
/// let mut g = Graph::new();
/// g.set("x", call(add, (2, 3)));
/// g.set("y", call(add, (2, key("x"))));
/// g.set("z", call(total, (list![key("x"), 4, call(add, (1, key("y")))],)));
/// g.set("a", key("z"));
/// g.set("n", 5);
/// g.set(("block", 0, 3), call(add, (key("n"), key("a"))));
/// assert_eq!(g.len(), 6);
/// ```
#[derive(Clone, Default)]
pub struct Graph {
    pub(crate) program: Program,
    /// For each key, where its task's words begin and end.
    pub(crate) spans: Vec<(u32, u32)>,
    pub(crate) defined: usize,
    /// What is said of the tasks of some keys.
    said: FxHashMap<u32, Said>,
}

/// What is said of a task: how often it is tried again, and its place among others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) retries: u32,
    pub(crate) priority: i32,
}

/// A function that a graph calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FunctionKind {
    /// Registered by name, with parameters that are bytes: it can run in any process of the same program.
    Portable {
        /// The name under which it is registered.
        name: String,
        /// Its version.
        version: u32,
    },
    /// Known to this process only, as long as it runs.
    Closure {
        /// Its name, as far as it has one.
        name: String,
    },
}

impl Graph {
    /// A graph without keys.
    pub fn new() -> Self {
        Graph::default()
    }

    /// Maps `key` to `task`: a call, a literal, another key (an alias), or a list. A task that the key had before is replaced.
    ///
    /// What [`annotate`](super::annotate) says of retries and priority holds for the task, and stays with it where keys are inlined or fused: the most of
    /// what is said of those that become one.
    ///
    /// The keys that the task mentions may be set later. Delayed values and arrays among its arguments are brought into the graph with all that they
    /// need.
    pub fn set(&mut self, key: impl Into<GraphKey>, task: impl IntoTask) {
        let (key, here) = (key.into(), Annotations::here());
        let said = Said { retries: here.retries.unwrap_or(0), priority: here.priority.unwrap_or(0) };
        self.put(key.clone(), |program| task.encode(program));
        if let Some(id) = self.program.keys.find(&key) {
            self.say(id, said);
        }
    }

    /// What is said of the task of a key.
    pub(crate) fn said(&self, id: u32) -> Said {
        if self.said.is_empty() { Said::default() } else { self.said.get(&id).copied().unwrap_or_default() }
    }

    /// Says something of the task of a key, in place of what was said before.
    pub(crate) fn say(&mut self, id: u32, said: Said) {
        match said == Said::default() {
            true if self.said.is_empty() => {}
            true => drop(self.said.remove(&id)),
            false => drop(self.said.insert(id, said)),
        }
    }

    pub(crate) fn put(&mut self, key: GraphKey, write: impl FnOnce(&mut Program)) {
        let id = self.program.keys.intern(key) as usize;
        let span = self.program.task(write);
        let keys = self.program.keys.len();
        if self.spans.len() < keys {
            self.spans.resize(keys, NOWHERE);
        }
        if let Some(place) = self.spans.get_mut(id) {
            self.defined += usize::from(*place == NOWHERE);
            *place = span;
        }
        if !self.program.brought.is_empty() {
            let brought = std::mem::take(&mut self.program.brought);
            super::from_layers::add_layers(self, &[Arc::new(Picked::values(brought))]);
        }
    }

    /// The number of keys that have a task.
    pub fn len(&self) -> usize {
        self.defined
    }

    /// Whether no key has a task.
    pub fn is_empty(&self) -> bool {
        self.defined == 0
    }

    /// Whether `key` has a task.
    pub fn contains(&self, key: impl Into<GraphKey>) -> bool {
        self.program.keys.find(&key.into()).is_some_and(|id| self.span(id) != NOWHERE)
    }

    /// The keys that have a task, in the order in which they were first mentioned.
    pub fn keys(&self) -> impl Iterator<Item = &GraphKey> {
        self.program.keys.keys().iter().zip(&self.spans).filter(|(_, span)| **span != NOWHERE).map(|(key, _)| key)
    }

    /// The keys that the task of `key` mentions, each once, in the order in which it does; none where `key` has no task.
    ///
    /// ```
    /// use chunkstore::graph::{Graph, call, key, list};
    /// let mut g = Graph::new();
    /// g.set("z", call(|xs: Vec<i64>| xs.len(), (list![key("x"), 4, key("y"), key("x")],)));
    /// assert_eq!(g.dependencies("z"), [&key("x"), &key("y")]);
    /// ```
    pub fn dependencies(&self, key: impl Into<GraphKey>) -> Vec<&GraphKey> {
        let words = self.program.keys.find(&key.into()).map(|id| self.words(id)).unwrap_or_default();
        let mut seen = FxHashSet::default();
        let ids = words_of(words).filter_map(|word| if let Word::Key(id) = word { Some(id) } else { None });
        ids.filter(|id| seen.insert(*id)).filter_map(|id| self.program.keys.key(id)).collect()
    }

    /// The number of `key`, if it has a task.
    pub(crate) fn id(&self, key: &GraphKey) -> Option<u32> {
        self.program.keys.find(key).filter(|id| self.span(*id) != NOWHERE)
    }

    /// Whether the key of a number has a task.
    pub(crate) fn id_has_task(&self, id: u32) -> bool {
        self.span(id) != NOWHERE
    }

    /// What a key stands for, if its task is an alias.
    pub(crate) fn alias(&self, id: u32) -> Option<u32> {
        match *self.words(id) {
            [word] => match Word::decode(word) {
                Word::Key(target) => Some(target),
                _ => None,
            },
            _ => None,
        }
    }

    pub(crate) fn span(&self, id: u32) -> (u32, u32) {
        self.spans.get(id as usize).copied().unwrap_or(NOWHERE)
    }

    /// The words of a task.
    pub(crate) fn words(&self, id: u32) -> &[u32] {
        let (start, end) = self.span(id);
        self.program.words.get(start as usize..end as usize).unwrap_or_default()
    }

    /// The functions that the graph's tasks call, each once.
    pub fn functions(&self) -> Vec<FunctionKind> {
        let mut seen = FxHashSet::<Op>::default();
        let new = (0..self.program.callees.len() as u32).filter(|c| self.program.op(*c).is_none_or(|op| seen.insert(op)));
        new.filter_map(|callee| self.program.callees.get(callee as usize)).map(kind).collect()
    }

    /// A graph of the same tasks with every collection's block named by its layer and place: the graph that a collection stands for, with a key
    /// `('mean-1f2e3d4c', i, j)` for each block that the blocks of `layers` need.
    ///
    /// Its values are those that the layers give: each task runs the layer's operator.
    pub fn from_layers(layers: &[LayerRef]) -> Self {
        super::from_layers::from_layers(layers)
    }
}

/// What the words of a task say, one after the other, those of arguments and elements among them.
pub(crate) fn words_of(words: &[u32]) -> impl Iterator<Item = Word> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let word = Word::decode(*words.get(at)?);
        at += word.len();
        Some(word)
    })
}

fn kind(callee: &Callee) -> FunctionKind {
    match callee {
        Callee::Function(function) => match function.registered() {
            Some((name, version)) => FunctionKind::Portable { name: name.into(), version },
            None => FunctionKind::Closure { name: function.name().into() },
        },
        Callee::Layer(_, operator) => match operator.parameters() {
            Some(_) => FunctionKind::Portable { name: operator.name().into(), version: operator.version() },
            None => FunctionKind::Closure { name: operator.name().into() },
        },
    }
}
