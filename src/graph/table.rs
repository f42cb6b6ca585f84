//! The columnar run-time form: dense task numbers, compressed edges, interned operators.

use super::{Dependency, Key, Layer, LayerRef, Operator};
use crate::{Error, ErrorKind, Result};
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// Tasks by number; a task's inputs have smaller numbers than it has.
#[derive(Clone, Default)]
pub struct TaskTable {
    /// The operator of each layer; the one of a user's graph, whose tasks have no layer.
    pub operators: Vec<Arc<dyn Operator>>,
    /// The layers that tasks come from; `layer` points here.
    pub layers: Vec<LayerRef>,
    /// For each task, its layer. Empty in the table of a user's graph.
    pub layer: Vec<u32>,
    /// For each task, the number of its block. Empty where that is the task's own.
    pub block: Vec<u32>,
    /// Where each task's inputs begin in `inputs`; one more entry than tasks.
    pub input_start: Vec<u32>,
    /// The inputs of all tasks.
    pub inputs: Vec<u32>,
    /// For each task, the bytes of its output.
    pub out: Vec<u64>,
    /// For each task, the bytes it holds beside inputs and output while it runs. Empty means none.
    pub scratch: Vec<u64>,
    /// For each task, the bytes it reads from files that are not ours. Empty means none.
    pub load: Vec<u64>,
    /// For each task, whether it is a source: see [`Layer::is_source`].
    pub source: Vec<bool>,
    /// For each task, whether `out` is exact.
    pub exact: Vec<bool>,
    /// For each task, what the user said of its place among others: see [`Annotations::priority`](super::Annotations::priority). Shorter where the rest is 0.
    pub priority: Vec<i32>,
}

impl TaskTable {
    /// A table without tasks.
    pub fn new() -> Self {
        TaskTable { input_start: vec![0], ..TaskTable::default() }
    }

    /// The number of tasks.
    pub fn len(&self) -> usize {
        self.input_start.len().saturating_sub(1)
    }

    /// Whether there are no tasks.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The inputs of a task, in the order in which its operator takes them.
    pub fn inputs_of(&self, task: u32) -> &[u32] {
        let at = |i: usize| self.input_start.get(i).copied().unwrap_or(0) as usize;
        self.inputs.get(at(task as usize)..at(task as usize + 1)).unwrap_or_default()
    }

    /// The operator that runs a task.
    pub fn operator_of(&self, task: u32) -> Option<&Arc<dyn Operator>> {
        let layer = self.layer.get(task as usize).copied().unwrap_or(0);
        self.operators.get(layer as usize)
    }

    /// The layer that a task comes from.
    pub fn layer_of(&self, task: u32) -> Option<&LayerRef> {
        self.layer.get(task as usize).and_then(|layer| self.layers.get(*layer as usize))
    }

    /// The number of a task's block.
    pub fn block_of(&self, task: u32) -> u32 {
        self.block.get(task as usize).copied().unwrap_or(task)
    }

    /// The scratch bytes of a task.
    pub(crate) fn scratch_of(&self, task: u32) -> u64 {
        self.scratch.get(task as usize).copied().unwrap_or(0)
    }

    /// Whether a task takes memory that is the user's as it is: a source that reads nothing.
    pub(crate) fn is_at_hand(&self, task: u32) -> bool {
        self.source.get(task as usize) == Some(&true) && self.load.get(task as usize).is_none_or(|load| *load == 0)
    }

    /// Says a task's priority.
    pub(crate) fn set_priority(&mut self, task: u32, priority: i32) {
        let at = task as usize;
        if priority != 0 {
            self.priority.resize(self.priority.len().max(at + 1), 0);
            self.priority[at] = priority;
        }
    }

    /// A readable name of a task: `mean-1f2e3d4c[0, 3]`.
    pub fn name_of(&self, task: u32) -> String {
        let (block, operator) = (self.block_of(task), self.operator_of(task));
        if let Some(name) = operator.and_then(|operator| operator.task_name(block)) {
            return name;
        }
        match (self.layer_of(task), operator) {
            (Some(layer), _) => format!("{}-{:.8}{:?}", layer.name(), layer.key().to_string(), layer.position(block).as_slice()),
            (None, Some(operator)) => format!("{}[{block}]", operator.name()),
            (None, None) => format!("task {task}"),
        }
    }
}

