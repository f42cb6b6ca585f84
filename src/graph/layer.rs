//! Layers: many tasks of one operator, which come to be only where a result needs them.

use super::{KeptLog, Key, Operator};
use smallvec::SmallVec;
use std::any::Any;
use std::sync::Arc;

/// A shared layer.
pub type LayerRef = Arc<dyn Layer>;

/// How many bytes a task's output takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Just so many.
    Exact(u64),
    /// At most so many.
    AtMost(u64),
    /// Not known before it has run; a first guess.
    Learned(u64),
}

impl Size {
    /// The bytes to book.
    pub fn bytes(self) -> u64 {
        match self {
            Size::Exact(n) | Size::AtMost(n) | Size::Learned(n) => n,
        }
    }
}

/// What a task needs and gives, in bytes of payload.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Its output.
    pub out: Size,
    /// What it holds beside inputs and output while it runs.
    pub scratch: u64,
    /// What it reads from files that are not ours.
    pub load: u64,
}

/// A block of one of a layer's inputs, or of the layer itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// Which of [`Layer::inputs`]; their number stands for the layer itself, whose blocks of smaller numbers may be needed.
    pub input: u32,
    /// Which block of it.
    pub block: u32,
}

/// Many tasks of one operator: one for each block of a lazy collection, made only where a result needs it.
///
/// The methods from [`Layer::with_inputs`] on are how a layer takes part in the optimiser's passes
/// without the passes knowing any collection.
pub trait Layer: Send + Sync + 'static {
    /// Equal work has equal keys.
    fn key(&self) -> Key;

    /// A short readable name, as in Dask: `mean`, `add`, `read_npy`.
    fn name(&self) -> &str;

    /// The layers that it takes blocks from.
    fn inputs(&self) -> &[LayerRef];

    /// The number of blocks.
    fn blocks(&self) -> u32;

    /// Where `block` stands in the collection's grid, for readable keys.
    fn position(&self, block: u32) -> SmallVec<[u32; 4]> {
        SmallVec::from_slice(&[block])
    }

    /// The name of those of its tasks that `block` belongs to, where they are not all of one kind.
    fn kind_of(&self, block: u32) -> Option<&str> {
        let _ = block;
        None
    }

    /// What the user said of the place of `block`'s task among others: see [`Annotations::priority`](super::Annotations::priority).
    fn priority(&self, block: u32) -> i32 {
        let _ = block;
        0
    }

    /// Appends the blocks that `block` is made from, in the order in which the operator takes them.
    fn dependencies(&self, block: u32, out: &mut Vec<Dependency>);

    /// What the task for `block` needs and gives.
    fn sizes(&self, block: u32) -> Sizes;

    /// The bytes of the values that go into `block`, where the layer makes some of them on the way and they are more than its inputs'.
    fn consumed(&self, block: u32) -> Option<u64> {
        let _ = block;
        None
    }

    /// What its tasks run.
    fn operator(&self) -> Arc<dyn Operator>;

    /// Whether its tasks read what is already there (a file, memory of the user's): such a task has no inputs, is run by
    /// the input and output threads, is never spilled, and is run again where it was evicted.
    fn is_source(&self) -> bool {
        false
    }

    /// Whether a task is so cheap to run that each consumer may run its own copy: creation and the like.
    fn is_cheap(&self) -> bool {
        false
    }

    /// Whether a block may take more than `bytes` where it is kept, and can be streamed by each consumer in place of that.
    fn is_larger_than(&self, bytes: u64) -> bool {
        let _ = bytes;
        false
    }

    /// The layer's own type, for layers of the same collection to recognise each other.
    fn as_any(&self) -> &dyn Any;

    /// The same work on other inputs (the same values by other means); `None` if it has no inputs.
    fn with_inputs(&self, inputs: Vec<LayerRef>) -> Option<LayerRef>;

    /// One layer that does this layer's work and that of its `input`-th input; `None` if they cannot be one.
    fn absorb(&self, input: usize) -> Option<LayerRef> {
        let _ = input;
        None
    }

    /// Whether its key means the same in another process of the same build: nothing that it is made of is known to this process alone.
    fn is_portable(&self) -> bool {
        false
    }

    /// Of a layer that ends the writing of a log, whose first input opens it and whose second writes to it, each block being a task of the log: the log, where it can be known
    /// again. Then a task that is committed in it needs no input but the log.
    fn seals(&self) -> Option<KeptLog> {
        None
    }

    /// The same values made from smaller inputs: a slice or a transposition that moves below what it is taken of.
    fn push_down(&self) -> Option<LayerRef> {
        None
    }

    /// The line of the user's program that a failure of its tasks is to be told with, where the layer runs the user's code.
    fn location(&self) -> Option<&'static std::panic::Location<'static>> {
        None
    }

    /// How its output decides what comes next, if it does.
    fn barrier(&self) -> Option<&dyn Barrier> {
        None
    }

    /// The least and the most bytes of an output that is memory for other tasks to use, such as the buffer of an append log: it gets a part of the engine's memory,
    /// whatever [`Layer::sizes`] says.
    fn holds(&self) -> Option<(u64, u64)> {
        None
    }

    /// The most bytes, about, that its tasks write to an append log, all together.
    fn shuffled(&self) -> u64 {
        0
    }

    /// The append log that it seals: its key, and the most bytes, about, that go through it.
    fn shuffles(&self) -> Option<(Key, u64)> {
        None
    }

    /// Layers with the same sharing key can serve each other's consumers; of those in one run only the one with the
    /// highest rank is computed (the mean comes with the variance, say).
    fn sharing(&self) -> Option<(Key, u8)> {
        None
    }
}

/// A layer of one block whose output decides what comes next: splitters, unique values, the shape of a mask.
pub trait Barrier {
    /// Which of the layer's inputs the layers to come take: all blocks of these are computed, and stay until then.
    fn held(&self) -> Vec<usize>;

    /// The layers whose every block is to be run now that the output is known. `held` stand for the inputs that
    /// [`Barrier::held`] names, in that order.
    ///
    /// # Errors
    /// Whatever makes the output useless; the error ends the run.
    fn expand(&self, output: &super::Value, held: &[LayerRef]) -> crate::Result<Vec<LayerRef>>;
}
