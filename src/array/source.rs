//! The layer of arrays that are already there: in files, and in memory of the user's.

use super::Chunks;
use super::body::c_strides;
use super::view::{InputAxis, View};
use crate::Result;
use crate::graph::{Dependency, Key, KeyBuilder, Layer, LayerRef, Operator, Sizes, TaskContext, Value};
use chunkstore_store::Block;
use smallvec::SmallVec;
use std::any::Any;
use std::sync::Arc;

/// The elements of one axis that are read: `count` of them from `start` on, `step` apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) start: usize,
    pub(super) step: usize,
    pub(super) count: usize,
}

/// Something of which regions can be read.
pub(super) trait Reader: Send + Sync + 'static {
    /// The name shown for its tasks.
    fn name(&self) -> &'static str;
    /// What it is: equal content has equal keys.
    fn key(&self) -> Key;
    /// What names it in another process; `None` where it is in this one's memory.
    fn parameters(&self) -> Option<Vec<u8>>;
    /// What reading a region takes.
    fn sizes(&self, region: &[Stretch]) -> Sizes;
    /// The elements of a region, in C order.
    fn read(&self, task: &TaskContext<'_>, region: &[Stretch]) -> Result<Block>;
}

/// A source: for each axis of what is read where it begins and the distance of its elements, and how it is cut.
pub(super) struct Source {
    inner: Arc<Inner>,
    key: Key,
}

struct Inner {
    reader: Arc<dyn Reader>,
    axes: SmallVec<[(usize, usize); 4]>,
    grid: Chunks,
}

impl Source {
    /// All of what `reader` reads, cut as said.
    pub(super) fn new(reader: Arc<dyn Reader>, grid: Chunks) -> Self {
        let axes = SmallVec::from_elem((0, 1), grid.ndim());
        Source::part(reader, axes, grid)
    }

    fn part(reader: Arc<dyn Reader>, axes: SmallVec<[(usize, usize); 4]>, grid: Chunks) -> Self {
        let key = KeyBuilder::new("source", 1).input(reader.key()).input(grid.digest());
        let key = axes.iter().fold(key, |key, (start, step)| key.number(*start as u64).number(*step as u64)).finish();
        Source { inner: Arc::new(Inner { reader, axes, grid }), key }
    }

    /// The same elements cut in another way.
    pub(super) fn recut(&self, grid: Chunks) -> Source {
        Source::part(self.inner.reader.clone(), self.inner.axes.clone(), grid)
    }

    /// A source of only what a view takes of this one, how it is cut, and the view of it that is left: its axes in
    /// another order, downwards, or repeated. `None` where more than half of the blocks that it touches is taken.
    pub(super) fn narrowed(&self, view: &View, out: &Chunks, chunks: &Chunks) -> Option<(LayerRef, Chunks, View)> {
        if out.size() == 0 {
            return None;
        }
        let (mut taken, mut touched) = (1u128, 1u128);
        let (mut axes, mut lists, mut rest) = (SmallVec::new(), Vec::new(), SmallVec::new());
        for (k, (axis, (start, step))) in view.axes.iter().zip(&self.inner.axes).enumerate() {
            let (mut list, count) = match axis.out {
                Some(d) => (out.extents(d as usize).collect::<Vec<_>>(), *out.shape().get(d as usize)?),
                None => (vec![1], 1),
            };
            taken *= count as u128;
            touched *= touched_extent(axis, &list, chunks, k);
            let last = axis.start + axis.step * (count as i64 - 1);
            let low = usize::try_from(axis.start.min(last)).ok()?;
            axes.push((start + step * low, step * (axis.step.unsigned_abs() as usize).max(1)));
            if axis.step < 0 {
                list.reverse();
            }
            lists.push(list);
            rest.push(match axis.out {
                None => InputAxis { out: None, start: 0, step: 0 },
                Some(_) if axis.step < 0 => InputAxis { out: axis.out, start: count as i64 - 1, step: -1 },
                Some(_) => InputAxis { out: axis.out, start: 0, step: 1 },
            });
        }
        if taken * 2 > touched {
            return None;
        }
        let grid = Chunks::new(lists).ok()?;
        let source = Source::part(self.inner.reader.clone(), axes, grid.clone());
        Some((Arc::new(source), grid, View { axes: rest }))
    }
}

/// The elements of axis `k` in the chunks that a view takes something of.
fn touched_extent(axis: &InputAxis, list: &[usize], chunks: &Chunks, k: usize) -> u128 {
    let (mut at, mut total, mut last) = (axis.start, 0u128, None);
    for extent in list {
        let low = at.min(at + axis.step * (*extent as i64 - 1)).max(0);
        let chunk = chunks.find(k, low as usize);
        if last != Some(chunk) {
            let starts = chunks.starts(k).get(chunk as usize..chunk as usize + 2).unwrap_or(&[0, 0]);
            total += (starts[1] - starts[0]) as u128;
            last = Some(chunk);
        }
        at += axis.step * *extent as i64;
    }
    total
}

impl Inner {
    fn region(&self, block: u32) -> SmallVec<[Stretch; 4]> {
        let (begin, shape) = (self.grid.block_start(block), self.grid.block_shape(block));
        let axes = self.axes.iter().zip(begin.iter().zip(&shape));
        axes.map(|((start, step), (begin, count))| Stretch { start: start + step * begin, step: *step, count: *count }).collect()
    }
}

impl Layer for Source {
    fn key(&self) -> Key {
        self.key
    }

    fn name(&self) -> &str {
        self.inner.reader.name()
    }

    fn inputs(&self) -> &[LayerRef] {
        &[]
    }

    fn blocks(&self) -> u32 {
        self.inner.grid.blocks()
    }

    fn position(&self, block: u32) -> SmallVec<[u32; 4]> {
        self.inner.grid.position(block)
    }

    fn dependencies(&self, _block: u32, _out: &mut Vec<Dependency>) {}

    fn sizes(&self, block: u32) -> Sizes {
        self.inner.reader.sizes(&self.inner.region(block))
    }

    fn operator(&self) -> Arc<dyn Operator> {
        Arc::new(Read(self.inner.clone()))
    }

    fn is_source(&self) -> bool {
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn with_inputs(&self, _inputs: Vec<LayerRef>) -> Option<LayerRef> {
        None
    }
}

/// Reads one block.
struct Read(Arc<Inner>);

impl Operator for Read {
    fn name(&self) -> &str {
        self.0.reader.name()
    }

    fn parameters(&self) -> Option<Vec<u8>> {
        let reader = self.0.reader.parameters()?;
        super::parameters::encode(&(reader, &self.0.axes, &self.0.grid))
    }

    fn run(&self, task: &TaskContext<'_>, _inputs: &[Value]) -> Result<Value> {
        Ok(self.0.reader.read(task, &self.0.region(task.block()))?.into())
    }
}

/// Whether a region of an array in memory with these strides is one piece in C order.
pub(super) fn is_contiguous(region: &[Stretch], strides: &[isize]) -> bool {
    let shape: SmallVec<[usize; 4]> = region.iter().map(|stretch| stretch.count).collect();
    let expected = c_strides(&shape);
    let steps = region.iter().zip(strides).map(|(stretch, stride)| stretch.step as isize * stride);
    steps.zip(&expected).zip(&shape).all(|((stride, expected), extent)| *extent == 1 || stride == *expected)
}
