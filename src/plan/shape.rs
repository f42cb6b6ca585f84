//! What planning sees of a graph.

use crate::graph::TaskTable;

/// A graph as planning sees it: edges and sizes by task number. A task's inputs have smaller numbers than it has.
///
/// ```
/// use chunkstore::plan::{peak, Shape};
/// // Two blocks of 100 bytes, each reduced to 8, and the two sums added.
/// let shape = Shape {
///     input_start: &[0, 0, 1, 1, 2, 4],
///     inputs: &[0, 2, 1, 3],
///     out: &[100, 8, 100, 8, 8],
///     scratch: &[],
///     keep: &[],
/// };
/// assert_eq!(peak(&shape, &[0, 1, 2, 3, 4]), 116);
/// assert_eq!(peak(&shape, &[0, 2, 1, 3, 4]), 208);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Shape<'a> {
    /// Where each task's inputs begin in `inputs`; one more entry than tasks.
    pub input_start: &'a [u32],
    /// The inputs of all tasks.
    pub inputs: &'a [u32],
    /// For each task, the bytes of its output.
    pub out: &'a [u64],
    /// For each task, the bytes it holds beside inputs and output while it runs. Empty means none.
    pub scratch: &'a [u64],
    /// Tasks whose outputs stay until the end, as persisted results do. Other outputs leave with their last user, and
    /// those without a user as soon as they are made.
    pub keep: &'a [u32],
}

impl<'a> Shape<'a> {
    /// The shape of a table.
    pub fn of(table: &'a TaskTable, keep: &'a [u32]) -> Self {
        Shape { input_start: &table.input_start, inputs: &table.inputs, out: &table.out, scratch: &table.scratch, keep }
    }

    /// The number of tasks.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether there are no tasks.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// The inputs of a task.
    pub fn inputs_of(&self, task: u32) -> &'a [u32] {
        let at = |i: usize| self.input_start.get(i).copied().unwrap_or(0) as usize;
        self.inputs.get(at(task as usize)..at(task as usize + 1)).unwrap_or_default()
    }

    /// The scratch bytes of a task.
    pub(crate) fn scratch_of(&self, task: u32) -> u64 {
        self.scratch.get(task as usize).copied().unwrap_or(0)
    }
}

/// An order in which inputs come before users, depth first, for a graph that is numbered in any way; none where the
/// graph has a cycle or names a task that it does not have. Numbering tasks by their place in it makes a [`Shape`].
///
/// ```
/// assert_eq!(chunkstore::plan::inputs_first(&[vec![2], vec![], vec![1]]), Some(vec![1, 2, 0]));
/// assert_eq!(chunkstore::plan::inputs_first(&[vec![1], vec![0]]), None);
/// ```
pub fn inputs_first(inputs: &[Vec<u32>]) -> Option<Vec<u32>> {
    const OPEN: u8 = 1;
    const DONE: u8 = 2;
    let mut state = vec![0u8; inputs.len()];
    let mut has_user = vec![false; inputs.len()];
    for input in inputs.iter().flatten() {
        *has_user.get_mut(*input as usize)? = true;
    }
    let mut order = Vec::with_capacity(inputs.len());
    let mut stack: Vec<(u32, usize)> = Vec::new();
    // Sinks first; a graph that has tasks left after them has a cycle.
    for root in (0..inputs.len() as u32).filter(|t| !has_user[*t as usize]) {
        stack.push((root, 0));
        state[root as usize] = OPEN;
        while let Some((task, next)) = stack.last_mut() {
            let task = *task;
            match inputs[task as usize].get(*next) {
                Some(input) => {
                    *next += 1;
                    match state[*input as usize] {
                        0 => {
                            state[*input as usize] = OPEN;
                            stack.push((*input, 0));
                        }
                        OPEN => return None,
                        _ => {}
                    }
                }
                None => {
                    state[task as usize] = DONE;
                    order.push(task);
                    stack.pop();
                }
            }
        }
    }
    (order.len() == inputs.len()).then_some(order)
}
