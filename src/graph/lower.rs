//! From a user's graph to the run-time form: only what is wanted, inputs first, each input once.

use super::graph::NOWHERE;
use super::graph_calls::GraphCalls;
use super::result::unknown;
use super::word::Word;
use super::{Graph, GraphKey, Size, TaskTable, nearest};
use crate::{Error, ErrorKind, Result};
use std::sync::Arc;

/// A graph in its run-time form.
pub struct Lowered {
    /// The tasks; a task's block is its own number.
    pub table: TaskTable,
    /// The task of each wanted key, in the order in which the keys were asked for.
    pub wanted: Vec<u32>,
}

/// A key that no task has led to yet.
const UNSEEN: u32 = 0;
/// A key whose task is on the way.
const OPEN: u32 = 1;

impl Graph {
    /// The tasks that `wanted` needs, and no others, in depth-first order.
    ///
    /// An alias makes no task. All tasks run one operator, whose blocks are the tasks.
    ///
    /// # Errors
    /// A graph error that names the keys, where a key has no task or tasks need each other in a circle.
    pub fn lower(&self, wanted: &[GraphKey]) -> Result<Lowered> {
        if let Some(error) = &self.program.error {
            return Err(error.clone());
        }
        let mut lowering = Lowering::new(self);
        let mut tasks = Vec::with_capacity(wanted.len());
        for key in wanted {
            let id = self.program.keys.find(key).filter(|id| self.span(*id) != NOWHERE);
            let id = id.ok_or_else(|| nearest::missing(self, key, None))?;
            tasks.push(lowering.want(id)?);
        }
        Ok(Lowered { table: lowering.finish(), wanted: tasks })
    }
}

struct Lowering<'a> {
    graph: &'a Graph,
    table: TaskTable,
    calls: GraphCalls,
    /// For each key, `UNSEEN`, `OPEN`, or its task's number plus 2.
    state: Vec<u32>,
    /// For each function of the graph, its number among those in use, plus 1.
    callees: Vec<u32>,
    /// For each task, the last task with many inputs that has it among them, plus 1, and its place there.
    place: Vec<(u32, u32)>,
    /// The tasks that are on the way: a key, and how far its words have been searched for keys.
    stack: Vec<(u32, u32)>,
}

/// Up to so many inputs are compared one by one.
const FEW: usize = 8;

impl<'a> Lowering<'a> {
    fn new(graph: &'a Graph) -> Self {
        Lowering {
            graph,
            table: TaskTable::new(),
            calls: GraphCalls::new(graph.program.keys.shared()),
            state: vec![UNSEEN; graph.program.keys.len()],
            callees: vec![0; graph.program.callees.len()],
            place: Vec::new(),
            stack: Vec::new(),
        }
    }

    fn finish(mut self) -> TaskTable {
        self.calls.finish();
        self.table.operators.push(Arc::new(self.calls));
        self.table
    }

    /// The task of a key that has one, after all that it needs.
    fn want(&mut self, id: u32) -> Result<u32> {
        self.open(id);
        while let Some((id, at)) = self.stack.last().copied() {
            let (next, at) = self.next_key(at as usize, self.graph.span(id).1 as usize);
            if let Some(top) = self.stack.last_mut() {
                top.1 = at as u32;
            }
            match next {
                None => {
                    self.stack.pop();
                    let task = self.close(id)?;
                    self.state[id as usize] = task + 2;
                }
                Some(input) if self.state[input as usize] == OPEN => return Err(self.cycle(input)),
                Some(input) if self.graph.span(input) == NOWHERE => {
                    let keys = &self.graph.program.keys;
                    let (user, key) = (keys.key(id), keys.key(input));
                    let missing = key.map(|key| nearest::missing(self.graph, key, user));
                    return Err(missing.unwrap_or_else(|| Error::new(ErrorKind::Graph, "a graph lost a key")));
                }
                Some(input) => self.open(input),
            }
        }
        Ok(self.state[id as usize] - 2)
    }

