//! The layer of arrays that are already there: in files, and in memory of the user's.

use super::Chunks;
use super::body::c_strides;
use super::parameters::encode;
use super::portable::Name;
use super::stamp::{FileStamp, SavedStamp};
use super::view::{InputAxis, View};
use crate::graph::{Dependency, Key, KeyBuilder, Layer, LayerRef, Operator, Sizes, TaskContext, Value};
use crate::{Error, ErrorKind, Result};
use chunkstore_store::Block;
use serde::{Deserialize, Serialize};
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

/// Where what is read is: equal content has equal places.
pub(super) enum Place {
    /// In a file, which another process can read too.
    File(FileStamp),
    /// In a store, which another process can read too.
    Saved(SavedStamp),
    /// In this process's memory, under a key of its own.
    Memory(Key),
}

/// Something of which regions can be read.
pub(super) trait Reader: Send + Sync + 'static {
    /// The name shown for its tasks.
    fn name(&self) -> &'static str;
    /// The operator that reads it.
    fn operator(&self) -> Name;
    /// Where what is read is.
    fn place(&self) -> Place;
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
    part: Part,
}

/// What is read, and how it is cut: for each axis, where it begins and the distance of its elements.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Part {
    axes: SmallVec<[(usize, usize); 4]>,
    grid: Chunks,
}

impl Source {
    /// All of what `reader` reads, cut as said.
    pub(super) fn new(reader: Arc<dyn Reader>, grid: Chunks) -> Self {
        let axes = SmallVec::from_elem((0, 1), grid.ndim());
        Source::part(reader, Part { axes, grid })
    }

    fn part(reader: Arc<dyn Reader>, part: Part) -> Self {
        let inner = Arc::new(Inner { reader, part });
        let key = match inner.reader.place() {
            Place::File(_) | Place::Saved(_) => KeyBuilder::of(&Read(inner.clone())),
            Place::Memory(key) => {
                let (name, version) = inner.reader.operator();
                KeyBuilder::new(name, version).input(key).bytes(&encode(&inner.part).unwrap_or_default())
            }
        };
        Source { inner, key: key.finish() }
    }

    /// The same elements cut in another way.
    pub(super) fn recut(&self, grid: Chunks) -> Source {
        Source::part(self.inner.reader.clone(), Part { axes: self.inner.part.axes.clone(), grid })
    }

    /// A source of only what a view takes of this one, how it is cut, and the view of it that is left: its axes in
    /// another order, downwards, or repeated. `None` where more than half of the blocks that it touches is taken.
    pub(super) fn narrowed(&self, view: &View, out: &Chunks, chunks: &Chunks) -> Option<(LayerRef, Chunks, View)> {
        if out.size() == 0 {
            return None;
        }
        let (mut taken, mut touched) = (1u128, 1u128);
        let (mut axes, mut lists, mut rest) = (SmallVec::new(), Vec::new(), SmallVec::new());
        for (k, (axis, (start, step))) in view.axes.iter().zip(&self.inner.part.axes).enumerate() {
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
        let source = Source::part(self.inner.reader.clone(), Part { axes, grid: grid.clone() });
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
        let Part { axes, grid } = &self.part;
        let (begin, shape) = (grid.block_start(block), grid.block_shape(block));
        let axes = axes.iter().zip(begin.iter().zip(&shape));
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
        self.inner.part.grid.blocks()
    }

    fn position(&self, block: u32) -> SmallVec<[u32; 4]> {
        self.inner.part.grid.position(block)
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

/// The operator that reads a part of an array of `extents`.
///
/// # Errors
/// Corrupt where the part is not within the array.
pub(super) fn read(reader: Arc<dyn Reader>, part: Part, extents: &[usize]) -> Result<Arc<dyn Operator>> {
    let inside = |(((start, step), count), extent): (((&usize, &usize), &usize), &usize)| {
        let last = count.checked_sub(1).map_or(Some(0), |n| step.checked_mul(n)?.checked_add(*start));
        let steps = *step > 0 && isize::try_from(*step).is_ok();
        steps && last.is_some_and(|last| *count == 0 || last < *extent)
    };
    let axes = part.axes.iter().map(|(start, step)| (start, step));
    let fits = part.axes.len() == extents.len() && part.grid.ndim() == extents.len();
    if fits && axes.zip(part.grid.shape()).zip(extents).all(inside) {
        return Ok(Arc::new(Read(Arc::new(Inner { reader, part }))));
    }
    Err(Error::new(ErrorKind::Corrupt, format!("an operator reads what is not in its array of shape {extents:?}")))
}

impl Operator for Read {
    fn name(&self) -> &str {
        self.0.reader.operator().0
    }

    fn version(&self) -> u32 {
        self.0.reader.operator().1
    }

    fn parameters(&self) -> Option<Vec<u8>> {
        match self.0.reader.place() {
            Place::File(stamp) => encode(&(stamp, &self.0.part)),
            Place::Saved(stamp) => encode(&(stamp, &self.0.part)),
            Place::Memory(_) => None,
        }
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
