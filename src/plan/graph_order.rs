//! The order of a user's graph by key, and what it holds on the way.

use super::{Cost, Shape, choose, peak};
use crate::Result;
use crate::graph::{Graph, GraphKey, KeyLinks};
use rustc_hash::FxHashMap;

/// One key of an [`Order`], and what happens around its run when one task runs at a time. What is held is counted in outputs: each from its run on until its last
/// user has run; one that nothing uses is not held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OrderInfo {
    /// The key.
    pub key: GraphKey,
    /// Its place in the order, from 0.
    pub priority: u32,
    /// How many tasks run from it on until its output is dropped.
    pub age: u32,
    /// The outputs that are held when it runs.
    pub held_when_run: u32,
    /// The outputs that were held when the task ran that was the last to use its output.
    pub held_when_released: u32,
    /// The outputs that are dropped when it has run.
    pub freed: u32,
}

/// The order of a graph's keys: see [`order`].
#[derive(Clone, Debug)]
pub struct Order {
    infos: Vec<OrderInfo>,
    places: FxHashMap<GraphKey, u32>,
}

/// The order in which to run what `keys` need, with few outputs held at a time: the best of the planner's orders, among them that of Dask, where each output
/// counts the same. An engine plans by bytes instead, and anew for each run.
///
/// An alias has the priority of what it stands for.
///
/// # Errors
/// A graph error where a key has no task or tasks need each other in a circle.
///
/// ```text
///   a0   b0        Depth first, two outputs are held at most; the four first
///   |    |         would be held all at once if all of the first row ran first.
///   a1   b1
///    \  /
///     c
/// ```
///
/// ```
/// use chunkstore::{graph::{Graph, call, key}, plan::order};
/// fn inc(x: i64) -> i64 { x + 1 }
/// fn add(x: i64, y: i64) -> i64 { x + y }
/// let mut g = Graph::new();
/// g.set("c", call(add, (key("a1"), key("b1"))));
/// g.set("a1", call(inc, (key("a0"),)));
/// g.set("b1", call(inc, (key("b0"),)));
/// g.set("a0", call(inc, (1,)));
/// g.set("b0", call(inc, (2,)));
/// let order = order(&g, &["c"])?;
/// assert_eq!(order.priority("c"), Some(4));
/// assert_eq!(order.priority("a1").unwrap(), order.priority("a0").unwrap() + 1);
/// assert_eq!(order.pressure().max(), Some(2));
/// assert_eq!(order.infos()[4].freed, 2);
/// # Ok::<(), chunkstore::Error>(())
/// ```
pub fn order<K: Clone + Into<GraphKey>>(graph: &Graph, keys: &[K]) -> Result<Order> {
    let keys: Vec<GraphKey> = keys.iter().cloned().map(Into::into).collect();
    // Whatever is wrong with the graph is said there.
    graph.lower(&keys)?;
    let links = KeyLinks::new(graph);
    let (ids, _) = links.inputs_first(keys.iter().filter_map(|key| graph.id(key)), |_| true);
    // Keys to numbers of tasks, inputs first; an alias has its target's.
    let mut task_of = vec![u32::MAX; links.len()];
    let (mut names, mut aliases) = (Vec::new(), Vec::new());
    let (mut input_start, mut inputs) = (vec![0], Vec::new());
    for id in ids {
        let of = |id: u32| task_of.get(id as usize).copied().unwrap_or(u32::MAX);
        let Some(name) = graph.program.keys.key(id) else { continue };
        let task = match graph.alias(id) {
            Some(target) => {
                aliases.push((name.clone(), of(target)));
                of(target)
            }
            None => {
                let first = inputs.len();
                inputs.extend(links.inputs(id).iter().map(|input| of(*input)));
                if let Some(own) = inputs.get_mut(first..) {
                    own.sort_unstable();
                }
                // An alias and its target may both be inputs.
                let mut kept = first;
                for at in first..inputs.len() {
                    if at == first || inputs.get(at) != inputs.get(kept - 1) {
                        inputs.swap(at, kept);
                        kept += 1;
                    }
                }
                inputs.truncate(kept);
                input_start.push(inputs.len() as u32);
                names.push(name.clone());
                names.len() as u32 - 1
            }
        };
        if let Some(place) = task_of.get_mut(id as usize) {
            *place = task;
        }
    }
    let out = vec![1; names.len()];
    let shape = Shape { input_start: &input_start, inputs: &inputs, out: &out, scratch: &[], keep: &[] };
    let chosen = choose(&shape, 0, |order| Cost::of_peak(peak(&shape, order), 0)).order;
    Ok(Order::new(&shape, &chosen, names, aliases))
}