    fn open(&mut self, id: u32) {
        if self.state[id as usize] == UNSEEN {
            self.state[id as usize] = OPEN;
            self.stack.push((id, self.graph.span(id).0));
        }
    }

    /// The first key from `at` on that has no task yet, and the place behind it.
    fn next_key(&self, mut at: usize, end: usize) -> (Option<u32>, usize) {
        let words = &self.graph.program.words[..end];
        while let Some(word) = words.get(at) {
            let word = Word::decode(*word);
            at += word.len();
            match word {
                Word::Key(id) if self.state[id as usize] <= OPEN => return (Some(id), at),
                _ => {}
            }
        }
        (None, at)
    }

    /// Makes the task of a key whose inputs all have theirs; an alias has its target's.
    fn close(&mut self, id: u32) -> Result<u32> {
        let words = self.graph.words(id);
        if let [word] = words
            && let Word::Key(target) = Word::decode(*word)
        {
            return Ok(self.state[target as usize] - 2);
        }
        let task = self.table.len();
        let first = self.table.inputs.len();
        if task >= u32::MAX as usize - 2 || first + words.len() >= u32::MAX as usize {
            return Err(Error::new(ErrorKind::Graph, "more than 2^32 tasks or edges").hint("use fewer, larger tasks"));
        }
        let mut sizes = None;
        let mut source = false;
        let mut nested = false;
        let mut at = 0;
        while let Some(word) = words.get(at) {
            let len = Word::decode(*word).len();
            let rest = words.get(at + 1..at + len).unwrap_or_default();
            // What ends the words gives the value.
            match Word::decode(*word) {
                old @ (Word::Step(_) | Word::Block(_)) if at + len + rest.get(1).map_or(0, |n| *n as usize) == words.len() => {
                    (sizes, source) = self.graph.program.sizes_of(old, rest);
                }
                Word::Step(_) | Word::Block(_) => nested = true,
                old @ (Word::Literal(_) | Word::Scalar(_)) if words.len() == len => {
                    (sizes, source) = self.graph.program.sizes_of(old, rest)
                }
                _ => {}
            }
            let word = match Word::decode(*word) {
                Word::Key(id) => Word::Key(self.input(task as u32, first, self.state[id as usize] - 2)),
                Word::Literal(literal) => Word::Literal(self.literal(literal)),
                Word::Step(callee) => Word::Step(self.callee(callee)),
                Word::Block(callee) => Word::Block(self.callee(callee)),
                word => word,
            };
            self.calls.words.push(word.encode());
            self.calls.words.extend_from_slice(rest);
            at += len;
        }
        if nested {
            (sizes, source) = (Some(self.graph.sizes(id).0), false);
        }
        let sizes = sizes.unwrap_or_else(|| unknown(0));
        self.calls.end_task(id);
        let said = self.graph.said(id);
        if said.retries > 0 {
            self.calls.retries.insert(task as u32, said.retries);
        }
        let table = &mut self.table;
        table.set_priority(task as u32, said.priority);
        table.input_start.push(table.inputs.len() as u32);
        table.out.push(sizes.out.bytes());
        // Columns of nothing but zeros say no more than none.
        for (column, bytes) in [(&mut table.scratch, sizes.scratch), (&mut table.load, sizes.load)] {
            if bytes > 0 || !column.is_empty() {
                column.resize(task, 0);
                column.push(bytes);
            }
        }
        table.source.push(source);
        table.exact.push(matches!(sizes.out, Size::Exact(_)));
        Ok(task as u32)
    }

    /// The place of `input` among the inputs of `task`, which begin at `first`.
    fn input(&mut self, task: u32, first: usize, input: u32) -> u32 {
        let inputs = &mut self.table.inputs;
        let count = inputs.len() - first;
        if count < FEW {
            if let Some(place) = inputs[first..].iter().position(|known| *known == input) {
                return place as u32;
            }
        } else {
            if count == FEW {
                self.place.resize(task as usize, (0, 0));
                for (place, known) in inputs[first..].iter().enumerate() {
                    self.place[*known as usize] = (task + 1, place as u32);
                }
            }
            match self.place[input as usize] {
                (user, place) if user == task + 1 => return place,
                _ => self.place[input as usize] = (task + 1, count as u32),
            }
        }
        inputs.push(input);
        count as u32
    }

