//! Tasks that stand on their own become layers, together: those that several results need are there once.
//!
//! Tasks and layers need each other in any way that is no circle. All tasks that need no layer made from tasks are one layer, of level 0; those that need
//! layers made from these are the layer of level 1, and so on.

use super::node::{Input, NodeRef, StandsFor};
use super::picked::Picked;
use super::{Dependency, Key, KeyBuilder, Layer, LayerRef, Operator, Sizes, TaskContext, Value};
use crate::{Error, ErrorKind, Result};
use rustc_hash::FxHashMap;
use std::any::Any;
use std::sync::Arc;

/// Layers in which no task stands on its own.
pub(crate) struct Linked {
    /// The layers of tasks, inputs before their users; every block of them is needed.
    pub(crate) tasks: Vec<LayerRef>,
    /// What was given, in its order.
    pub(crate) layers: Vec<LayerRef>,
}

/// The layers that stand for `roots` once the tasks that they pick values of are layers too.
///
/// # Errors
/// The first error of a task that cannot be run; a graph error where two tasks have one name.
pub(crate) fn link(roots: Vec<LayerRef>) -> Result<Linked> {
    let mut sorting = Sorting::default();
    sorting.sort(&roots)?;
    if sorting.nodes.is_empty() && sorting.layers.is_empty() {
        return Ok(Linked { tasks: Vec::new(), layers: roots });
    }
    sorting.build(roots)
}

/// On the way through tasks and layers.
enum Item {
    Node(NodeRef),
    Layer(LayerRef),
}

/// Tasks and layers by level, inputs first.
#[derive(Default)]
struct Sorting {
    /// For each level, its tasks.
    nodes: Vec<Vec<NodeRef>>,
    /// For each task its level, and its place there.
    places: FxHashMap<Key, (u32, u32)>,
    /// For each level above 0, the layers that need tasks of the levels below.
    layers: Vec<Vec<LayerRef>>,
    /// For each layer, its level.
    levels: FxHashMap<Key, u32>,
    /// The tasks that have a name of their own.
    named: FxHashMap<String, Key>,
}

fn grown<T>(lists: &mut Vec<Vec<T>>, level: u32) -> Option<&mut Vec<T>> {
    if lists.len() <= level as usize {
        lists.resize_with(level as usize + 1, Vec::new);
    }
    lists.get_mut(level as usize)
}

