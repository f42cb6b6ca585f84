//! Tasks that stand on their own and point to what they need: what delayed values are made of.

use super::codec::Codec;
use super::content::content_key;
use super::function::{Callee, Function};
use super::graph::Said;
use super::graph_calls::evaluate;
use super::program::Program;
use super::result::unknown;
use super::word::Word;
use super::{Annotations, GraphKey, Key, KeyBuilder, LayerRef, Size, Sizes, TaskContext, Value};
use crate::{Error, ErrorKind, Result};
use smallvec::SmallVec;
use std::cell::RefCell;
use std::panic::Location;
use std::sync::Arc;

/// A shared task.
pub(crate) type NodeRef = Arc<Node>;

/// A task that stands on its own: what it does, and what it needs. Equal keys mean equal values.
pub(crate) struct Node {
    key: Key,
    /// Whether the key means the same to another process, if those of what it needs do.
    known: bool,
    name: Name,
    body: Body,
    inputs: SmallVec<[Input; 2]>,
    line: &'static Location<'static>,
}

/// What a task needs.
#[derive(Clone)]
pub(crate) enum Input {
    /// The value of another task.
    Node(NodeRef),
    /// A block of a layer.
    Block(LayerRef, u32),
}

/// What a task is called.
#[derive(Clone)]
enum Name {
    /// As the function that it calls.
    Function,
    /// By this in place of the function's name.
    Label(Arc<str>),
    /// By this, and nothing else.
    Whole(Arc<str>),
}

#[derive(Clone)]
enum Body {
    /// Words whose keys are places in `inputs`.
    Task { words: SmallVec<[u32; 8]>, literals: Box<[Value]>, callees: SmallVec<[Callee; 1]>, calls: bool, retries: u32, priority: i32 },
    /// A value that is there already.
    Literal(Value),
    /// The value of the only input.
    Alias,
    /// What was wrong with its arguments.
    Broken(Error),
}

