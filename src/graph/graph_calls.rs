//! The operator of a lowered graph: each of its blocks is one of the graph's tasks.

use super::function::Callee;
use super::given::{Args, Frame, Given};
use super::node::retried;
use super::result::LARGE;
use super::word::Word;
use super::{GraphKey, Operator, TaskContext, Value};
use crate::{Error, ErrorKind, Result};
use chunkstore_store::Chunk;
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::sync::Arc;

/// The tasks of a lowered graph, in the words of [`super::word`]; keys there are numbers of inputs.
#[derive(Default)]
pub(crate) struct GraphCalls {
    pub(crate) words: Vec<u32>,
    pub(crate) literals: Vec<Value>,
    pub(crate) callees: Vec<Callee>,
    ends: Vec<u32>,
    /// All keys of the graph, and for each task the number of its own.
    keys: Arc<Vec<GraphKey>>,
    names: Vec<u32>,
    /// Of some tasks, how often they are tried again.
    pub(crate) retries: FxHashMap<u32, u32>,
}

impl GraphCalls {
    /// No tasks yet, of a graph with these keys.
    pub(crate) fn new(keys: Arc<Vec<GraphKey>>) -> Self {
        GraphCalls { keys, ..GraphCalls::default() }
    }

    /// Ends the words of a task, whose key has the number `name`.
    pub(crate) fn end_task(&mut self, name: u32) {
        self.ends.push(self.words.len() as u32);
        self.names.push(name);
    }

    /// Gives back memory that is not used.
    pub(crate) fn finish(&mut self) {
        self.words.shrink_to_fit();
    }

    fn task(&self, block: u32) -> Option<&[u32]> {
        let end = *self.ends.get(block as usize)?;
        let start = block.checked_sub(1).and_then(|before| self.ends.get(before as usize)).copied().unwrap_or(0);
        self.words.get(start as usize..end as usize)
    }
}

/// Runs the words of a task, which point into `literals` and `callees`.
pub(crate) fn evaluate(
    task: &TaskContext<'_>,
    mut words: &[u32],
    inputs: &[Value],
    literals: &[Value],
    callees: &[Callee],
) -> Result<Value> {
    let mut stack = SmallVec::<[Value; 4]>::new();
    let is_large = |value: &Value| matches!(value, Value::Chunk(chunk @ Chunk::Block(_)) if chunk.nbytes() >= LARGE);
    let large = inputs.iter().any(is_large).then_some(task);
    loop {
        let (callee, block) = match words.first().map(|word| Word::decode(*word)) {
            Some(Word::Step(callee)) => (callee, None),
            Some(Word::Block(callee)) => (callee, words.get(4).copied()),
            // An expression, whose value is the task's.
            Some(_) => {
                let frame = Frame { inputs, literals, stack: &stack, task: large };
                return Args::new(&frame, words, None).next().map(Given::to_value).ok_or_else(malformed);
            }
            // The last step's result is the task's.
            None => return stack.pop().ok_or_else(malformed),
        };
        let [_, _, len, base, ..] = *words else { return Err(malformed()) };
        let head = if block.is_some() { 5 } else { 4 };
        let (args, rest) = words.get(head..).and_then(|rest| rest.split_at_checked(len as usize)).ok_or_else(malformed)?;
        let frame = Frame { inputs, literals, stack: &stack, task: large };
        let result = match (callees.get(callee as usize), block) {
            (Some(Callee::Function(function)), None) => function.run(Args::new(&frame, args, Some(&**function)), task)?,
            (Some(Callee::Layer(_, operator)), Some(block)) => {
                let inputs: SmallVec<[Value; 4]> = Args::new(&frame, args, None).map(Given::to_value).collect();
                operator.run(&task.for_block(block), &inputs)?
            }
            _ => return Err(malformed()),
        };
        if rest.is_empty() {
            return Ok(result);
        }
        stack.truncate(base as usize);
        stack.push(result);
        words = rest;
    }
}

impl Operator for GraphCalls {
    fn name(&self) -> &str {
        "graph"
    }

