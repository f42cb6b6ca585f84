//! Graphs as users write them: keys that map to tasks.

use super::call::IntoTask;
use super::function::{Callee, Op};
use super::program::Program;
use super::{GraphKey, LayerRef, Picked};
use rustc_hash::FxHashSet;
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
    defined: usize,
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
    /// The keys that the task mentions may be set later. Delayed values and arrays among its arguments are brought into the graph with all that they
    /// need.
    pub fn set(&mut self, key: impl Into<GraphKey>, task: impl IntoTask) {
        let key = key.into();
        self.put(key, |program| task.encode(program));
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
