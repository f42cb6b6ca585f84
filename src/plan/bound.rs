//! What the policy may use, and what is said of a task that does not fit.

use crate::graph::{TaskTable, Value};
use crate::policy::Spare;
use crate::{Error, ErrorKind};
use chunkstore_store::{Arena, Chunk};

/// What slabs may hold beside the small ones of buffers of these sizes, which are bytes that buffers take.
pub(crate) fn slabs(sizes: &[u64], limit: u64) -> u64 {
    let most = Arena::most_slack(limit);
    let (mut small, mut slack): (Vec<u64>, u64) = (Vec::new(), 0);
    for size in sizes {
        if let Some(slab) = usize::try_from(*size).ok().and_then(Arena::slab)
            && !small.contains(size)
        {
            small.push(*size);
            slack += slab;
            if slack >= most {
                break;
            }
        }
    }
    slack.min(most)
}

/// What an arena has booked, and may come to, beside the buffers in use.
pub(crate) fn spare(arena: &Arena) -> Spare {
    let slab = |bytes| usize::try_from(bytes).ok().and_then(Arena::slab);
    Spare { most_waiting: arena.most_idle(), waiting: arena.idle(), slab }
}

/// A source's buffer begins and ends at whole pages of the file.
pub(crate) const SOURCE_SLACK: u64 = 8 << 10;

/// The bytes that tasks may use, where `reserved` bytes of the lease are taken by other things.
pub(crate) fn policy_bound(arena: &Arena, reserved: u64) -> u64 {
    bound_within(arena.ledger().limit(), reserved)
}

/// The same for a lease of `limit` bytes.
pub(crate) fn bound_within(limit: u64, reserved: u64) -> u64 {
    limit.saturating_sub(reserved).saturating_sub(Arena::most_slack(limit))
}

/// The lease of which tasks may use `bound` bytes.
pub(crate) fn limit_for(bound: u64, reserved: u64) -> u64 {
    let others = bound.saturating_add(reserved);
    others.saturating_add(Arena::most_slack(others.saturating_add(others / 15)))
}

/// The bytes that an output of `payload` bytes is booked for.
pub(crate) fn booked(payload: u64) -> u64 {
    if payload == 0 { 0 } else { Arena::footprint(usize::try_from(payload).unwrap_or(usize::MAX)) }
}

/// The bytes that a value is booked for.
pub(crate) fn booked_bytes(value: &Value) -> u64 {
    match value {
        Value::None | Value::Chunk(Chunk::Scalar(_)) => 0,
        Value::Chunk(chunk) => booked(chunk.nbytes()),
        other => other.nbytes(),
    }
}

/// A task of more inputs of one layer needs much because it joins them; so many are neighbours in a plane.
const NEIGHBOURS: usize = 4;

/// The layer of which a task takes the most blocks, how many these are, and the bytes of the largest of them.
fn joined(table: &TaskTable, task: u32) -> (Option<&str>, usize, u64) {
    let mut inputs: Vec<u32> = table.inputs_of(task).to_vec();
    inputs.sort_unstable();
    inputs.dedup();
    let layer_of = |input: &u32| table.layer.get(*input as usize).copied().unwrap_or(u32::MAX);
    inputs.sort_by_key(layer_of);
    let most = inputs.chunk_by(|a, b| layer_of(a) == layer_of(b)).max_by_key(|group| group.len()).unwrap_or_default();
    let layer = most.first().and_then(|input| table.layers.get(layer_of(input) as usize)).map(|layer| layer.name());
    let largest = most.iter().filter_map(|input| table.out.get(*input as usize)).copied().max().unwrap_or(0);
    (layer, most.len(), largest)
}

/// Chunks are not made smaller than by this factor for a task to fit.
const LEAST_PART: u64 = 1024;

