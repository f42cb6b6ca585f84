//! Only what is wanted.

use crate::graph::{Graph, GraphKey, KeyLinks, Rewrite};

/// The graph with only what `keys` need.
///
/// Keys that have no task are left out without a word; what needs one that has none still says so when it is run.
///
/// ```text
///   x --> y --> out                 x --> y --> out
///   |                    cull out
///   '---> z --> other    ------->
/// ```
///
/// ```
/// use chunkstore::{graph::{Graph, call, key}, optimize::cull};
/// fn inc(x: i64) -> i64 { x + 1 }
/// fn add(x: i64, y: i64) -> i64 { x + y }
/// let mut g = Graph::new();
/// g.set("x", 1);
/// g.set("y", call(inc, (key("x"),)));
/// g.set("z", call(add, (key("x"), 10)));
/// g.set("out", call(add, (key("y"), 10)));
/// assert_eq!(cull(&g, &["out"]).to_string(), "{'x': 1,\n 'y': (inc, 'x'),\n 'out': (add, 'y', 10)}");
/// assert!(cull(&g, &["out"]).dependencies("out").contains(&&key("y")));
/// ```
pub fn cull<K: Clone + Into<GraphKey>>(graph: &Graph, keys: &[K]) -> Graph {
    graph.rewritten(Rewrite { keep: needed(graph, &KeyLinks::new(graph), keys), ..Rewrite::nothing(graph) })
}

/// For each key by number, whether `keys` need it.
pub(super) fn needed<K: Clone + Into<GraphKey>>(graph: &Graph, links: &KeyLinks, keys: &[K]) -> Vec<bool> {
    let mut needed = vec![false; links.len()];
    let mut stack: Vec<u32> = ids(graph, keys).collect();
    while let Some(id) = stack.pop() {
        if let Some(needed @ false) = needed.get_mut(id as usize) {
            *needed = true;
            stack.extend_from_slice(links.inputs(id));
        }
    }
    needed
}

/// The numbers of those of `keys` that have a task.
pub(super) fn ids<K: Clone + Into<GraphKey>>(graph: &Graph, keys: &[K]) -> impl Iterator<Item = u32> {
    keys.iter().filter_map(|key| graph.id(&key.clone().into()))
}

/// For each key by number, whether it is one of `keys`.
pub(super) fn among<K: Clone + Into<GraphKey>>(graph: &Graph, links: &KeyLinks, keys: &[K]) -> Vec<bool> {
    let mut among = vec![false; links.len()];
    for id in ids(graph, keys) {
        if let Some(place) = among.get_mut(id as usize) {
            *place = true;
        }
    }
    among
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{call, key};

    #[test]
    fn what_is_wrong_and_not_needed_goes_and_the_rest_stays() {
        let mut g = Graph::new();
        g.set("x", call(|x: i64| x, (key("nowhere"),)));
        g.set("a", key("b"));
        g.set("b", key("a"));
        assert_eq!(cull(&g, &["x"]).to_string().lines().count(), 1);
        assert!(cull(&g, &["x"]).lower(&[key("x")]).err().is_some_and(|error| error.to_string().contains("no key 'nowhere', which 'x'")));
        assert!(cull(&g, &["a"]).lower(&[key("a")]).err().is_some_and(|error| error.to_string().contains("circle")));
        assert!(cull(&g, &["none"]).is_empty());
    }

    #[test]
    fn literals_that_nobody_needs_are_given_back() {
        let shared = std::sync::Arc::new(vec![0u8; 100]);
        let mut g = Graph::new();
        g.set("big", shared.clone());
        g.set("x", 1);
        let culled = cull(&g, &["x"]);
        drop(g);
        assert_eq!((culled.len(), std::sync::Arc::strong_count(&shared)), (1, 1));
    }

    #[test]
    fn more_tasks_can_be_added() {
        fn inc(x: i64) -> i64 {
            x + 1
        }
        let mut g = Graph::new();
        g.set("unused", call(|| 1i64, ()));
        g.set("x", call(inc, (1,)));
        let mut culled = cull(&g, &["x"]);
        culled.set("y", call(inc, (key("x"),)));
        assert_eq!(culled.functions().len(), 1);
        assert_eq!(culled.program.callees.len(), 1);
    }
}