    fn parameters(&self) -> Option<Vec<u8>> {
        None
    }

    fn run(&self, task: &TaskContext<'_>, inputs: &[Value]) -> Result<Value> {
        let words = self.task(task.block()).ok_or_else(malformed)?;
        let once = || evaluate(task, words, inputs, &self.literals, &self.callees);
        let done = match self.retries.is_empty() {
            true => once(),
            false => retried(task, self.retries.get(&task.block()).copied().unwrap_or(0), once),
        };
        done.map_err(|error| self.named(error, task.block()))
    }

    fn task_name(&self, block: u32) -> Option<String> {
        let name = *self.names.get(block as usize)?;
        self.keys.get(name as usize).map(GraphKey::to_string)
    }
}

impl GraphCalls {
    #[cold]
    fn named(&self, error: Error, block: u32) -> Error {
        match self.task_name(block) {
            Some(name) => error.task(name),
            None => error,
        }
    }
}

#[cold]
fn malformed() -> Error {
    Error::new(ErrorKind::Graph, "a task of a graph is malformed")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod tests {
    use super::super::{Argument, Graph, TaskTable, call, key, list};
    use super::*;
    use chunkstore_store::{Arena, Ledger};
    use std::sync::atomic::AtomicBool;

    /// Runs all tasks in order; the value of each.
    pub(crate) fn run(table: &TaskTable) -> Result<Vec<Value>> {
        let (arena, cancelled) = (Arena::new(Ledger::new(1 << 30)), AtomicBool::new(false));
        let mut values: Vec<Value> = Vec::with_capacity(table.len());
        let mut inputs = Vec::new();
        for task in 0..table.len() as u32 {
            inputs.clear();
            inputs.extend(table.inputs_of(task).iter().map(|input| values[*input as usize].clone()));
            let operator = table.operator_of(task).unwrap();
            values.push(operator.run(&TaskContext::new(table.block_of(task), &arena, &cancelled), &inputs)?);
        }
        Ok(values)
    }

    /// The value of one key.
    pub(in super::super) fn get<T: Argument>(graph: &Graph, wanted: impl Into<GraphKey>) -> Result<T> {
        let lowered = graph.lower(&[wanted.into()])?;
        run(&lowered.table)?[lowered.wanted[0] as usize].get()
    }

    /// Prints what running one task takes.
    pub(in super::super) fn time_one(table: &TaskTable, block: u32, inputs: &[Value]) {
        let (arena, cancelled) = (Arena::new(Ledger::new(1 << 30)), AtomicBool::new(false));
        let context = TaskContext::new(block, &arena, &cancelled);
        let start = std::time::Instant::now();
        let rounds = 10_000_000;
        for _ in 0..rounds {
            std::hint::black_box(table.operators[0].run(&context, std::hint::black_box(inputs)).unwrap());
        }
        println!("Operator::run of inc: {:.1} ns", start.elapsed().as_nanos() as f64 / f64::from(rounds));
    }

    #[test]
    fn arrays_become_blocks_and_come_back() {
        use ndarray::{Array1, Array2, ArrayD, arr2};
        let mut g = Graph::new();
        g.set("a", arr2(&[[1.0, 2.0], [3.0, 4.0]]));
        g.set("t", call(|a: Array2<f64>| a.reversed_axes(), (key("a"),)));
        g.set("row", call(|a: ArrayD<f64>| a.index_axis_move(ndarray::Axis(0), 1), (key("t"),)));
        g.set("sum", call(|v: Vec<f64>| v.iter().sum::<f64>(), (key("row"),)));
        g.set("shared", call(|v: Arc<Array1<f64>>| v.len(), (key("row"),)));
        assert_eq!(get::<Array2<f64>>(&g, "t").unwrap(), arr2(&[[1.0, 3.0], [2.0, 4.0]]));
        assert_eq!(get::<Vec<f64>>(&g, "row").unwrap(), [2.0, 4.0]);
        assert_eq!(get::<f64>(&g, "sum").unwrap(), 6.0);
        assert_eq!(get::<usize>(&g, "shared").unwrap(), 2);
        let lowered = g.lower(&[key("t")]).unwrap();
        assert_eq!(run(&lowered.table).unwrap()[1].block().unwrap().shape(), [2, 2]);
        assert!(
            get::<Vec<f32>>(&g, "row").unwrap_err().to_string().contains("expected a value of type Vec<f32>, found a block of float64")
        );
    }

    #[test]
    fn objects_are_shared_and_counted() {
        struct Model(Vec<f64>);
        let mut g = Graph::new();
        g.set("model", call(|| Model(vec![1.0; 8]), ()));
        g.set("n", call(|model: Arc<Model>| model.0.len() as i64, (key("model"),)));
        g.set("shared", Arc::new(Model(vec![0.0])));
        g.set("m", call(|model: Arc<Model>| model.0.len() as i64, (key("shared"),)));
        g.set("maybe", call(|| Some(3i64), ()));
        g.set("k", call(|n: Option<i64>| n.unwrap_or(0), (key("maybe"),)));
        g.set("pair", call(|| (1i64, "one".to_owned()), ()));
        g.set("p", call(|(n, text): (i64, String)| n + text.len() as i64, (key("pair"),)));
        assert_eq!((get::<i64>(&g, "n").unwrap(), get::<i64>(&g, "m").unwrap()), (8, 1));
        assert_eq!((get::<i64>(&g, "k").unwrap(), get::<i64>(&g, "p").unwrap()), (3, 4));
        assert_eq!(Value::of("four".to_owned()).unwrap().nbytes(), size_of::<String>() as u64 + 4);
        assert_eq!(Value::of(vec![0f32; 10]).unwrap().nbytes(), 24 + 40);
        assert_eq!(Value::of(7u8).unwrap().nbytes(), 0);
    }

    #[test]
    fn numbers_are_taken_where_their_value_is_the_same() {
        let five = Value::of(5i32).unwrap();
        assert_eq!((five.get::<f64>().unwrap(), five.get::<u8>().unwrap(), five.get::<usize>().unwrap()), (5.0, 5, 5));
        assert!(Value::of(1.5f64).unwrap().get::<i64>().is_err());
        assert!(Value::of((1i64 << 53) + 1).unwrap().get::<f64>().is_err());
        assert!(Value::of(-1i8).unwrap().get::<u64>().is_err());
        assert!(Value::of(true).unwrap().get::<u8>().is_err());
        assert_eq!(Value::of(1.5f32).unwrap().get::<f64>().unwrap(), 1.5);
    }

    #[test]
    fn large_literals_are_shared() {
        let big = ndarray::Array1::<f64>::zeros(100_000);
        let pointer = big.as_ptr();
        let mut g = Graph::new();
        g.set("big", big);
        g.set("sum", call(|block: chunkstore_store::Block| block.as_slice::<f64>().unwrap().as_ptr() as usize, (key("big"),)));
        let lowered = g.lower(&[key("sum")]).unwrap();
        assert_eq!((lowered.table.out[0], lowered.table.source[0]), (800_000, true));
        assert_eq!(get::<usize>(&g, "sum").unwrap(), pointer as usize);
    }

    #[test]
    fn a_graph_is_printed_as_in_the_talk() {
        let mut g = Graph::new();
        g.set("x", 1.5);
        g.set(
            ("x", 0, -3),
            call(
                |a: f64, b: String, c: Vec<Vec<f64>>| a + b.len() as f64 + c.len() as f64,
                (key("x"), "a \"text\"", list![list![1.0, key("x")], list![]]),
            ),
        );
        g.set("it's", key("x"));
        let lines: Vec<_> = g.to_string().lines().map(str::to_owned).collect();
        assert_eq!(lines[0], "{'x': 1.5,");
        assert_eq!(lines[1], " ('x', 0, -3): (a_graph_is_printed_as_in_the_talk::{{closure}}, 'x', \"a \\\"text\\\"\", [[1.0, 'x'], []]),");
        assert_eq!(lines[2], " 'it\\'s': 'x'}");
    }
}
