//! For tests: computing arrays one task after the other, as they are and as the layers' own hooks make them.

use super::Array;
use crate::graph::{LayerRef, Lowering, TaskContext, TaskTable, Value};
use crate::{Collection, Error, ErrorKind, Kept, Result};
use chunkstore_store::{Arena, Element, Ledger};
use ndarray::ArrayD;
use std::sync::atomic::AtomicBool;

/// Runs every block of a layer, each task with the memory that it states; gives the tasks that this took.
pub(super) fn run(layer: &LayerRef) -> Result<TaskTable> {
    let mut lowering = Lowering::new();
    for block in 0..layer.blocks() {
        lowering.want(layer, block)?;
    }
    let table = lowering.finish();
    let cancelled = AtomicBool::new(false);
    let mut values: Vec<Value> = Vec::new();
    for task in 0..table.len() {
        let inputs: Vec<Value> = table.inputs_of(task as u32).iter().map(|input| values[*input as usize].clone()).collect();
        let (name, out) = (table.name_of(task as u32), table.out[task]);
        // Small buffers are rounded up to pages where there is no room for slabs, and take one of 512 KiB where there is.
        let stated = out + table.scratch_of(task as u32);
        let arena = Arena::new(Ledger::new(stated + 10 * 4096 + if stated < 400 << 10 { 0 } else { 512 << 10 }));
        let context = TaskContext::new(table.block_of(task as u32), &arena, &cancelled);
        let value = table.operators[table.layer[task] as usize].run(&context, &inputs).map_err(|error| error.task(&name))?;
        // What a source takes as it is, is the user's.
        let ours = !table.is_at_hand(task as u32);
        assert!(value.nbytes() <= out || !ours, "{name} stated {out} bytes and gave {}", value.nbytes());
        values.push(value);
    }
    Ok(table)
}

/// The layer with every hook applied as far as it goes, whatever it costs: values must not change.
pub(super) fn hooked(layer: &LayerRef) -> LayerRef {
    let inputs: Vec<LayerRef> = layer.inputs().iter().map(hooked).collect();
    let mut layer = if inputs.is_empty() { layer.clone() } else { layer.with_inputs(inputs).unwrap_or_else(|| layer.clone()) };
    loop {
        if let Some(lower) = layer.push_down() {
            layer = lower;
        } else if let Some(fused) = (0..layer.inputs().len()).find_map(|input| layer.absorb(input)) {
            layer = fused;
        } else {
            return layer;
        }
    }
}

/// Arrays keep no values for their results.
fn none() -> Result<Value> {
    Err(Error::new(ErrorKind::Invalid, "no value was kept"))
}

/// Computes a collection.
pub(super) fn compute<C: Collection>(collection: &C) -> Result<C::Output> {
    let collected = collection.collect()?;
    (collected.begin)()?;
    run(&collected.layer)?;
    (collected.finish)(&mut Kept::new(&mut none))
}

/// Computes a collection after [`hooked`], and gives the number of tasks.
pub(super) fn compute_hooked<C: Collection>(collection: &C) -> Result<(C::Output, usize)> {
    let collected = collection.collect()?;
    (collected.begin)()?;
    let table = run(&hooked(&collected.layer))?;
    Ok(((collected.finish)(&mut Kept::new(&mut none))?, table.len()))
}

/// Computes an array after the optimiser's passes.
pub(super) fn compute_optimised<C: Collection>(collection: &C) -> Result<C::Output> {
    let collected = collection.collect()?;
    (collected.begin)()?;
    for layer in crate::optimize::optimize(vec![collected.layer]) {
        run(&layer)?;
    }
    (collected.finish)(&mut Kept::new(&mut none))
}

/// Computes an array in three ways, and checks that the bits are equal.
#[allow(clippy::unwrap_used)]
#[track_caller]
pub(super) fn values<T: Element>(array: &Array<T>) -> ArrayD<T> {
    let plain = compute(array).unwrap();
    let bits = |array: &ArrayD<T>| array.iter().map(|v| format!("{v:?}")).collect::<Vec<_>>();
    for other in [compute_hooked(array).unwrap().0, compute_optimised(array).unwrap()] {
        assert_eq!(plain.shape(), other.shape());
        assert_eq!(bits(&plain), bits(&other), "the optimiser's hooks changed values");
    }
    plain
}