impl Order {
    fn new(shape: &Shape<'_>, order: &[u32], names: Vec<GraphKey>, aliases: Vec<(GraphKey, u32)>) -> Self {
        let mut users = vec![0u32; shape.len()];
        shape.inputs.iter().for_each(|input| users[*input as usize] += 1);
        let mut left = users.clone();
        let mut place = vec![0u32; shape.len()];
        let mut infos: Vec<OrderInfo> = Vec::with_capacity(order.len());
        let mut held = 0u32;
        for (priority, task) in (0u32..).zip(order) {
            place[*task as usize] = priority;
            let mut freed = 0;
            for input in shape.inputs_of(*task) {
                left[*input as usize] -= 1;
                if left[*input as usize] == 0 {
                    let released = &mut infos[place[*input as usize] as usize];
                    released.age = priority - released.priority;
                    released.held_when_released = held;
                    freed += 1;
                }
            }
            let key = names.get(*task as usize).cloned().unwrap_or_else(|| GraphKey::from(""));
            infos.push(OrderInfo { key, priority, age: 0, held_when_run: held, held_when_released: held, freed });
            held = held + u32::from(users[*task as usize] > 0) - freed;
        }
        let mut places: FxHashMap<GraphKey, u32> = infos.iter().map(|info| (info.key.clone(), info.priority)).collect();
        places.extend(aliases.into_iter().map(|(name, task)| (name, place[task as usize])));
        Order { infos, places }
    }

    /// The place of a key in the order, from 0; none where it is not needed.
    pub fn priority(&self, key: impl Into<GraphKey>) -> Option<u32> {
        self.places.get(&key.into()).copied()
    }

    /// All keys in order, aliases left out.
    pub fn infos(&self) -> &[OrderInfo] {
        &self.infos
    }

    /// How many outputs are held when each task runs, in order.
    pub fn pressure(&self) -> impl Iterator<Item = u32> {
        self.infos.iter().map(|info| info.held_when_run)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::graph::{call, key, list};

    fn inc(x: i64) -> i64 {
        x + 1
    }

    fn total(xs: Vec<i64>) -> i64 {
        xs.iter().sum()
    }

    /// A graph of sums: each key and what it needs.
    fn sums(tasks: &[(&str, &[&str])]) -> Graph {
        let mut g = Graph::new();
        for (name, inputs) in tasks {
            g.set(*name, call(total, (list(inputs.iter().map(|input| key(*input))),)));
        }
        g
    }

    #[test]
    fn diagnostics_as_in_dask() {
        // The graph of `test_diagnostics` in dask/tests/test_order.py: a0..a5 -> b0..b3 -> c0, c1 -> d, in their order.
        let g = sums(&[("a", &[]), ("b", &["a"]), ("c", &["a"]), ("d", &["b", "c"]), ("e", &["d", "alias"])]);
        let mut g = g;
        g.set("alias", key("a"));
        let order = order(&g, &["e", "alias"]).unwrap();
        let of = |name: &str| order.infos().iter().find(|info| info.key == key(name)).unwrap().clone();
        assert_eq!((of("a").priority, of("a").age, of("a").held_when_run, of("a").held_when_released), (0, 4, 0, 2));
        assert_eq!((of("d").priority, of("d").age, of("d").held_when_run, of("d").freed), (3, 1, 3, 2));
        assert_eq!((of("e").age, of("e").freed, of("e").held_when_released), (0, 2, 2));
        assert_eq!(order.priority("alias"), Some(0));
        assert_eq!(order.priority("f"), None);
        assert_eq!(order.pressure().collect::<Vec<_>>(), [0, 1, 2, 3, 2]);
    }

    #[test]
    fn pressure_within_dasks_bounds() {
        // Graphs of dask/tests/test_order.py: test_run_smaller_sections and test_use_structure_not_keys.
        let g = sums(&[
            ("a", &[]),
            ("b", &["a"]),
            ("c", &["a"]),
            ("d", &["a", "b", "c"]),
            ("bb", &["b"]),
            ("bbb", &["bb"]),
            ("bbbb", &["bbb"]),
            ("cc", &["c"]),
        ]);
        assert!(order(&g, &["bbbb", "cc", "d"]).unwrap().pressure().max().unwrap() <= 4);
        let mut tasks = Vec::new();
        let names: Vec<[String; 4]> = (0..4).map(|i| ["a", "b", "c", "d"].map(|name| format!("{name}{i}"))).collect();
        let next = |i: usize| (i + 1) % 4;
        let inputs: Vec<Vec<&str>> = (0..4).map(|i| vec![names[i][0].as_str(), names[next(i)][0].as_str()]).collect();
        for i in 0..4 {
            tasks.push((names[i][0].as_str(), &[][..]));
            tasks.push((names[i][1].as_str(), &inputs[i][..]));
        }
        let g = sums(&tasks);
        let outputs: Vec<&str> = names.iter().map(|names| names[1].as_str()).collect();
        assert!(order(&g, &outputs).unwrap().pressure().max().unwrap() <= 3);
    }

    #[test]
    fn errors_are_those_of_the_graph() {
        let mut g = Graph::new();
        g.set("x", call(inc, (key("y"),)));
        assert!(order(&g, &["x"]).err().unwrap().to_string().contains("no key 'y'"));
        assert!(order(&Graph::new(), &[] as &[&str]).unwrap().infos().is_empty());
    }

    #[test]
    fn a_million_keys() {
        let n = 1_000_000i64;
        let mut g = Graph::new();
        g.set(("c", 0), 0i64);
        (1..n).for_each(|i| g.set(("c", i), call(inc, (key(("c", i - 1)),))));
        let order = order(&g, &[key(("c", n - 1))]).unwrap();
        assert_eq!(order.priority(("c", n - 1)), Some(n as u32 - 1));
        assert_eq!(order.pressure().max(), Some(1));
    }
}