/// Turns layers into tasks: only those that the wanted blocks need, each once, inputs first.
#[derive(Default)]
pub struct Lowering {
    table: TaskTable,
    by_key: FxHashMap<Key, u32>,
    made: Vec<FxHashMap<u32, u32>>,
    input_layers: Vec<Vec<u32>>,
}

impl Lowering {
    /// Begins with no tasks.
    pub fn new() -> Self {
        Lowering { table: TaskTable::new(), ..Lowering::default() }
    }

    /// Makes the task for `block` of `layer`, and all that it needs; gives its number.
    ///
    /// # Errors
    /// A graph error where there are more than 2^32 tasks or edges.
    pub fn want(&mut self, layer: &LayerRef, block: u32) -> Result<u32> {
        let layer = self.intern(layer);
        if let Some(task) = self.made[layer as usize].get(&block) {
            return Ok(*task);
        }
        // An explicit stack: graphs may be as deep as they have tasks.
        struct Frame {
            layer: u32,
            block: u32,
            dependencies: Vec<Dependency>,
            next: usize,
        }
        let open = |table: &TaskTable, spare: &mut Vec<Vec<Dependency>>, layer: u32, block: u32| {
            let mut dependencies = spare.pop().unwrap_or_default();
            table.layers[layer as usize].dependencies(block, &mut dependencies);
            Frame { layer, block, dependencies, next: 0 }
        };
        let mut spare = Vec::new();
        let mut stack = vec![open(&self.table, &mut spare, layer, block)];
        let mut task = 0;
        while let Some(frame) = stack.last_mut() {
            if let Some(dependency) = frame.dependencies.get(frame.next) {
                frame.next += 1;
                let input = self.input_layers[frame.layer as usize][dependency.input as usize];
                let block = dependency.block;
                if !self.made[input as usize].contains_key(&block) {
                    let frame = open(&self.table, &mut spare, input, block);
                    stack.push(frame);
                }
            } else if let Some(mut frame) = stack.pop() {
                task = self.add(frame.layer, frame.block, &frame.dependencies)?;
                frame.dependencies.clear();
                spare.push(frame.dependencies);
            }
        }
        Ok(task)
    }

    /// The tasks made so far.
    pub fn finish(self) -> TaskTable {
        self.table
    }

    fn intern(&mut self, layer: &LayerRef) -> u32 {
        let key = layer.key();
        if let Some(known) = self.by_key.get(&key) {
            return *known;
        }
        let mut stack = vec![(layer.clone(), false)];
        while let Some((layer, ready)) = stack.pop() {
            if self.by_key.contains_key(&layer.key()) {
                continue;
            }
            if !ready {
                stack.push((layer.clone(), true));
                stack.extend(layer.inputs().iter().map(|input| (input.clone(), false)));
                continue;
            }
            let own = self.table.layers.len() as u32;
            let mut inputs: Vec<u32> = layer.inputs().iter().filter_map(|input| self.by_key.get(&input.key()).copied()).collect();
            inputs.push(own);
            self.by_key.insert(layer.key(), own);
            self.table.operators.push(layer.operator());
            self.table.layers.push(layer);
            self.input_layers.push(inputs);
            self.made.push(FxHashMap::default());
        }
        self.by_key.get(&key).copied().unwrap_or(0)
    }

    fn add(&mut self, layer: u32, block: u32, dependencies: &[Dependency]) -> Result<u32> {
        let table = &mut self.table;
        let task = table.len();
        if task >= u32::MAX as usize - 1 || table.inputs.len() + dependencies.len() >= u32::MAX as usize {
            return Err(Error::new(ErrorKind::Graph, "more than 2^32 tasks or edges").hint("use larger chunks"));
        }
        for dependency in dependencies {
            let input = self.input_layers[layer as usize][dependency.input as usize];
            let task = self.made[input as usize].get(&dependency.block).copied();
            table.inputs.push(task.ok_or_else(|| Error::new(ErrorKind::Graph, "a graph has a cycle"))?);
        }
        let description: &dyn Layer = &*table.layers[layer as usize];
        let sizes = description.sizes(block);
        table.layer.push(layer);
        table.block.push(block);
        table.input_start.push(table.inputs.len() as u32);
        table.out.push(sizes.out.bytes());
        table.scratch.push(sizes.scratch);
        table.load.push(sizes.load);
        table.source.push(description.is_source());
        table.exact.push(matches!(sizes.out, super::Size::Exact(_)));
        let priority = description.priority(block);
        table.set_priority(task as u32, priority);
        self.made[layer as usize].insert(block, task as u32);
        Ok(task as u32)
    }
}
