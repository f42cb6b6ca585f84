//! Equal tasks become one.

use super::cull::among;
use crate::graph::{Callee, Graph, GraphKey, KeyLinks, Rewrite, Word};
use rustc_hash::FxHashMap;

/// The graph in which tasks of the same function and the same arguments have one key; where the others are among `outputs`, or
/// nothing mentions them, they become aliases, else they go.
///
/// The same are `fn` items and closures without captures as [`crate::graph::op`] tells them, functions registered under one name and version, and blocks of one layer. A
/// closure with captures and an untyped function are like no other, and their tasks are never merged. Arguments are the same if they are keys
/// of equal tasks, equal numbers of one type, equal text, blocks and vectors of numbers of at most 64 KiB with the same
/// content, or lists of the same arguments. Calls that are nested in tasks are compared, and are not taken apart.
///
/// A function whose result does not follow from its arguments must not be called in a graph that this is applied to: asking for it
/// says that none is. That is why [`optimize_graph`](crate::optimize::optimize_graph) merges calls of registered functions only.
///
/// ```text
///   x: 1             y: 1                          x: 1
///   a: (inc, 'x')    b: (inc, 'y')                 a: (inc, 'x')
///   out: (add, 'a', 'b')                           out: (add, 'a', 'a')
/// ```
///
/// ```
/// use chunkstore::{graph::{Graph, call, key}, optimize::common_subexpressions};
/// fn inc(x: i64) -> i64 { x + 1 }
/// fn add(x: i64, y: i64) -> i64 { x + y }
/// let mut g = Graph::new();
/// g.set("x", 1);
/// g.set("y", 1);
/// g.set("a", call(inc, (key("x"),)));
/// g.set("b", call(inc, (key("y"),)));
/// g.set("out", call(add, (key("a"), key("b"))));
/// let h = common_subexpressions(&g, &["out"]);
/// assert_eq!(h.to_string(), "{'x': 1,\n 'a': (inc, 'x'),\n 'out': (add, 'a', 'a')}");
/// let h = common_subexpressions(&g, &["b", "out"]);
/// assert_eq!(h.to_string(), "{'x': 1,\n 'a': (inc, 'x'),\n 'b': 'a',\n 'out': (add, 'a', 'a')}");
/// ```
pub fn common_subexpressions<K: Clone + Into<GraphKey>>(graph: &Graph, outputs: &[K]) -> Graph {
    merge(graph, outputs, |callee| match callee {
        Callee::Function(function) => function.op().is_shared(),
        Callee::Layer(..) => true,
    })
}

/// The same for calls of registered functions and blocks of layers; `None` where there are none.
pub(in crate::optimize) fn registered_subexpressions<K: Clone + Into<GraphKey>>(graph: &Graph, outputs: &[K]) -> Option<Graph> {
    let registered = |callee: &Callee| match callee {
        Callee::Function(function) => function.registered().is_some(),
        Callee::Layer(..) => false,
    };
    graph.program.callees.iter().any(registered).then(|| merge(graph, outputs, registered))
}

fn merge<K: Clone + Into<GraphKey>>(graph: &Graph, outputs: &[K], comparable: impl Fn(&Callee) -> bool) -> Graph {
    let links = KeyLinks::new(graph);
    let users = links.users();
    let outputs = among(graph, &links, outputs);
    let comparable: Vec<bool> = graph.program.callees.iter().map(comparable).collect();
    let literals = literals(graph);
    let mut instead: Vec<u32> = (0..links.len() as u32).collect();
    let mut known = FxHashMap::<Box<[u32]>, u32>::default();
    let mut signature = Vec::new();
    let (order, _) = links.inputs_first(0..links.len() as u32, |_| true);
    for id in order {
        if !graph.id_has_task(id) || !sign(graph.words(id), &instead, &literals, &comparable, &mut signature) {
            continue;
        }
        let same = match graph.alias(id) {
            // An alias is its target, where that is there.
            Some(target) if graph.id_has_task(target) => instead.get(target as usize).copied().unwrap_or(target),
            Some(_) => continue,
            None => match known.get(signature.as_slice()) {
                Some(first) => *first,
                None => {
                    known.insert(signature.as_slice().into(), id);
                    continue;
                }
            },
        };
        if let Some(place) = instead.get_mut(id as usize) {
            *place = same;
        }
    }
    let keep = instead.iter().zip(0..).map(|(instead, id)| {
        let wanted = outputs.get(id as usize).copied().unwrap_or(false) || users.of(id).is_empty();
        *instead == id || wanted
    });
    let keep = keep.collect();
    graph.rewritten(Rewrite { keep, instead, ..Rewrite::nothing(graph) })
}

/// The words of a task with what is the same named the same; whether all can be told.
fn sign(words: &[u32], instead: &[u32], literals: &[u32], comparable: &[bool], signature: &mut Vec<u32>) -> bool {
    signature.clear();
    let mut at = 0;
    while let Some(first) = words.get(at) {
        let word = Word::decode(*first);
        signature.push(match word {
            Word::Key(id) => Word::Key(instead.get(id as usize).copied().unwrap_or(id)).encode(),
            Word::Literal(literal) => Word::Literal(literals.get(literal as usize).copied().unwrap_or(literal)).encode(),
            Word::Step(callee) | Word::Block(callee) if comparable.get(callee as usize) != Some(&true) => return false,
            _ => *first,
        });
        signature.extend_from_slice(words.get(at + 1..at + word.len()).unwrap_or_default());
        at += word.len();
    }
    !words.is_empty()
}

/// For each literal, the first that is the same.
fn literals(graph: &Graph) -> Vec<u32> {
    let mut known = FxHashMap::<Vec<u8>, u32>::default();
    let number = |(value, id): (&crate::graph::Value, u32)| {
        let mut bytes = Vec::new();
        match value.canonical(&mut bytes) {
            true => *known.entry(bytes).or_insert(id),
            false => id,
        }
    };
    graph.program.literals.iter().zip(0..).map(number).collect()
}
