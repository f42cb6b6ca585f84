//! Chains and small trees of tasks become one task.
//!
//! ```text
//!   a --> b --> c          with width 1: a chain         c: (h, (g, (f, 1)))
//!
//!   a --.
//!        > c --> d         with width 2: a tree          d: (k, (h, (f, 1), (g, 2)))
//!   b --'
//! ```
//! A key is taken into its user where that is its only one. What is fused runs as one task: so a tree is no wider than one is ready to give up of
//! working at several of its leaves at once, and what it holds at a time stays within a bound. The measures are those of `fuse` in Dask (`dask/optimization.py`).

use super::cull::among;
use crate::graph::{Graph, GraphKey, KeyLinks, KeyUsers, Rewrite};
use rustc_hash::FxHashSet;
use std::collections::BTreeSet;

/// The longest text of a key that [`FuseOptions::rename_keys`] makes.
const LONGEST: usize = 120;

/// How far [`fuse()`](fn@fuse) goes.
///
/// ```
/// use chunkstore::optimize::FuseOptions;
/// let trees = FuseOptions { ave_width: 2.0, max_need: 16 << 20, ..FuseOptions::default() };
/// assert_eq!(FuseOptions::default().ave_width, 1.0);
/// ```
#[derive(Clone, Debug)]
pub struct FuseOptions {
    /// Tasks for each level of what is fused: at 1 only chains are. At 0 nothing is.
    pub ave_width: f64,
    /// Leaves of what is fused, at most; if none, `1.5 + ave_width * ln(ave_width + 1)`.
    pub max_width: Option<f64>,
    /// Levels of a tree below its last task, at most; chains of any length are one level.
    pub max_height: usize,
    /// Levels at which tasks that need more than what is fused so far may be added, at most; if none, `1.5 * ave_width`.
    pub max_depth_new_edges: Option<f64>,
    /// Whether the fused task gets a key that names all that is in it, as `a-b-c`, of which the key of the last becomes an alias.
    pub rename_keys: bool,
    /// Bytes that a fused task may need: inputs, output, and what it holds in between, as they are booked. Tasks that need more on their own
    /// stay as they are.
    pub max_need: u64,
}

impl Default for FuseOptions {
    /// Chains of at most 64 MiB.
    fn default() -> Self {
        FuseOptions {
            ave_width: 1.0,
            max_width: None,
            max_height: usize::MAX,
            max_depth_new_edges: None,
            rename_keys: false,
            max_need: 64 << 20,
        }
    }
}

/// The graph with chains, and small trees where `options` let them, as one task each: nested calls under the key of the last.
///
/// A key is taken in only where one other key mentions it and it is not among `outputs`. Every task runs as often as before. Sources (literals
/// of more than 64 KiB, blocks that are read) are never taken in. Where sizes are learned, `max_need` bounds what they are first taken to be.
///
/// ```
/// use chunkstore::{graph::{Graph, call, key}, optimize::{FuseOptions, fuse}};
/// fn inc(x: i64) -> i64 { x + 1 }
/// fn add(x: i64, y: i64) -> i64 { x + y }
/// let mut g = Graph::new();
/// g.set("a", call(inc, (1,)));
/// g.set("b", call(inc, (key("a"),)));
/// g.set("c", call(inc, (key("b"),)));
/// let h = fuse(&g, &["c"], FuseOptions::default());
/// assert_eq!(h.to_string(), "{'c': (inc, (inc, (inc, 1)))}");
/// let h = fuse(&g, &["b", "c"], FuseOptions { rename_keys: true, ..FuseOptions::default() });
/// assert_eq!(h.to_string(), "{'b': 'a-b',\n 'c': (inc, 'b'),\n 'a-b': (inc, (inc, 1))}");
///
/// let mut g = Graph::new();
/// g.set("a", call(inc, (1,)));
/// g.set("b", call(inc, (2,)));
/// g.set("c", call(add, (key("a"), key("b"))));
/// assert_eq!(fuse(&g, &["c"], FuseOptions::default()).len(), 3);
/// let h = fuse(&g, &["c"], FuseOptions { ave_width: 2.0, ..FuseOptions::default() });
/// assert_eq!(h.to_string(), "{'c': (add, (inc, 1), (inc, 2))}");
/// ```
pub fn fuse<K: Clone + Into<GraphKey>>(graph: &Graph, outputs: &[K], options: FuseOptions) -> Graph {
    let links = KeyLinks::new(graph);
    let users = links.users();
    let outputs = among(graph, &links, outputs);
    let all: Vec<Booked> = (0..links.len() as u32)
        .map(|id| {
            let (sizes, source) = graph.sizes(id);
            Booked { out: sizes.out.bytes(), scratch: sizes.scratch, source, nested: calls(graph, id) > 1 }
        })
        .collect();
    let alone = |id: u32, user: u32| id != user && graph.id_has_task(id) && !outputs.get(id as usize).is_some_and(|output| *output);
    let reducible = (0..links.len() as u32)
        .map(|id| matches!(*users.of(id), [user] if alone(id, user)) && !all.get(id as usize).is_some_and(|booked| booked.source))
        .collect();
    let mut fusion = Fusion { links: &links, users: &users, booked: &all, options: &options, reducible, fused: vec![false; links.len()] };
    for root in 0..links.len() as u32 {
        if !fusion.is_reducible(root) && links.inputs(root).iter().any(|input| fusion.is_reducible(*input)) {
            fusion.region(root);
        }
    }
    let inline = fusion.fused;
    let renamed = if options.rename_keys { names(graph, &links, &inline) } else { Vec::new() };
    let keep = inline.iter().map(|inline| !inline).collect();
    graph.rewritten(Rewrite { keep, inline, renamed, ..Rewrite::nothing(graph) })
}

