//! Values and cheap calls in the tasks that need them, in place of keys.

use super::cull::{among, needed};
use crate::graph::{Graph, GraphKey, KeyLinks, KeyUsers, Op, Rewrite, Word, words_of};

/// A constant of more bytes stays a key of its own: it is counted there.
const LARGE: u64 = 64 << 10;
/// Inlining stops where a graph would grow to more than so many times its words.
const GROWTH: u64 = 16;
/// Words by which every graph may grow.
const ROOM: u64 = 1 << 20;

/// The graph with the tasks of `keys` written into the tasks that mention them; where `constants` is set also literals, lists of
/// literals, and aliases. All keys stay: [`super::cull`] takes away those that nothing mentions any more.
///
/// A call that is inlined is run once for each key that it has been written into, and once more for its own if that is wanted. Literals of more than 64 KiB are inlined only where
/// `keys` has them. Of keys that need each other in a circle not all are inlined; and none is any more where the graph would grow to 16 times its
/// words, and by a million.
///
/// ```text
///   x: 1                                        x: 1
///   y: (inc, 'x')          inline ['y']         y: (inc, 1)
///   z: (add, 'x', 'y')     and constants        z: (add, 1, (inc, 1))
/// ```
///
/// ```
/// use chunkstore::{graph::{Graph, call, key}, optimize::inline};
/// fn inc(x: i64) -> i64 { x + 1 }
/// fn add(x: i64, y: i64) -> i64 { x + y }
/// let mut g = Graph::new();
/// g.set("x", 1);
/// g.set("y", call(inc, (key("x"),)));
/// g.set("z", call(add, (key("x"), key("y"))));
/// let none: [&str; 0] = [];
/// assert_eq!(inline(&g, &none, true).to_string(), "{'x': 1,\n 'y': (inc, 1),\n 'z': (add, 1, 'y')}");
/// assert_eq!(inline(&g, &["y"], true).to_string(), "{'x': 1,\n 'y': (inc, 1),\n 'z': (add, 1, (inc, 1))}");
/// assert_eq!(inline(&g, &["y"], false).to_string(), "{'x': 1,\n 'y': (inc, 'x'),\n 'z': (add, 'x', (inc, 'x'))}");
/// ```
pub fn inline<K: Clone + Into<GraphKey>>(graph: &Graph, keys: &[K], constants: bool) -> Graph {
    let links = KeyLinks::new(graph);
    let mut inline = among(graph, &links, keys);
    if constants {
        for (id, inline) in inline.iter_mut().enumerate() {
            *inline |= is_constant(graph, id as u32);
        }
    }
    let keep = vec![true; links.len()];
    within_growth(graph, &links, &links.users(), &keep, &mut inline);
    graph.rewritten(Rewrite { keep, inline, ..Rewrite::nothing(graph) })
}