    fn literal(&mut self, literal: u32) -> u32 {
        let new = self.calls.literals.len() as u32;
        self.calls.literals.extend(self.graph.program.literals.get(literal as usize).cloned());
        new
    }

    fn callee(&mut self, callee: u32) -> u32 {
        let number = &mut self.callees[callee as usize];
        if *number == 0 {
            self.calls.callees.push(self.graph.program.callees[callee as usize].clone());
            *number = self.calls.callees.len() as u32;
        }
        *number - 1
    }

    /// The tasks on the way from `input` back to it.
    fn cycle(&self, input: u32) -> Error {
        let from = self.stack.iter().position(|(id, _)| *id == input).unwrap_or(0);
        let on_it = self.stack.get(from..).unwrap_or_default();
        let name = |id: u32| self.graph.program.keys.key(id).map(GraphKey::quoted).unwrap_or_default();
        let mut names: Vec<_> = on_it.iter().take(8).map(|(id, _)| name(*id)).collect();
        if on_it.len() > 8 {
            names.push(format!("({} more)", on_it.len() - 8));
        }
        names.push(name(input));
        let message = format!("tasks need each other in a circle: {}", names.join(" -> "));
        Error::new(ErrorKind::Graph, message).hint("a task cannot need its own result")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::graph_calls::tests::{get, run};
    use super::super::{AnyArg, call, call_untyped, key, list, op, try_call};
    use super::*;
    use crate::graph::Value;
    use proptest::prelude::*;
    use std::time::Instant;

    fn inc(x: i64) -> i64 {
        x + 1
    }

    fn add(a: i64, b: i64) -> i64 {
        a.wrapping_add(b)
    }

    fn total(xs: Vec<i64>) -> i64 {
        xs.iter().fold(0, |sum, x| sum.wrapping_add(*x))
    }

    #[test]
    fn the_talks_graph() {
        let mut g = Graph::new();
        g.set("x", call(add, (2, 3)));
        g.set("y", call(add, (2, key("x"))));
        g.set("z", call(total, (list![key("x"), 4, call(add, (1, key("y")))],)));
        g.set("a", key("z"));
        g.set("b", key("a"));
        g.set("n", 5);
        g.set("l", list![key("x"), key("y"), list![key("n"), "text", call(inc, (key("n"),))]]);
        assert_eq!(get::<i64>(&g, "z").unwrap(), 17);
        assert_eq!(get::<i64>(&g, "b").unwrap(), 17);
        assert_eq!(get::<(i64, i64, (u8, String, i64))>(&g, "l").unwrap(), (5, 7, (5, "text".into(), 6)));
        g.set("x", 10);
        assert_eq!(get::<i64>(&g, "b").unwrap(), 27);
        assert_eq!(g.len(), 7);
        assert_eq!(g.functions().len(), 3);
    }

    #[test]
    fn only_what_is_wanted_and_inputs_once() {
        let mut g = Graph::new();
        g.set("unused", call(inc, (key("nowhere"),)));
        g.set("x", 1i64);
        g.set("alias", key("x"));
        g.set("y", call(total, (list![key("x"), key("alias"), key("x"), call(add, (key("x"), key("alias")))],)));
        let lowered = g.lower(&[key("y"), key("alias"), key("y")]).unwrap();
        assert_eq!(lowered.table.len(), 2);
        assert_eq!(lowered.wanted, [1, 0, 1]);
        assert_eq!(lowered.table.inputs_of(1), [0]);
        assert_eq!(lowered.table.name_of(1), "y");
        assert_eq!(get::<i64>(&g, "y").unwrap(), 5);
    }

    #[test]
    fn many_inputs_are_told_apart() {
        let mut g = Graph::new();
        (0..100i64).for_each(|i| g.set(("x", i), i));
        let twice = (0..100).chain((0..100).rev()).map(|i| key(("x", i)));
        g.set("sum", call(total, (list(twice),)));
        g.set("more", call(total, (list((0..100).map(|i| key(("x", i))).chain([key("sum")])),)));
        let lowered = g.lower(&[key("more")]).unwrap();
        assert_eq!(lowered.table.inputs_of(100).len(), 100);
        assert_eq!(get::<i64>(&g, "more").unwrap(), 4950 * 3);
    }

    #[test]
    fn missing_keys_are_named_with_near_ones() {
        let mut g = Graph::new();
        g.set("total", call(inc, (key("cuont"),)));
        g.set("count", 1);
        let error = g.lower(&[key("total")]).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Graph);
        assert_eq!(error.to_string(), "the graph has no key 'cuont', which 'total' needs; did you mean 'count'?");
        let error = g.lower(&[key(("x", 0))]).err().unwrap();
        assert!(error.to_string().starts_with("the graph has no key ('x', 0)"), "{error}");
    }