fn calls(graph: &Graph, id: u32) -> usize {
    use crate::graph::{Word, words_of};
    words_of(graph.words(id)).filter(|word| matches!(word, Word::Step(_) | Word::Block(_))).take(2).count()
}

/// What a task on its own is booked for.
struct Booked {
    out: u64,
    scratch: u64,
    source: bool,
    /// Whether it holds results of nested calls.
    nested: bool,
}

/// What is fused so far below a key, and that key.
struct Fused {
    height: usize,
    width: f64,
    tasks: usize,
    /// Parallel work that fusing has cost, in tasks.
    fudge: usize,
    /// The keys that it needs.
    edges: FxHashSet<u32>,
    /// Their bytes.
    inputs: u64,
    /// The most that it holds beside them and its output.
    scratch: u64,
    /// Bytes of results that stand in several places of it, and are held all the time.
    shared: u64,
}

struct Fusion<'a> {
    links: &'a KeyLinks,
    users: &'a KeyUsers,
    booked: &'a [Booked],
    options: &'a FuseOptions,
    /// Keys of one user that may be taken into it.
    reducible: Vec<bool>,
    fused: Vec<bool>,
}

impl Fusion<'_> {
    fn is_reducible(&self, id: u32) -> bool {
        self.reducible.get(id as usize).copied().unwrap_or(false)
    }

    fn booked(&self, id: u32) -> &Booked {
        const NOTHING: Booked = Booked { out: 0, scratch: 0, source: false, nested: false };
        self.booked.get(id as usize).unwrap_or(&NOTHING)
    }

    /// Fuses the tree of keys that lead to `root` and nowhere else, leaves first.
    fn region(&mut self, root: u32) {
        let mut order = vec![root];
        let mut at = 0;
        while let Some(id) = order.get(at).copied() {
            order.extend(self.links.inputs(id).iter().filter(|input| self.is_reducible(**input)));
            at += 1;
        }
        // What is below each key waits with its user until all of that user's are there.
        let mut below: rustc_hash::FxHashMap<u32, Vec<(u32, Fused)>> = rustc_hash::FxHashMap::default();
        while let Some(id) = order.pop() {
            let fused = match below.remove(&id) {
                None => self.alone(id),
                Some(children) => self.join(id, children),
            };
            if let ([user], true) = (self.users.of(id), id != root) {
                below.entry(*user).or_default().push((id, fused));
            }
        }
    }

    /// A task by itself.
    fn alone(&self, id: u32) -> Fused {
        let edges: FxHashSet<u32> = self.links.inputs(id).iter().copied().collect();
        let booked = self.booked(id);
        Fused { height: 1, width: 1.0, tasks: 1, fudge: 0, inputs: self.bytes(edges.iter()), edges, scratch: booked.scratch, shared: 0 }
    }

    fn bytes<'a>(&self, keys: impl Iterator<Item = &'a u32>) -> u64 {
        keys.fold(0, |sum, key| sum.saturating_add(self.booked(*key).out))
    }

    /// A task with what is below it, fused if that is right.
    fn join(&mut self, id: u32, children: Vec<(u32, Fused)>) -> Fused {
        let FuseOptions { ave_width, max_height, max_need, .. } = *self.options;
        let max_width = self.options.max_width.unwrap_or(1.5 + ave_width * (ave_width + 1.0).ln());
        let max_depth = self.options.max_depth_new_edges.unwrap_or(1.5 * ave_width);
        let (count, single) = (children.len(), children.iter().filter(|(_, child)| child.height == 1).count());
        let keys: Vec<u32> = children.iter().map(|(key, _)| *key).collect();
        let most_edges = children.iter().map(|(_, child)| child.edges.len()).max().unwrap_or(0);
        let height = children.iter().map(|(_, child)| child.height).max().unwrap_or(1);
        let tasks: usize = children.iter().map(|(_, child)| child.tasks).sum();
        let width: f64 = children.iter().map(|(_, child)| child.width).sum();
        let mut fudge: usize = children.iter().map(|(_, child)| child.fudge).sum();
        let (scratch, shared) = self.held(id, &children);
        let (mut edges, mut inputs) = (FxHashSet::default(), 0u64);
        for (_, child) in children {
            (edges, inputs) = self.union((edges, inputs), (child.edges, child.inputs));
        }
        let below = edges.len();
        if count > 1 {
            fudge += (count - 1).min(below.saturating_sub(most_edges));
        }
        if below > 0 {
            fudge = fudge.min(below - 1);
        }
        for input in self.links.inputs(id).iter().filter(|input| !keys.contains(input)) {
            if edges.insert(*input) {
                inputs = inputs.saturating_add(self.booked(*input).out);
            }
        }
        let new_edges = edges.len() != below;
        fudge += usize::from(new_edges);
        let narrow = count == 1 || single as f64 <= ave_width && width <= max_width && height <= max_height;
        let need = [self.booked(id).out, scratch, shared].into_iter().fold(inputs, u64::saturating_add);
        let right = (tasks + fudge) as f64 / height as f64 <= ave_width && narrow && (!new_edges || (height as f64) < max_depth);
        if right && need <= max_need && max_height > 0 {
            for key in &keys {
                if let Some(fused) = self.fused.get_mut(*key as usize) {
                    *fused = true;
                }
            }
            // A chain without new edges is one level.
            let higher = usize::from(count > 1 || new_edges);
            return Fused { height: height + higher, width, tasks: tasks + higher, fudge, edges, inputs, scratch, shared };
        }
        // It may be the first of a chain, or of a tree if that is narrow.
        let width = if count > 1 { width.min(max_width) } else { width };
        Fused { width, fudge: fudge.min((ave_width - 1.0).max(0.0) as usize), ..self.alone(id) }
    }

    /// The smaller set into the larger one, and the bytes of both.
    fn union(&self, a: (FxHashSet<u32>, u64), b: (FxHashSet<u32>, u64)) -> (FxHashSet<u32>, u64) {
        let ((mut large, mut bytes), (small, _)) = if a.0.len() >= b.0.len() { (a, b) } else { (b, a) };
        for key in small {
            if large.insert(key) {
                bytes = bytes.saturating_add(self.booked(key).out);
            }
        }
        (large, bytes)
    }

    /// The most that a task holds beside its inputs and its output with `children` nested in it, and what of it stands in several places.
    fn held(&self, id: u32, children: &[(u32, Fused)]) -> (u64, u64) {
        let booked = self.booked(id);
        let (inputs, again) = (self.links.inputs(id), self.links.again(id));
        let outs = self.bytes(children.iter().map(|(key, _)| key));
        let own = if booked.nested { booked.scratch } else { 0 };
        let mut scratch = outs.saturating_add(booked.scratch);
        let mut shared = 0u64;
        for (key, child) in children {
            // While a child runs the others' results may be there.
            scratch = scratch.max(outs.saturating_add(child.scratch).saturating_add(own));
            let is_shared = inputs.iter().position(|input| input == key).and_then(|at| again.get(at)) == Some(&true);
            shared = shared.saturating_add(child.shared).saturating_add(if is_shared { self.booked(*key).out } else { 0 });
        }
        (scratch, shared)
    }
}