/// The error for a task that needs `need` bytes of `bound`.
pub(crate) fn does_not_fit(table: &TaskTable, task: u32, need: u64, bound: u64, arena: &Arena) -> Error {
    let outside = arena.ledger().limit().saturating_sub(bound);
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / (1 << 20) as f64);
    let message =
        format!("needs {} of memory at once for its inputs, output and scratch, and the bound leaves {} for tasks", mib(need), mib(bound));
    let factor = need.div_ceil(bound.max(1)).next_power_of_two().max(2);
    let larger = format!(
        "a bound that is at least {} larger ({} of it are results, graphs and buffers)",
        mib(need.saturating_sub(bound)),
        mib(outside)
    );
    let hint = match joined(table, task) {
        // Smaller blocks would only be more of them, where they are cut along the axes that are joined.
        (layer, blocks, each) if blocks > NEIGHBOURS => {
            let beside = need.saturating_sub(each.saturating_mul(blocks as u64));
            let of = layer.map(|layer| format!(" of {layer}")).unwrap_or_default();
            match bound.saturating_sub(beside) / each.max(1) {
                few @ 2.. => format!(
                    "it takes {blocks} blocks{of} at once: join them in several steps, at most {few} in each (arrays: `rechunk` by way of other chunks; \
                     delayed functions: a tree of them), use blocks that are smaller along the axes that are not joined, or give {larger}"
                ),
                // No number of steps helps where what comes out of the last does not fit.
                _ => format!(
                    "it takes {blocks} blocks{of} at once, and two of them with its output and scratch are {} already: make what it joins them to smaller, too, or \
                     give {larger}",
                    mib(beside.saturating_add(each.saturating_mul(2)))
                ),
            }
        }
        // What is fixed needs more than there is.
        _ if factor > LEAST_PART => format!("give {larger}"),
        _ => format!(
            "use chunks of at most 1/{factor} of the size (arrays: `rechunk`, or `chunks` where they are opened; bags: `blocksize` where files are read, or \
             more partitions), or {larger}"
        ),
    };
    Error::new(ErrorKind::OutOfMemory, message).task(table.name_of(task)).hint(hint)
}

/// The error for a task that needs `need` of `bound` bytes, of which kept chunks hold `held` that could not be written.
pub(crate) fn held_unwritten(table: &TaskTable, task: u32, (need, held, bound): (u64, u64, u64), error: &Error) -> Error {
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / (1 << 20) as f64);
    let message = format!(
        "needs {} of memory; {} of the {} for tasks are held by what could not be written to the scratch folder: {error}",
        mib(need),
        mib(held),
        mib(bound)
    );
    let hint = "make room on the disk or name another scratch folder; what is persisted is in memory and can be used meanwhile";
    Error::new(error.kind(), message).task(table.name_of(task)).hint(hint)
}

/// The error for a task that would fit, were it not for `held` bytes of objects that cannot be spilled.
pub(crate) fn held_by_objects(table: &TaskTable, task: u32, need: u64, bound: u64, held: u64) -> Error {
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / (1 << 20) as f64);
    let message = format!(
        "needs {} of memory; {} of the {} for tasks are held by what cannot be spilled: logs of shuffles, and values of types of your own",
        mib(need),
        mib(held),
        mib(bound)
    );
    let hint = "return an array or a vector of numbers from functions that make values of your own, compute fewer bags that are shuffled at once, or give \
                the engine more memory";
    Error::new(ErrorKind::OutOfMemory, message).task(table.name_of(task)).hint(hint)
}

/// What to do where a task asked for more than its layer had stated, and than there is: `need` bytes in all, of `bound`, of which others hold `held` that
/// cannot be evicted.
pub(crate) fn asked_for_more(need: u64, bound: u64, held: u64) -> String {
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / (1 << 20) as f64);
    format!(
        "it needs {} at once for its inputs, output and scratch, and of the {} for tasks {} cannot be evicted: use smaller partitions or chunks, fewer \
         threads, or a bound that is at least {} larger",
        mib(need),
        mib(bound),
        mib(held),
        mib((need + held).saturating_sub(bound).max(1 << 20))
    )
}