    #[test]
    fn circles_are_named() {
        let mut g = Graph::new();
        g.set("top", call(inc, (key("a"),)));
        g.set("a", call(add, (1, key("b"))));
        g.set("b", key("c"));
        g.set("c", call(inc, (call(inc, (key("a"),)),)));
        let error = g.lower(&[key("top")]).err().unwrap();
        assert!(error.to_string().contains("'a' -> 'b' -> 'c' -> 'a'"), "{error}");
        g.set("self", key("self"));
        assert!(g.lower(&[key("self")]).err().unwrap().to_string().contains("'self' -> 'self'"));
    }

    #[test]
    fn errors_name_task_function_and_argument() {
        let mut g = Graph::new();
        g.set("text", "hello");
        g.set("y", call(add, (2, key("text"))));
        let error = get::<i64>(&g, "y").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Type);
        assert_eq!(error.to_string(), "task y: argument 2 of add: expected i64, found String");
        g.set(("z", 3), try_call(|text: String| text.parse::<i64>(), (key("text"),)));
        let error = get::<i64>(&g, ("z", 3)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Failed);
        assert!(
            error.to_string().starts_with("task ('z', 3): errors_name_task_function_and_argument::{{closure}}: invalid digit"),
            "{error}"
        );
        g.set("big", call(|x: u8| x, (key("n"),)));
        g.set("n", 300);
        assert!(get::<u8>(&g, "big").unwrap_err().to_string().contains("expected u8, found i32 300"));
    }

    #[test]
    fn functions_of_all_sorts() {
        let mut g = Graph::new();
        let n = 3i64;
        g.set("c", call(move |x: i64| x + n, (4,)));
        g.set("none", call(|| 7i64, ()));
        g.set("u", call_untyped("count", |args: &[Value]| Value::of(args.len() as i64), (key("c"), "two", list![1, 2])));
        g.set("any", call(total, (list(vec![AnyArg::new(key("c")), AnyArg::new(2), AnyArg::new(call(inc, (1,)))]),)));
        let eight = |a: i64, b: i64, c: i64, d: i64, e: i64, f: i64, g: i64, h: i64| a + b + c + d + e + f + g + h;
        g.set("eight", call(eight, (1, 1, key("c"), 1, 1, key("none"), 1, key("u"))));
        g.set("void", call(|_: i64| (), (1,)));
        g.set("after", call(|(): ()| 1i64, (key("void"),)));
        assert_eq!(get::<i64>(&g, "eight").unwrap(), 22);
        assert_eq!(get::<i64>(&g, "any").unwrap(), 11);
        assert_eq!(get::<i64>(&g, "after").unwrap(), 1);
        assert_eq!(op(inc), op(inc));
    }

    #[test]
    fn a_million_tasks_deep() {
        let n = 1_000_000i64;
        let mut g = Graph::new();
        g.set(("c", 0), 0i64);
        (1..n).for_each(|i| g.set(("c", i), call(inc, (key(("c", i - 1)),))));
        let lowered = g.lower(&[key(("c", n - 1))]).unwrap();
        assert_eq!(lowered.table.len(), n as usize);
        assert_eq!(run(&lowered.table).unwrap().pop().unwrap().get::<i64>().unwrap(), n - 1);
    }

    #[test]
    fn deep_lists_and_calls_end_in_errors() {
        let mut arg = AnyArg::new(1i64);
        for _ in 0..2000 {
            arg = AnyArg::new(call(inc, (arg,)));
        }
        let mut g = Graph::new();
        g.set("x", arg);
        assert!(g.lower(&[key("x")]).err().unwrap().to_string().contains("nested too deeply"));
    }

    /// What a model of a graph holds: the meaning of `SPEC.md`, written down once more.
    #[derive(Clone, Debug)]
    enum Model {
        Key(usize),
        Literal(i64),
        Add(Box<Model>, Box<Model>),
        Total(Vec<Model>),
    }

    impl Model {
        fn value(&self, graph: &[Model]) -> i64 {
            match self {
                Model::Key(i) => graph[*i].value(graph),
                Model::Literal(n) => *n,
                Model::Add(a, b) => add(a.value(graph), b.value(graph)),
                Model::Total(items) => total(items.iter().map(|item| item.value(graph)).collect()),
            }
        }

        fn arg(&self) -> AnyArg {
            match self {
                Model::Key(i) => AnyArg::new(key(("k", *i))),
                Model::Literal(n) => AnyArg::new(*n),
                Model::Add(a, b) => AnyArg::new(call(add, (a.arg(), b.arg()))),
                Model::Total(items) => AnyArg::new(call(total, (list(items.iter().map(Model::arg).collect::<Vec<_>>()),))),
            }
        }

        /// The same, with keys that come before `place` only.
        fn before(self, place: usize) -> Model {
            match self {
                Model::Key(_) if place == 0 => Model::Literal(1),
                Model::Key(i) => Model::Key(i % place),
                Model::Add(a, b) => Model::Add(a.before(place).into(), b.before(place).into()),
                Model::Total(items) => Model::Total(items.into_iter().map(|item| item.before(place)).collect()),
                literal => literal,
            }
        }

        fn needs(&self, graph: &[Model], seen: &mut Vec<bool>) {
            match self {
                Model::Key(i) if !std::mem::replace(&mut seen[*i], true) => graph[*i].needs(graph, seen),
                Model::Add(a, b) => [a, b].iter().for_each(|item| item.needs(graph, seen)),
                Model::Total(items) => items.iter().for_each(|item| item.needs(graph, seen)),
                _ => {}
            }
        }
    }

    fn model() -> impl Strategy<Value = Model> {
        let leaf = prop_oneof![(0usize..100).prop_map(Model::Key), any::<i64>().prop_map(Model::Literal)];
        leaf.prop_recursive(4, 24, 12, |inner| {
            prop_oneof![
                (inner.clone(), inner.clone()).prop_map(|(a, b)| Model::Add(a.into(), b.into())),
                prop::collection::vec(inner, 0..12).prop_map(Model::Total),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn lowering_keeps_the_meaning(tasks in prop::collection::vec(model(), 1..12), backwards in any::<bool>()) {
            let models: Vec<_> = tasks.into_iter().enumerate().map(|(place, task)| task.before(place)).collect();
            let mut g = Graph::new();
            let mut order: Vec<_> = (0..models.len()).collect();
            if backwards {
                order.reverse();
            }
            order.into_iter().for_each(|i| g.set(("k", i), models[i].arg()));
            let wanted = models.len() - 1;
            let lowered = g.lower(&[key(("k", wanted))]).unwrap();
            let table = &lowered.table;
            for task in 0..table.len() as u32 {
                let mut inputs = table.inputs_of(task).to_vec();
                prop_assert!(inputs.iter().all(|input| *input < task));
                inputs.sort_unstable();
                inputs.dedup();
                prop_assert_eq!(inputs.len(), table.inputs_of(task).len());
            }
            let mut seen = vec![false; models.len()];
            Model::Key(wanted).needs(&models, &mut seen);
            let aliases = models.iter().zip(&seen).filter(|(m, s)| **s && matches!(m, Model::Key(_))).count();
            prop_assert_eq!(table.len(), seen.iter().filter(|s| **s).count() - aliases);
            let values = run(table).unwrap();
            prop_assert_eq!(values[lowered.wanted[0] as usize].get::<i64>().unwrap(), models[wanted].value(&models));
        }
    }

    fn tree(n: i64) -> (Graph, GraphKey) {
        let mut g = Graph::new();
        (0..n).for_each(|i| g.set(("inc", i), call(inc, (i,))));
        let (mut level, mut width, mut name) = (0, n, "inc".to_owned());
        while width > 1 {
            let next = format!("sum-{level}");
            for i in 0..width.div_euclid(16) + i64::from(width % 16 != 0) {
                let below = (16 * i..(16 * i + 16).min(width)).map(|j| key((&name, j)));
                g.set((&next, i), call(total, (list(below),)));
            }
            (level, width, name) = (level + 1, (width + 15) / 16, next);
        }
        (g, key((name, 0)))
    }

    fn chain(n: i64) -> (Graph, GraphKey) {
        let mut g = Graph::new();
        g.set(("c", 0), call(inc, (0,)));
        (1..n).for_each(|i| g.set(("c", i), call(inc, (key(("c", i - 1)),))));
        (g, key(("c", n - 1)))
    }

    fn grid(n: i64) -> (Graph, GraphKey) {
        let side = n.isqrt();
        let mut g = Graph::new();
        for i in 0..side {
            g.set(("g", i, 0), call(inc, (0,)));
            g.set(("g", 0, i), call(inc, (0,)));
        }
        for (i, j) in (1..side).flat_map(|i| (1..side).map(move |j| (i, j))) {
            g.set(("g", i, j), call(|a: i64, b: i64| (a + b) % 1_000_000_007, (key(("g", i - 1, j)), key(("g", i, j - 1)))));
        }
        (g, key(("g", side - 1, side - 1)))
    }

    /// `cargo test --release -p chunkstore --lib front_end -- --ignored --nocapture`
    #[test]
    #[ignore = "prints nanoseconds a task"]
    fn front_end() {
        for n in [100_000, 1_000_000] {
            for (name, make) in [("tree", tree as fn(i64) -> (Graph, GraphKey)), ("chain", chain), ("grid", grid)] {
                let mut best = [u128::MAX; 3];
                let mut tasks = 1;
                for _ in 0..7 {
                    let start = Instant::now();
                    let (g, wanted) = make(n);
                    let built = start.elapsed().as_nanos();
                    let start = Instant::now();
                    let lowered = g.lower(&[wanted]).unwrap();
                    let low = start.elapsed().as_nanos();
                    tasks = lowered.table.len() as u128;
                    let start = Instant::now();
                    let values = run(&lowered.table).unwrap();
                    let ran = start.elapsed().as_nanos();
                    drop(values);
                    best.iter_mut().zip([built, low, ran]).for_each(|(best, now)| *best = now.min(*best));
                }
                let [built, low, ran] = best.map(|time| time / tasks);
                println!("{name:6} {tasks:8} tasks: build {built} ns, lower {low} ns, run {ran} ns a task");
            }
        }
        let mut g = Graph::new();
        g.set("x", 1i64);
        g.set("y", call(inc, (key("x"),)));
        let lowered = g.lower(&[key("y")]).unwrap();
        super::super::graph_calls::tests::time_one(&lowered.table, 1, &[Value::of(1i64).unwrap()]);
    }
}