/// For each key that others are fused into, a key that names them all: the texts of the others in order, then its own, with its own integers.
fn names(graph: &Graph, links: &KeyLinks, fused: &[bool]) -> Vec<(u32, GraphKey)> {
    let is_fused = |id: u32| fused.get(id as usize).copied().unwrap_or(false);
    let mut names = Vec::new();
    let mut taken = FxHashSet::default();
    for id in (0..links.len() as u32).filter(|id| graph.id_has_task(*id) && !is_fused(*id)) {
        let mut inside = Vec::new();
        let mut stack = vec![id];
        while let Some(id) = stack.pop() {
            let below = links.inputs(id).iter().copied().filter(|input| is_fused(*input));
            stack.extend(below.clone());
            inside.extend(below);
        }
        let key = |id: u32| graph.program.keys.key(id);
        let Some(own) = key(id).filter(|_| !inside.is_empty()) else { continue };
        let others: BTreeSet<&str> =
            inside.iter().filter_map(|id| key(*id)).map(GraphKey::text).filter(|text| *text != own.text()).collect();
        let mut text = String::new();
        for other in others {
            if text.len() + other.len() + own.text().len() + 2 <= LONGEST {
                text.push_str(other);
                text.push('-');
            }
        }
        let name = own.with_text(&(text + own.text()));
        if graph.program.keys.find(&name).is_none() && taken.insert(name.clone()) {
            names.push((id, name));
        }
    }
    names
}