/// What an argument that names a task can name in its place.
pub(crate) enum StandsFor<'a> {
    Literal(&'a Value),
    Input(&'a Input),
    Error(&'a Error),
    Itself,
}

/// How a function is called.
#[derive(Clone, Default)]
pub(crate) struct CallOptions {
    /// The name of its tasks.
    pub(crate) label: Option<Arc<str>>,
    /// Whether equal calls are the same task, where their arguments can be compared.
    pub(crate) pure: bool,
    /// How often a task that has returned an error is run again.
    pub(crate) retries: Option<u32>,
    /// Which of them run first.
    pub(crate) priority: Option<i32>,
    /// What is wrong with how the function is registered.
    pub(crate) fault: Option<Error>,
}

impl Input {
    /// Whether both are the same task or block.
    pub(crate) fn is(&self, other: &Input) -> bool {
        match (self, other) {
            (Input::Node(a), Input::Node(b)) => Arc::ptr_eq(a, b),
            (Input::Block(a, i), Input::Block(b, j)) => i == j && std::ptr::addr_eq(&raw const **a, &raw const **b),
            _ => false,
        }
    }

    /// The task; for a block, one that has its value.
    #[track_caller]
    pub(crate) fn into_node(self) -> NodeRef {
        match self {
            Input::Node(node) => node,
            Input::Block(layer, block) => Node::block(layer, block, Location::caller()),
        }
    }

    /// Adds what it is to a key.
    pub(super) fn add_to(&self, key: KeyBuilder) -> KeyBuilder {
        match self {
            Input::Node(node) => key.number(0).input(node.key),
            Input::Block(layer, block) => key.number(1).input(layer.key()).number(u64::from(*block)),
        }
    }
}

impl Node {
    /// A call of `function` with the arguments that `write` writes and counts.
    pub(crate) fn call(
        function: &Arc<dyn Function>,
        options: &CallOptions,
        write: impl FnOnce(&mut Program) -> u32,
        line: &'static Location<'static>,
    ) -> NodeRef {
        if let Some(fault) = &options.fault {
            return Node::broken(fault.clone(), line);
        }
        let mut program = Program::alone();
        program.callees.push(Callee::Function(function.clone()));
        program.task(|program| program.step(Word::Step(0), None, write));
        let said = Annotations::here();
        let name = options.label.clone().or(said.label).map_or(Name::Function, Name::Label);
        let (retries, priority) = (options.retries.or(said.retries), options.priority.or(said.priority));
        Node::written(program, name, options.pure, true, (retries.unwrap_or(0), priority.unwrap_or(0)), line)
    }

    /// The value of what `write` writes: a list, a literal, another task.
    pub(crate) fn expression(write: impl FnOnce(&mut Program), line: &'static Location<'static>) -> NodeRef {
        let mut program = Program::alone();
        program.task(write);
        Node::written(program, Name::Function, true, false, (0, 0), line)
    }

    fn written(
        program: Program,
        name: Name,
        pure: bool,
        calls: bool,
        (retries, priority): (u32, i32),
        line: &'static Location<'static>,
    ) -> NodeRef {
        let Program { words, mut literals, callees, error, outside, .. } = program;
        let inputs = outside.unwrap_or_default();
        if let Some(error) = error {
            return Arc::new(Node { key: Key::fresh(), known: false, name, body: Body::Broken(error.from_line(line)), inputs, line });
        }
        if let [word] = *words {
            match Word::decode(word) {
                Word::Key(0) => return Arc::new(Node { key: alias_key(&inputs), known: true, name, body: Body::Alias, inputs, line }),
                Word::Literal(_) => {
                    let key = content_key(&words, &literals, &[], &[]);
                    let body = literals.pop().map_or(Body::Literal(Value::None), Body::Literal);
                    return Arc::new(Node { key: key.unwrap_or_else(Key::fresh), known: key.is_some(), name, body, inputs, line });
                }
                _ => {}
            }
        }
        let key = if pure { content_key(&words, &literals, &callees, &inputs) } else { None };
        let is_registered = |callee: &Callee| matches!(callee, Callee::Function(function) if function.op().is_registered());
        let known = key.is_some() && callees.iter().all(is_registered);
        let body = Body::Task {
            words: SmallVec::from_slice(&words),
            literals: literals.into_boxed_slice(),
            callees: callees.into_iter().collect(),
            calls,
            retries,
            priority,
        };
        Arc::new(Node { key: key.unwrap_or_else(Key::fresh), known, name, body, inputs, line })
    }

    /// The value of a block of a layer.
    pub(crate) fn block(layer: LayerRef, block: u32, line: &'static Location<'static>) -> NodeRef {
        let inputs: SmallVec<[Input; 2]> = [Input::Block(layer, block)].into_iter().collect();
        Arc::new(Node { key: alias_key(&inputs), known: true, name: Name::Function, body: Body::Alias, inputs, line })
    }

    /// A task that cannot be run.
    pub(crate) fn broken(error: Error, line: &'static Location<'static>) -> NodeRef {
        let body = Body::Broken(error.from_line(line));
        Arc::new(Node { key: Key::fresh(), known: false, name: Name::Function, body, inputs: SmallVec::new(), line })
    }

    /// The same task under another name: one of its own.
    pub(crate) fn named(&self, name: &str) -> NodeRef {
        let key = KeyBuilder::new("named", 1).text(name).input(self.key).finish();
        let name = Name::Whole(name.into());
        Arc::new(Node { key, known: self.known, name, body: self.body.clone(), inputs: self.inputs.clone(), line: self.line })
    }

    /// The same task with its value from a block of a layer.
    pub(crate) fn with_block(&self, layer: LayerRef, block: u32) -> NodeRef {
        let inputs = [Input::Block(layer, block)].into_iter().collect();
        let name = match &self.name {
            Name::Function => Name::Label(self.label().into()),
            name => name.clone(),
        };
        Arc::new(Node { key: self.key, known: self.known, name, body: Body::Alias, inputs, line: self.line })
    }

    /// Equal keys mean equal values.
    pub(crate) fn key(&self) -> Key {
        self.key
    }

    /// Whether the key means the same to another process, if those of what it needs do: it calls only registered functions, with arguments that can be
    /// compared.
    pub(crate) fn is_known(&self) -> bool {
        self.known
    }

    /// How an object that it gives is kept on disk.
    pub(crate) fn codec(&self) -> Option<Codec> {
        match &self.body {
            Body::Task { callees, calls: true, .. } => match callees.first() {
                Some(Callee::Function(function)) => function.codec(),
                _ => None,
            },
            _ => None,
        }
    }

    /// What the user said of it.
    pub(super) fn said(&self) -> Said {
        match self.body {
            Body::Task { retries, priority, .. } => Said { retries, priority },
            _ => Said::default(),
        }
    }

    /// What the user said of its place among others.
    pub(crate) fn priority(&self) -> i32 {
        match self.body {
            Body::Task { priority, .. } => priority,
            _ => 0,
        }
    }

    /// Whether it calls a function.
    pub(crate) fn is_call(&self) -> bool {
        matches!(self.body, Body::Task { calls: true, .. })
    }

    /// What it needs, in the order in which it is given it.
    pub(crate) fn inputs(&self) -> &[Input] {
        &self.inputs
    }

    /// The name that was chosen for it and no other.
    pub(crate) fn whole_name(&self) -> Option<&str> {
        match &self.name {
            Name::Whole(name) => Some(name),
            _ => None,
        }
    }

    /// The name of the function that it calls.
    pub(crate) fn function_name(&self) -> Option<&str> {
        match &self.body {
            Body::Task { callees, calls: true, .. } => callees.first().map(Callee::name),
            _ => None,
        }
    }

    /// The name that it shares with tasks of its kind.
    pub(crate) fn label(&self) -> &str {
        match (&self.name, &self.body) {
            (Name::Label(name) | Name::Whole(name), _) => name,
            (_, Body::Task { calls: true, .. }) => self.function_name().unwrap_or("call"),
            (_, Body::Task { .. }) => "list",
            (_, Body::Literal(_)) => "value",
            (_, Body::Alias) => self.inputs.first().map_or("value", |input| match input {
                Input::Node(_) => "value",
                Input::Block(layer, _) => layer.name(),
            }),
            (_, Body::Broken(_)) => "error",
        }
    }

    /// Its key in a graph: its name and the digits of its key, or the name that was chosen for it.
    pub(crate) fn graph_key(&self) -> GraphKey {
        match &self.name {
            Name::Whole(name) => GraphKey::from(&**name),
            _ => GraphKey::from(format!("{}-{}", self.label(), self.key)),
        }
    }

    /// The same, shorter, for errors.
    pub(crate) fn short_name(&self) -> String {
        match &self.name {
            Name::Whole(name) => name.to_string(),
            _ => format!("{}-{:.8}", self.label(), self.key.to_string()),
        }
    }

    /// What is wrong with it.
    pub(crate) fn error(&self) -> Option<&Error> {
        match &self.body {
            Body::Broken(error) => Some(error),
            _ => None,
        }
    }

    /// What has its value without a task.
    pub(crate) fn stands_for(&self) -> StandsFor<'_> {
        match (&self.body, self.inputs.first()) {
            (Body::Literal(value), _) => StandsFor::Literal(value),
            (Body::Broken(error), _) => StandsFor::Error(error),
            (Body::Alias, Some(input)) => StandsFor::Input(input),
            _ => StandsFor::Itself,
        }
    }

    /// What is known of its value before it has run.
    pub(crate) fn sizes(&self) -> Sizes {
        match &self.body {
            Body::Task { callees, calls: true, .. } => match callees.first() {
                Some(Callee::Function(function)) => function.sizes(),
                _ => unknown(0),
            },
            Body::Literal(value) => Sizes { out: Size::Exact(value.nbytes()), scratch: 0, load: 0 },
            _ => unknown(0),
        }
    }

    /// Runs it. An error that its function returned is tried again as often as was asked for.
    pub(crate) fn run(&self, task: &TaskContext<'_>, inputs: &[Value]) -> Result<Value> {
        let missing = || Error::new(ErrorKind::Graph, "a task was run without its input");
        let (words, literals, callees, retries) = match &self.body {
            Body::Task { words, literals, callees, retries, .. } => (words, literals, callees, *retries),
            Body::Literal(value) => return Ok(value.clone()),
            Body::Alias => return inputs.first().cloned().ok_or_else(missing),
            Body::Broken(error) => return Err(error.clone()),
        };
        retried(task, retries, || evaluate(task, words, inputs, literals, callees)).map_err(|error| error.from_line(self.line))
    }

    /// Writes it as a task of a graph, its inputs under the keys that `key` gives.
    pub(super) fn write(&self, program: &mut Program, mut key: impl FnMut(u32) -> GraphKey) {
        match &self.body {
            Body::Task { words, literals, callees, .. } => program.adopt(words, literals, callees, key),
            Body::Literal(value) => program.literal(Ok(value.clone())),
            Body::Alias => program.key(key(0)),
            Body::Broken(error) => program.literal(Err(error.clone())),
        }
    }
}

/// Runs a task, up to `retries` times more where its function returned an error.
pub(super) fn retried(task: &TaskContext<'_>, retries: u32, run: impl Fn() -> Result<Value>) -> Result<Value> {
    let mut left = retries;
    loop {
        match run() {
            Err(error) if error.kind() == ErrorKind::Failed && left > 0 => {
                if task.is_cancelled() {
                    return Err(Error::new(ErrorKind::Cancelled, "the run was cancelled"));
                }
                left -= 1;
            }
            done => return done,
        }
    }
}

fn alias_key(inputs: &[Input]) -> Key {
    inputs.iter().fold(KeyBuilder::new("alias", 1), |key, input| input.add_to(key)).finish()
}

impl Drop for Node {
    /// Takes no stack however long the chain of tasks is: the outermost drop on a thread works through a list; the drops that it causes
    /// only add to the list.
    fn drop(&mut self) {
        thread_local! {
            static WAITING: RefCell<Option<Vec<Input>>> = const { RefCell::new(None) };
        }
        if self.inputs.is_empty() {
            return;
        }
        let mine = std::mem::take(&mut self.inputs);
        // A thread that is ending has no list any more: the plain drop is right, if deep.
        let outermost = WAITING.try_with(|waiting| match &mut *waiting.borrow_mut() {
            Some(list) => {
                list.extend(mine);
                false
            }
            none => {
                *none = Some(mine.into_vec());
                true
            }
        });
        if outermost != Ok(true) {
            return;
        }
        let next = || WAITING.try_with(|waiting| waiting.borrow_mut().as_mut().and_then(Vec::pop)).ok().flatten();
        while let Some(input) = next() {
            drop(input);
        }
        let _ = WAITING.try_with(|waiting| waiting.borrow_mut().take());
    }
}