/// The graph with cheap calls written into the tasks that mention them: those of which all functions are among `functions`. Their keys
/// go, unless they are among `outputs`, or nothing mentions them; an output keeps its key and stands in its users by that.
///
/// A call that is inlined is run once for each key that it has been written into. The limits are those of [`inline`].
///
/// ```text
///   x: 1                                            x: 1
///   i: (inc, 'x')          inline_functions inc
///   d: (double, 'x')                                d: (double, 'x')
///   out: (add, 'i', 'd')                            out: (add, (inc, 'x'), 'd')
/// ```
///
/// ```
/// use chunkstore::{graph::{Graph, call, key, op}, optimize::inline_functions};
/// fn inc(x: i64) -> i64 { x + 1 }
/// fn double(x: i64) -> i64 { 2 * x }
/// fn add(x: i64, y: i64) -> i64 { x + y }
/// let mut g = Graph::new();
/// g.set("x", 1);
/// g.set("i", call(inc, (key("x"),)));
/// g.set("d", call(double, (key("x"),)));
/// g.set("out", call(add, (key("i"), key("d"))));
/// let h = inline_functions(&g, &["out"], &[op(inc)]);
/// assert_eq!(h.to_string(), "{'x': 1,\n 'd': (double, 'x'),\n 'out': (add, (inc, 'x'), 'd')}");
/// let h = inline_functions(&g, &["i", "out"], &[op(inc), op(double)]);
/// assert_eq!(h.to_string(), "{'x': 1,\n 'i': (inc, 'x'),\n 'out': (add, 'i', (double, 'x'))}");
/// ```
pub fn inline_functions<K: Clone + Into<GraphKey>>(graph: &Graph, outputs: &[K], functions: &[Op]) -> Graph {
    let links = KeyLinks::new(graph);
    let users = links.users();
    let outputs = among(graph, &links, outputs);
    let cheap: Vec<bool> =
        (0..graph.program.callees.len() as u32).map(|callee| graph.program.op(callee).is_some_and(|op| functions.contains(&op))).collect();
    let is_cheap = |id: u32| {
        let mut calls = words_of(graph.words(id)).filter_map(|word| match word {
            Word::Step(callee) | Word::Block(callee) => Some(cheap.get(callee as usize) == Some(&true)),
            _ => None,
        });
        calls.next().is_some_and(|first| first && calls.all(|cheap| cheap))
    };
    let mut inline: Vec<bool> = (0..links.len() as u32)
        .map(|id| !outputs.get(id as usize).is_some_and(|output| *output) && !users.of(id).is_empty() && is_cheap(id))
        .collect();
    within_growth(graph, &links, &users, &[], &mut inline);
    let keep = inline.iter().map(|inline| !inline).collect();
    graph.rewritten(Rewrite { keep, inline, ..Rewrite::nothing(graph) })
}

/// What `keys` need, with constants and aliases inlined, which then go unless they are among `keys`.
pub(in crate::optimize) fn cull_and_inline_constants<K: Clone + Into<GraphKey>>(graph: &Graph, keys: &[K]) -> Graph {
    let links = KeyLinks::new(graph);
    let mut keep = needed(graph, &links, keys);
    let wanted = among(graph, &links, keys);
    let mut inline: Vec<bool> = keep.iter().enumerate().map(|(id, keep)| *keep && is_constant(graph, id as u32)).collect();
    within_growth(graph, &links, &links.users(), &[], &mut inline);
    for (keep, (inline, wanted)) in keep.iter_mut().zip(inline.iter().zip(&wanted)) {
        *keep &= !inline | wanted;
    }
    graph.rewritten(Rewrite { keep, inline, ..Rewrite::nothing(graph) })
}

/// Whether a key's task is an alias, a small literal or a list of these.
fn is_constant(graph: &Graph, id: u32) -> bool {
    let words = graph.words(id);
    if graph.alias(id).is_some() {
        return true;
    }
    let mut bytes = 0u64;
    let literals_only = words_of(words).all(|word| match word {
        Word::Literal(literal) => {
            bytes = bytes.saturating_add(graph.program.literals.get(literal as usize).map_or(0, |value| value.nbytes()));
            true
        }
        Word::Scalar(_) | Word::List(_) => true,
        _ => false,
    });
    literals_only && !words.is_empty() && bytes <= LARGE
}

