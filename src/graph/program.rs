//! Tasks as they are written into a graph: words, and what the words point to.

use super::function::{Callee, Function, Op};
use super::key_table::KeyTable;
use super::node::{Input, NodeRef, StandsFor};
use super::word::{LIMIT, Word, scalar_bits};
use super::{GraphKey, LayerRef, Operator, Value};
use crate::{Error, Result};
use chunkstore_store::{Chunk, Scalar};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::any::TypeId;
use std::sync::Arc;

/// How deep [`super::AnyArg`]s may be nested in each other.
const DEPTH: u32 = 500;

/// Among so many inputs one that is named again is found.
const FEW: usize = 8;

/// The tasks of a graph: see [`super::word`] for how they are written.
///
/// `pending` holds the words of the arguments that are being written, `height` the number of results on the stack.
#[derive(Clone, Default)]
pub struct Program {
    pub(crate) keys: KeyTable,
    pub(crate) words: Vec<u32>,
    pub(crate) literals: Vec<Value>,
    pub(crate) callees: Vec<Callee>,
    pub(crate) error: Option<Error>,
    items: FxHashMap<(TypeId, Op), u32>,
    last_item: Option<((TypeId, Op), u32)>,
    layers: FxHashMap<super::Key, u32>,
    pending: Vec<u32>,
    height: u32,
    depth: u32,
    /// For a task that stands on its own: what it needs, which its words name by place instead of by key.
    pub(crate) outside: Option<SmallVec<[Input; 2]>>,
    /// Tasks on their own that a graph's tasks mention, and that are to be brought into it.
    pub(crate) brought: Vec<NodeRef>,
}

impl Program {
    /// Writes a task by `write`; gives where its words begin and end.
    pub(crate) fn task(&mut self, write: impl FnOnce(&mut Program)) -> (u32, u32) {
        let start = self.words.len();
        self.height = 0;
        write(self);
        // A call's result is the task's; anything else is an expression.
        if self.pending.first() != Some(&Word::Stack(0).encode()) {
            self.words.extend_from_slice(&self.pending);
        }
        self.pending.clear();
        self.end_task(start)
    }

    /// Where the words of a task that begin at `start` begin and end.
    pub(crate) fn end_task(&mut self, start: usize) -> (u32, u32) {
        if self.words.len() > u32::MAX as usize {
            self.fail("its tasks take more than 16 GiB");
        }
        (start as u32, self.words.len() as u32)
    }

    /// Lets calls that are added later share the functions and layers of another program; `renumbered` says which of its functions are here, and
    /// under which number.
    pub(crate) fn share_callees(&mut self, of: &Program, renumbered: impl Fn(u32) -> Option<u32>) {
        self.items = of.items.iter().filter_map(|(id, callee)| Some((*id, renumbered(*callee)?))).collect();
        self.layers = of.layers.iter().filter_map(|(key, callee)| Some((*key, renumbered(*callee)?))).collect();
    }

    /// For the words of a task that stands on its own.
    pub(crate) fn alone() -> Self {
        Program { outside: Some(SmallVec::new()), ..Program::default() }
    }

    /// The value of a task on its own.
    pub(crate) fn node(&mut self, node: &NodeRef) {
        match node.stands_for() {
            StandsFor::Literal(value) => self.literal(Ok(value.clone())),
            StandsFor::Error(error) => self.literal(Err(error.clone())),
            StandsFor::Input(input) => self.input(input.clone()),
            StandsFor::Itself => self.input(Input::Node(node.clone())),
        }
    }

    /// The value of a task on its own, or a block of a layer.
    pub(crate) fn input(&mut self, input: Input) {
        match &mut self.outside {
            Some(inputs) => {
                let known = if inputs.len() <= FEW { inputs.iter().position(|known| known.is(&input)) } else { None };
                let place = known.unwrap_or_else(|| {
                    inputs.push(input);
                    inputs.len() - 1
                });
                let place = self.checked(place);
                self.push(Word::Key(place));
            }
            None => {
                let node = input.into_node();
                self.key(node.graph_key());
                self.brought.push(node);
            }
        }
    }

    /// Writes the words of a task that stands on its own, with its inputs under the keys that `key` gives.
    pub(crate) fn adopt(&mut self, words: &[u32], literals: &[Value], callees: &[Callee], mut key: impl FnMut(u32) -> GraphKey) {
        let mut at = 0;
        while let Some(word) = words.get(at) {
            let word = Word::decode(*word);
            let rest = words.get(at + 1..at + word.len()).unwrap_or_default();
            at += word.len();
            let word = match word {
                Word::Key(input) => {
                    let id = self.keys.intern(key(input));
                    Word::Key(self.checked(id as usize))
                }
                Word::Literal(literal) => {
                    self.literals.extend(literals.get(literal as usize).cloned());
                    Word::Literal(self.checked(self.literals.len().saturating_sub(1)))
                }
                Word::Step(callee) => match callees.get(callee as usize) {
                    Some(Callee::Function(function)) => {
                        let op = function.op();
                        Word::Step(match op.is_shared() {
                            true => self.find_item((function.concrete(), op), || function.clone()),
                            false => self.add(Callee::Function(function.clone())),
                        })
                    }
                    _ => Word::Step(LIMIT),
                },
                word => word,
            };
            self.words.push(word.encode());
            self.words.extend_from_slice(rest);
        }
    }