impl Sorting {
    fn sort(&mut self, roots: &[LayerRef]) -> Result<()> {
        let mut stack: Vec<(Item, bool)> = roots.iter().rev().map(|root| (Item::Layer(root.clone()), false)).collect();
        while let Some((item, ready)) = stack.pop() {
            match item {
                Item::Node(node) if ready => self.add_node(node)?,
                Item::Node(node) => {
                    if self.places.contains_key(&node.key()) {
                        continue;
                    }
                    if let Some(error) = node.error() {
                        return Err(error.clone());
                    }
                    stack.push((Item::Node(node.clone()), true));
                    for input in node.inputs().iter().rev() {
                        match input {
                            Input::Node(input) if self.places.contains_key(&input.key()) => {}
                            Input::Node(input) => stack.push((Item::Node(input.clone()), false)),
                            Input::Block(layer, _) => stack.push((Item::Layer(layer.clone()), false)),
                        }
                    }
                }
                Item::Layer(layer) if ready => self.add_layer(layer),
                Item::Layer(layer) => {
                    if self.levels.contains_key(&layer.key()) {
                        continue;
                    }
                    stack.push((Item::Layer(layer.clone()), true));
                    stack.extend(layer.inputs().iter().rev().map(|input| (Item::Layer(input.clone()), false)));
                    if let Some(picked) = Picked::of(&layer).filter(|picked| !picked.is_linked()) {
                        for node in picked.nodes().iter().rev() {
                            match node.stands_for() {
                                StandsFor::Input(Input::Block(layer, _)) => stack.push((Item::Layer(layer.clone()), false)),
                                StandsFor::Input(Input::Node(node)) => stack.push((Item::Node(node.clone()), false)),
                                _ => stack.push((Item::Node(node.clone()), false)),
                            }
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn add_node(&mut self, node: NodeRef) -> Result<()> {
        let key = node.key();
        if self.places.contains_key(&key) {
            return Ok(());
        }
        if let Some(name) = node.whole_name()
            && self.named.insert(name.to_owned(), key).is_some()
        {
            let error = Error::new(ErrorKind::Graph, format!("two different tasks are named '{name}'"));
            return Err(error.hint("name a delayed value once and use its clones, or give each a name of its own"));
        }
        let level = node.inputs().iter().map(|input| match input {
            Input::Node(input) => self.places.get(&input.key()).map_or(0, |place| place.0),
            Input::Block(layer, _) => self.levels.get(&layer.key()).copied().unwrap_or(0),
        });
        let level = level.max().unwrap_or(0);
        if let Some(nodes) = grown(&mut self.nodes, level) {
            self.places.insert(key, (level, nodes.len() as u32));
            nodes.push(node);
        }
        match self.places.len() < u32::MAX as usize {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::Graph, "more than 2^32 delayed calls").hint("use fewer, larger tasks")),
        }
    }

    fn add_layer(&mut self, layer: LayerRef) {
        let of_layers = layer.inputs().iter().map(|input| self.levels.get(&input.key()).copied().unwrap_or(0)).max().unwrap_or(0);
        let picked = Picked::of(&layer).filter(|picked| !picked.is_linked());
        let of_nodes = picked.map_or(0, |picked| {
            let levels = picked.nodes().iter().map(|node| match node.stands_for() {
                StandsFor::Input(Input::Block(layer, _)) => self.levels.get(&layer.key()).copied().unwrap_or(0),
                StandsFor::Input(Input::Node(node)) => self.places.get(&node.key()).map_or(0, |place| place.0 + 1),
                _ => self.places.get(&node.key()).map_or(0, |place| place.0 + 1),
            });
            levels.max().unwrap_or(0).max(1)
        });
        let level = of_layers.max(of_nodes);
        if self.levels.insert(layer.key(), level).is_none()
            && level > 0
            && let Some(layers) = grown(&mut self.layers, level)
        {
            layers.push(layer);
        }
    }

    fn build(self, roots: Vec<LayerRef>) -> Result<Linked> {
        let Sorting { nodes, places, layers, .. } = self;
        let mut built = FxHashMap::<Key, LayerRef>::default();
        let mut tasks: Vec<LayerRef> = Vec::new();
        let (mut nodes, mut layers) = (nodes.into_iter(), layers.into_iter());
        // Levels with tasks and levels with layers take turns.
        loop {
            let (level, here) = (nodes.next(), layers.next());
            if level.is_none() && here.is_none() {
                break;
            }
            for layer in here.into_iter().flatten() {
                let input = |input: &LayerRef| built.get(&input.key()).unwrap_or(input).clone();
                let linked = match Picked::of(&layer).filter(|picked| !picked.is_linked()) {
                    Some(picked) => Arc::new(picked.linked(|node| resolve(node, &places, &tasks, &input))?),
                    None => {
                        let inputs: Vec<LayerRef> = layer.inputs().iter().map(input).collect();
                        layer.with_inputs(inputs).unwrap_or_else(|| layer.clone())
                    }
                };
                built.insert(layer.key(), linked);
            }
            let level = level.unwrap_or_default();
            tasks.push(Arc::new(NodeLayer::new(level, tasks.len() as u32, &places, &tasks, &built)?));
        }
        let layers = roots.into_iter().map(|root| built.get(&root.key()).cloned().unwrap_or(root)).collect();
        tasks.retain(|layer| layer.blocks() > 0);
        Ok(Linked { tasks, layers })
    }
}

/// The layer and the block in which the value of a task is.
fn resolve(
    node: &NodeRef,
    places: &FxHashMap<Key, (u32, u32)>,
    tasks: &[LayerRef],
    layer: &impl Fn(&LayerRef) -> LayerRef,
) -> Result<(LayerRef, u32)> {
    let node = match node.stands_for() {
        StandsFor::Input(Input::Block(of, block)) => return Ok((layer(of), *block)),
        StandsFor::Input(Input::Node(node)) => node,
        _ => node,
    };
    let place = places.get(&node.key()).and_then(|(level, number)| Some((tasks.get(*level as usize)?.clone(), *number)));
    place.ok_or_else(defect)
}

fn defect() -> Error {
    Error::new(ErrorKind::Graph, "a delayed value has no task; this is a defect of the engine")
}

/// Tasks of all kinds, which take values from each other, from tasks of lower levels, and from blocks of other layers.
pub(crate) struct NodeLayer {
    tasks: Arc<Tasks>,
    inputs: Vec<LayerRef>,
}

struct Tasks {
    key: Key,
    nodes: Vec<NodeRef>,
    /// Where each task's dependencies end.
    ends: Vec<u32>,
    dependencies: Vec<Dependency>,
}

impl NodeLayer {
    fn new(
        nodes: Vec<NodeRef>,
        level: u32,
        places: &FxHashMap<Key, (u32, u32)>,
        below: &[LayerRef],
        built: &FxHashMap<Key, LayerRef>,
    ) -> Result<Self> {
        const WITHIN: u32 = u32::MAX;
        let mut inputs: Vec<LayerRef> = Vec::new();
        let mut numbers = FxHashMap::<Key, u32>::default();
        let mut number = |layer: &LayerRef| {
            *numbers.entry(layer.key()).or_insert_with(|| {
                inputs.push(built.get(&layer.key()).unwrap_or(layer).clone());
                inputs.len() as u32 - 1
            })
        };
        let (mut ends, mut dependencies) = (Vec::with_capacity(nodes.len()), Vec::new());
        for node in &nodes {
            for input in node.inputs() {
                dependencies.push(match input {
                    Input::Block(layer, block) => Dependency { input: number(layer), block: *block },
                    Input::Node(node) => match places.get(&node.key()) {
                        Some((of, block)) if *of == level => Dependency { input: WITHIN, block: *block },
                        Some((of, block)) => Dependency { input: number(below.get(*of as usize).ok_or_else(defect)?), block: *block },
                        None => return Err(defect()),
                    },
                });
            }
            ends.push(dependencies.len() as u32);
        }
        if dependencies.len() >= u32::MAX as usize {
            return Err(Error::new(ErrorKind::Graph, "more than 2^32 arguments of delayed calls").hint("use fewer, larger tasks"));
        }
        let own = inputs.len() as u32;
        dependencies.iter_mut().filter(|dependency| dependency.input == WITHIN).for_each(|dependency| dependency.input = own);
        let key = KeyBuilder::new("delayed", 1).nonce().finish();
        Ok(NodeLayer { tasks: Arc::new(Tasks { key, nodes, ends, dependencies }), inputs })
    }

    /// The layer, if it is one of tasks that stood on their own.
    pub(crate) fn of(layer: &LayerRef) -> Option<&NodeLayer> {
        layer.as_any().downcast_ref()
    }

    /// The task that a block is.
    pub(crate) fn node(&self, block: u32) -> Option<&NodeRef> {
        self.tasks.nodes.get(block as usize)
    }
}

impl Layer for NodeLayer {
    fn key(&self) -> Key {
        self.tasks.key
    }

    fn name(&self) -> &str {
        "delayed"
    }

    fn inputs(&self) -> &[LayerRef] {
        &self.inputs
    }

    fn blocks(&self) -> u32 {
        self.tasks.nodes.len() as u32
    }

    fn kind_of(&self, block: u32) -> Option<&str> {
        Some(self.node(block)?.label())
    }

    fn priority(&self, block: u32) -> i32 {
        self.node(block).map_or(0, |node| node.priority())
    }

    fn dependencies(&self, block: u32, out: &mut Vec<Dependency>) {
        let at = |block: u32| self.tasks.ends.get(block as usize).copied().unwrap_or(0) as usize;
        let start = block.checked_sub(1).map_or(0, at);
        out.extend_from_slice(self.tasks.dependencies.get(start..at(block)).unwrap_or_default());
    }

    fn sizes(&self, block: u32) -> Sizes {
        self.node(block).map_or_else(|| super::result::unknown(0), |node| node.sizes())
    }

    fn operator(&self) -> Arc<dyn Operator> {
        Arc::new(RunNodes(self.tasks.clone()))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn with_inputs(&self, inputs: Vec<LayerRef>) -> Option<LayerRef> {
        (inputs.len() == self.inputs.len() && !inputs.is_empty())
            .then(|| Arc::new(NodeLayer { tasks: self.tasks.clone(), inputs }) as LayerRef)
    }
}

/// Runs tasks that stood on their own.
struct RunNodes(Arc<Tasks>);

impl Operator for RunNodes {
    fn name(&self) -> &str {
        "delayed"
    }

    fn parameters(&self) -> Option<Vec<u8>> {
        None
    }

    fn run(&self, task: &TaskContext<'_>, inputs: &[Value]) -> Result<Value> {
        self.0.nodes.get(task.block() as usize).ok_or_else(defect)?.run(task, inputs)
    }

    fn task_name(&self, block: u32) -> Option<String> {
        Some(self.0.nodes.get(block as usize)?.short_name())
    }
}