/// Takes back what would make the graph grow too much, inputs first.
fn within_growth(graph: &Graph, links: &KeyLinks, users: &KeyUsers, keep: &[bool], inline: &mut [bool]) {
    if !inline.contains(&true) {
        return;
    }
    let mut left = (graph.program.words.len() as u64).saturating_mul(GROWTH).saturating_add(ROOM);
    let mut sizes = vec![0u64; links.len()];
    let (order, _) = links.inputs_first(0..links.len() as u32, |_| true);
    for id in order {
        let own = graph.words(id).len() as u64;
        let inlined = links.inputs(id).iter().filter(|input| inline.get(**input as usize) == Some(&true));
        let size = inlined.fold(own, |sum, input| sum.saturating_add(sizes.get(*input as usize).copied().unwrap_or(0)));
        if let Some(place) = sizes.get_mut(id as usize) {
            *place = size;
        }
        let Some(inline @ true) = inline.get_mut(id as usize) else { continue };
        let stays = u64::from(keep.get(id as usize) == Some(&true));
        let copies = (users.of(id).len() as u64 + stays).saturating_sub(1);
        match left.checked_sub(copies.saturating_mul(size)) {
            Some(rest) => left = rest,
            None => *inline = false,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::tests::{add, get, inc, total};
    use super::super::{FuseOptions, cull, fuse};
    use super::*;
    use crate::graph::{call, key, list, op};

    #[test]
    fn a_task_in_several_places_runs_once_for_its_user() {
        let mut g = Graph::new();
        g.set("x", call(inc, (1,)));
        g.set("y", call(add, (key("x"), call(inc, (key("x"),)))));
        g.set("z", call(total, (list![key("y"), key("x"), call(add, (key("y"), key("x")))],)));
        let h = inline(&g, &["x", "y"], true);
        assert_eq!(get::<i64>(&h, "z").unwrap(), get::<i64>(&g, "z").unwrap());
        let calls = words_of(h.words(h.id(&key("z")).unwrap())).filter(|word| matches!(word, Word::Step(_))).count();
        assert_eq!(calls, 5);
        let z = "'z': (total, [(add, (inc, 1), (inc, (inc, ..))), (inc, ..), (add, (add, ..), (inc, ..))])";
        assert!(h.to_string().contains(z), "{h}");
    }

    #[test]
    fn diamonds_do_not_grow_without_end() {
        let mut g = Graph::new();
        g.set(("x", 0), call(inc, (0,)));
        for i in 1..200 {
            g.set(("a", i), call(inc, (key(("x", i - 1)),)));
            g.set(("b", i), call(add, (1, key(("x", i - 1)))));
            g.set(("x", i), call(add, (key(("a", i)), key(("b", i)))));
        }
        g.set("end", key(("x", 40)));
        let h = inline_functions(&g, &["end"], &[op(inc), op(add)]);
        assert!(h.program.words.len() < 2_000_000);
        assert_eq!(get::<i64>(&h, "end").unwrap(), get::<i64>(&g, "end").unwrap());
    }

    #[test]
    fn circles_are_still_told() {
        let mut g = Graph::new();
        g.set("a", call(inc, (key("b"),)));
        g.set("b", call(inc, (key("a"),)));
        g.set("self", key("self"));
        for wanted in ["a", "self"] {
            for h in
                [inline(&g, &["a", "b"], true), inline_functions(&g, &[wanted], &[op(inc)]), fuse(&g, &[wanted], FuseOptions::default())]
            {
                assert!(h.lower(&[key(wanted)]).err().is_some_and(|error| error.to_string().contains("circle")), "{h}");
            }
        }
    }

    #[test]
    fn a_million_tasks_become_one() {
        let n = 1_000_000i64;
        let mut g = Graph::new();
        g.set(("c", 0), 0i64);
        (1..n).for_each(|i| g.set(("c", i), call(inc, (key(("c", i - 1)),))));
        let wanted = [key(("c", n - 1))];
        let h = inline_functions(&g, &wanted, &[op(inc)]);
        assert_eq!(h.len(), 2);
        assert_eq!(get::<i64>(&h, wanted[0].clone()).unwrap(), n - 1);
        let shown = h.to_string();
        assert!(shown.len() > 7_000_000 && shown.ends_with(")}"), "{}", shown.len());
        let all: Vec<GraphKey> = g.keys().skip(1).cloned().collect();
        assert_eq!(cull(&fuse(&cull(&g, &all), &wanted, FuseOptions::default()), &wanted).len(), 1);
    }

    #[test]
    fn large_literals_stay() {
        let mut g = Graph::new();
        g.set("big", ndarray::Array1::<f64>::ones(10_000));
        g.set("sum", call(|v: Vec<f64>| v.iter().sum::<f64>(), (key("big"),)));
        let none: [&str; 0] = [];
        assert!(inline(&g, &none, true).dependencies("sum").contains(&&key("big")));
        let h = inline(&g, &["big"], true);
        assert!(h.dependencies("sum").is_empty());
        assert_eq!(get::<f64>(&h, "sum").unwrap(), 10_000.0);
    }
}