    /// A key of a graph.
    pub(crate) fn key(&mut self, key: GraphKey) {
        if self.outside.is_some() {
            let error = Error::new(crate::ErrorKind::Graph, format!("a delayed call cannot take the key {key}: it belongs to no graph"));
            self.error
                .get_or_insert_with(|| error.hint("give it the delayed value itself, or put the call into the graph with `Graph::set`"));
            return;
        }
        let id = self.keys.intern(key);
        let id = self.checked(id as usize);
        self.push(Word::Key(id));
    }

    pub(crate) fn literal(&mut self, value: Result<Value>) {
        match value {
            Ok(Value::Chunk(Chunk::Scalar(scalar))) => self.scalar(scalar),
            Ok(value) => {
                let literal = self.checked(self.literals.len());
                self.push(Word::Literal(literal));
                self.literals.push(value);
            }
            Err(error) => {
                self.error.get_or_insert(error);
            }
        }
    }

    fn scalar(&mut self, scalar: Scalar) {
        let (kind, bits) = scalar_bits(scalar);
        self.pending.extend_from_slice(&[Word::Scalar(kind).encode(), bits as u32, (bits >> 32) as u32]);
    }

    /// A list of the elements that `write` writes and counts.
    pub(crate) fn list(&mut self, write: impl FnOnce(&mut Program) -> u32) {
        let start = self.pending.len();
        self.pending.extend_from_slice(&[0, 0]);
        let count = write(self);
        let len = self.pending.len() - start - 2;
        if let Some(head) = self.pending.get_mut(start..start + 2) {
            head.copy_from_slice(&[Word::List(count.min(LIMIT)).encode(), len as u32]);
        }
        self.checked(count as usize);
    }

    /// A call of a typed function with the arguments that `write` writes and counts.
    #[inline]
    pub(crate) fn call<F: Function + 'static>(&mut self, write: impl FnOnce(&mut Program) -> u32, function: F) {
        let op = function.op();
        let callee = match op.is_shared() {
            true => self.item(op, function),
            false => self.add(Callee::Function(Arc::new(function))),
        };
        self.step(Word::Step(callee), None, write);
    }

    /// A call of a function that is like no other.
    pub(crate) fn call_shared(&mut self, write: impl FnOnce(&mut Program) -> u32, function: Arc<dyn Function>) {
        let callee = self.add(Callee::Function(function));
        self.step(Word::Step(callee), None, write);
    }

    /// The making of one block of a layer from its dependencies.
    pub(crate) fn block(&mut self, layer: &LayerRef, block: u32, write: impl FnOnce(&mut Program) -> u32) {
        let key = layer.key();
        let callee = match self.layers.get(&key) {
            Some(callee) => *callee,
            None => {
                let operator: Arc<dyn Operator> = layer.operator();
                let callee = self.add(Callee::Layer(layer.clone(), operator));
                self.layers.insert(key, callee);
                callee
            }
        };
        self.step(Word::Block(callee), Some(block), write);
    }

    /// Runs `write` one level deeper.
    pub(crate) fn deeper(&mut self, write: impl FnOnce(&mut Program)) {
        if self.depth == DEPTH {
            return self.fail("its arguments are nested too deeply; give the inner ones keys of their own");
        }
        self.depth += 1;
        write(self);
        self.depth -= 1;
    }

    pub(crate) fn step(&mut self, head: Word, block: Option<u32>, write: impl FnOnce(&mut Program) -> u32) {
        let (start, base) = (self.pending.len(), self.height);
        let arity = write(self);
        let args = self.pending.get(start..).unwrap_or_default();
        self.words.extend_from_slice(&[head.encode(), arity, args.len() as u32, base]);
        self.words.extend(block);
        self.words.extend_from_slice(args);
        self.pending.truncate(start);
        let place = self.checked(base as usize);
        self.push(Word::Stack(place));
        self.height = base + 1;
    }

    fn push(&mut self, word: Word) {
        self.pending.push(word.encode());
    }

    /// The number of a function that can be told from others, which all of its calls share.
    #[inline]
    fn item<F: Function + 'static>(&mut self, op: Op, function: F) -> u32 {
        let id = (TypeId::of::<F>(), op);
        match self.last_item {
            Some((last, callee)) if last == id => callee,
            _ => self.find_item(id, || Arc::new(function)),
        }
    }

    fn find_item(&mut self, id: (TypeId, Op), function: impl FnOnce() -> Arc<dyn Function>) -> u32 {
        let callee = match self.items.get(&id) {
            Some(callee) => *callee,
            None => {
                let callee = self.add(Callee::Function(function()));
                self.items.insert(id, callee);
                callee
            }
        };
        self.last_item = Some((id, callee));
        callee
    }

    fn add(&mut self, callee: Callee) -> u32 {
        if let Callee::Function(function) = &callee
            && let Some(fault) = function.fault()
        {
            self.error.get_or_insert(fault);
        }
        self.callees.push(callee);
        self.checked(self.callees.len() - 1)
    }

    /// A number that fits in a word; a graph for which that fails cannot be run.
    #[inline]
    fn checked(&mut self, n: usize) -> u32 {
        if n > LIMIT as usize {
            self.fail("it has more than 2^29 keys, literals or functions");
        }
        n as u32 & LIMIT
    }

    #[cold]
    pub(crate) fn fail(&mut self, why: &str) {
        let error = || Error::new(crate::ErrorKind::Graph, format!("the graph cannot be run: {why}"));
        self.error.get_or_insert_with(error);
    }

    /// The identities of the functions, by number.
    pub(crate) fn op(&self, callee: u32) -> Option<Op> {
        match self.callees.get(callee as usize)? {
            Callee::Function(function) => Some(function.op()),
            Callee::Layer(..) => None,
        }
    }
}
