//! The layer whose blocks are values of tasks that stand on their own.

use super::node::NodeRef;
use super::{Dependency, Key, KeyBuilder, Layer, LayerRef, Operator, Size, Sizes, TaskContext, Value};
use crate::{Error, ErrorKind, Result};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::any::Any;
use std::sync::Arc;

/// What the values of tasks become: blocks of a collection.
pub(crate) trait Becomes: Send + Sync + 'static {
    /// The name of the layer.
    fn name(&self) -> &str;
    /// Where a block stands in the collection's grid.
    fn position(&self, block: u32) -> SmallVec<[u32; 4]>;
    /// The bytes of a block.
    fn bytes(&self, block: u32) -> u64;
    /// What making a block takes and gives, where its size is not known before.
    fn sizes(&self, block: u32) -> Sizes {
        Sizes { out: Size::Exact(self.bytes(block)), scratch: 0, load: 0 }
    }
    /// The block that a value becomes.
    fn convert(&self, task: &TaskContext<'_>, value: &Value) -> Result<Value>;
    /// What tells it from others of its name.
    fn parameters(&self) -> Vec<u8>;
}

/// The values of tasks, one a block, as they are or as blocks of a collection. Before it is linked it names the tasks; then it takes them from layers.
#[derive(Clone)]
pub(crate) struct Picked {
    key: Key,
    nodes: Arc<[NodeRef]>,
    becomes: Option<Arc<dyn Becomes>>,
    linked: Option<(Vec<LayerRef>, Arc<[Dependency]>)>,
}

impl Picked {
    /// The values as they are.
    pub(crate) fn values(nodes: Vec<NodeRef>) -> Self {
        // What is kept of these values has this key: not the same as that of others which take the same values anew.
        Picked { key: Key::fresh(), nodes: nodes.into(), becomes: None, linked: None }
    }

    /// The values as blocks of a collection.
    pub(crate) fn blocks(nodes: Vec<NodeRef>, becomes: Arc<dyn Becomes>) -> Self {
        let key = KeyBuilder::new("picked", 1).inputs(nodes.iter().map(|node| node.key())).text(becomes.name());
        let key = key.bytes(&becomes.parameters()).finish();
        Picked { key, nodes: nodes.into(), becomes: Some(becomes), linked: None }
    }

    /// The layer, if it is one of these.
    pub(crate) fn of(layer: &LayerRef) -> Option<&Picked> {
        layer.as_any().downcast_ref()
    }

    /// The tasks whose values are the blocks.
    pub(crate) fn nodes(&self) -> &[NodeRef] {
        &self.nodes
    }

    /// Whether the values are taken as they are: then a task for taking them is not needed.
    pub(crate) fn is_plain(&self) -> bool {
        self.becomes.is_none()
    }

    pub(crate) fn is_linked(&self) -> bool {
        self.linked.is_some()
    }

    /// The same, once the layer and the block of each task are known.
    pub(super) fn linked(&self, place: impl Fn(&NodeRef) -> Result<(LayerRef, u32)>) -> Result<Picked> {
        let mut inputs: Vec<LayerRef> = Vec::new();
        let mut numbers = FxHashMap::<Key, u32>::default();
        let mut dependencies = Vec::with_capacity(self.nodes.len());
        for node in &*self.nodes {
            let (layer, block) = place(node)?;
            let input = *numbers.entry(layer.key()).or_insert_with(|| {
                inputs.push(layer);
                inputs.len() as u32 - 1
            });
            dependencies.push(Dependency { input, block });
        }
        Ok(Picked { linked: Some((inputs, dependencies.into())), ..self.clone() })
    }

    /// Where the value of a block is, once that is known.
    pub(crate) fn source(&self, block: u32) -> Option<(&LayerRef, u32)> {
        let (inputs, dependencies) = self.linked.as_ref()?;
        let dependency = dependencies.get(block as usize)?;
        Some((inputs.get(dependency.input as usize)?, dependency.block))
    }
}

impl Layer for Picked {
    fn key(&self) -> Key {
        self.key
    }

    fn name(&self) -> &str {
        self.becomes.as_ref().map_or("picked", |becomes| becomes.name())
    }

    fn inputs(&self) -> &[LayerRef] {
        self.linked.as_ref().map_or(&[], |(inputs, _)| inputs)
    }

    fn blocks(&self) -> u32 {
        self.nodes.len() as u32
    }

    fn position(&self, block: u32) -> SmallVec<[u32; 4]> {
        self.becomes.as_ref().map_or_else(|| SmallVec::from_slice(&[block]), |becomes| becomes.position(block))
    }

    fn dependencies(&self, block: u32, out: &mut Vec<Dependency>) {
        out.extend(self.linked.as_ref().and_then(|(_, dependencies)| dependencies.get(block as usize)).copied());
    }

    fn sizes(&self, block: u32) -> Sizes {
        match (&self.becomes, self.nodes.get(block as usize)) {
            (Some(becomes), _) => becomes.sizes(block),
            (None, Some(node)) => Sizes { scratch: 0, ..node.sizes() },
            (None, None) => super::result::unknown(0),
        }
    }

    fn operator(&self) -> Arc<dyn Operator> {
        Arc::new(Pick(self.becomes.clone()))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn with_inputs(&self, inputs: Vec<LayerRef>) -> Option<LayerRef> {
        let (known, dependencies) = self.linked.as_ref()?;
        let linked = Some((inputs, dependencies.clone())).filter(|(inputs, _)| inputs.len() == known.len())?;
        Some(Arc::new(Picked { linked: Some(linked), ..self.clone() }))
    }
}

/// Gives a value as it is, or as a block.
struct Pick(Option<Arc<dyn Becomes>>);

impl Operator for Pick {
    fn name(&self) -> &str {
        self.0.as_ref().map_or("picked", |becomes| becomes.name())
    }

    fn parameters(&self) -> Option<Vec<u8>> {
        None
    }

    fn run(&self, task: &TaskContext<'_>, inputs: &[Value]) -> Result<Value> {
        let value = inputs.first().ok_or_else(|| Error::new(ErrorKind::Graph, "a task was run without its input"))?;
        self.0.as_ref().map_or_else(|| Ok(value.clone()), |becomes| becomes.convert(task, value))
    }
}
