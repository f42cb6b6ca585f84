//! Whether decoded parameters fit together: what the layers see to when they make operators themselves.
//!
//! What passes can be run: no index leaves its list, no number is too large, and no more memory is needed than the grid says.

use super::Chunks;
use super::assemble::Layout;
use super::body::{Core, Operand};
use super::view::{InputAxis, View};
use chunkstore_store::DType;

/// What is checked, or what is wrong with it.
pub(super) type Checked<T = ()> = Result<T, &'static str>;

fn ensure(holds: bool, otherwise: &'static str) -> Checked {
    if holds { Ok(()) } else { Err(otherwise) }
}

/// Checks that a program has the operands that it needs, and that each sees one block of its input for every block of the grid.
pub(super) fn body(core: &Core) -> Checked {
    let (grid, types) = (&core.grid, core.program.inputs());
    ensure(types.len() == core.operands.len(), "a program has another number of operands than of inputs")?;
    for (operand, dtype) in core.operands.iter().zip(types) {
        match operand {
            Operand::Index { strides, .. } => {
                ensure(*dtype == DType::I64, "an index is not of type int64")?;
                ensure(strides.len() == grid.ndim(), "an index has not one stride for each axis")?;
            }
            Operand::Blocks { input, view: seen } => {
                let chunks = core.inputs.get(*input as usize).ok_or("an operand is of an input that is not there")?;
                view(seen, grid, chunks)?;
            }
        }
    }
    Ok(())
}

/// Checks that every block of `grid`, seen through a view, is within one block of the input.
fn view(view: &View, grid: &Chunks, input: &Chunks) -> Checked {
    ensure(view.axes.len() == input.ndim(), "a view has not one entry for each axis of its input")?;
    ensure(view.axes.iter().all(|axis| axis.out.is_none_or(|d| (d as usize) < grid.ndim())), "a view names an axis that is not there")?;
    // Blocks without elements are of nothing.
    if grid.shape().contains(&0) {
        return Ok(());
    }
    for (k, (axis, extent)) in view.axes.iter().zip(input.shape()).enumerate() {
        match axis.out {
            None => ensure(axis.step == 0 && usize::try_from(axis.start).is_ok_and(|at| at < *extent), "a view leaves its input")?,
            Some(d) => within_blocks(axis, grid, d as usize, input, k)?,
        }
    }
    Ok(())
}

/// Checks that every chunk of axis `d` of `grid` is of one chunk of axis `k` of the input.
fn within_blocks(axis: &InputAxis, grid: &Chunks, d: usize, input: &Chunks, k: usize) -> Checked {
    let extent = input.shape().get(k).copied().unwrap_or(0);
    // The step of a single element means nothing, and is multiplied all the same.
    ensure(axis.step != 0 && axis.step.unsigned_abs() as u128 <= extent as u128, "the step of a view is out of range")?;
    for pair in grid.starts(d).windows(2) {
        let at = |index: usize| i128::from(axis.start) + i128::from(axis.step) * index as i128;
        let inside = |at: i128| usize::try_from(at).ok().filter(|at| *at < extent);
        let (Some(first), Some(last)) = (inside(at(pair[0])), inside(at(pair[1] - 1))) else {
            return Err("a view leaves its input");
        };
        ensure(input.find(k, first) == input.find(k, last), "a block is seen as two blocks of an input")?;
    }
    Ok(())
}

/// Checks that parts lie side by side and fill the grid.
pub(super) fn layout(layout: &Layout) -> Checked {
    let grid = &layout.grid;
    ensure(layout.axis < grid.ndim(), "arrays side by side along an axis that is not there")?;
    let mut end = 0usize;
    for (chunks, start) in &layout.parts {
        ensure(chunks.ndim() == grid.ndim() && *start == end, "an array is not where the one before it ends")?;
        for (k, (own, extent)) in chunks.shape().iter().zip(grid.shape()).enumerate() {
            ensure(k == layout.axis || own == extent, "arrays side by side have different extents")?;
        }
        let extent = chunks.shape().get(layout.axis).copied().unwrap_or(0);
        end = end.checked_add(extent).ok_or("arrays side by side are too long")?;
    }
    ensure(grid.shape().get(layout.axis) == Some(&end), "arrays side by side do not fill the grid")?;
    let Some(shapes) = &layout.shapes else { return Ok(()) };
    ensure(grid.ndim() == 1 && shapes.blocks() == grid.blocks(), "blocks are given other shapes, but not one each")?;
    let equal = (0..grid.blocks()).all(|block| shapes.block_len(block) == grid.block_len(block));
    ensure(equal, "blocks are given shapes of other sizes")
}
