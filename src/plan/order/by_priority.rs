//! What the user wants first, with all that it needs.
//!
//! ```text
//!   tasks:     a b c d(5)      d takes c; b takes a
//!   urgency:   0 0 5 5         a task is as urgent as the most urgent of those that need it
//!   order:     c d a b         of what can run, the most urgent; of these the first by number
//! ```
//!
//! Minimises nothing; an order like any other, inputs before their users.

use crate::graph::TaskTable;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The tasks by priority; none where no task has one.
pub(crate) fn by_priority(table: &TaskTable) -> Option<Vec<u32>> {
    if table.priority.iter().all(|priority| *priority == 0) {
        return None;
    }
    let tasks = table.len();
    let mut urgency = table.priority.clone();
    urgency.resize(tasks, 0);
    let mut missing = vec![0u32; tasks];
    // Users have larger numbers than what they need.
    for task in (0..tasks as u32).rev() {
        let own = urgency[task as usize];
        for input in table.inputs_of(task) {
            urgency[*input as usize] = urgency[*input as usize].max(own);
            missing[task as usize] += 1;
        }
    }
    let mut start = vec![0u32; tasks + 1];
    table.inputs.iter().for_each(|input| start[*input as usize + 1] += 1);
    (0..tasks).for_each(|task| start[task + 1] += start[task]);
    let (mut users, mut next) = (vec![0u32; table.inputs.len()], start.clone());
    for task in 0..tasks as u32 {
        for input in table.inputs_of(task) {
            users[next[*input as usize] as usize] = task;
            next[*input as usize] += 1;
        }
    }
    let ready = (0..tasks as u32).filter(|task| missing[*task as usize] == 0);
    let mut ready: BinaryHeap<(i32, Reverse<u32>)> = ready.map(|task| (urgency[task as usize], Reverse(task))).collect();
    let mut order = Vec::with_capacity(tasks);
    while let Some((_, Reverse(task))) = ready.pop() {
        order.push(task);
        for user in &users[start[task as usize] as usize..start[task as usize + 1] as usize] {
            missing[*user as usize] -= 1;
            if missing[*user as usize] == 0 {
                ready.push((urgency[*user as usize], Reverse(*user)));
            }
        }
    }
    Some(order)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn table(inputs: &[&[u32]], priority: &[i32]) -> TaskTable {
        let mut table = TaskTable::new();
        for own in inputs {
            table.inputs.extend_from_slice(own);
            table.input_start.push(table.inputs.len() as u32);
        }
        table.priority = priority.to_vec();
        table
    }

    #[test]
    fn the_urgent_come_first_with_what_they_need() {
        let inputs: [&[u32]; 6] = [&[], &[0], &[], &[2, 2], &[1, 3], &[]];
        assert_eq!(by_priority(&table(&inputs, &[])), None);
        assert_eq!(by_priority(&table(&inputs, &[0, 0, 0, 5])).unwrap(), [2, 3, 0, 1, 4, 5]);
        assert_eq!(by_priority(&table(&inputs, &[0, 0, 0, 0, 0, 1])).unwrap(), [5, 0, 1, 2, 3, 4]);
        assert_eq!(by_priority(&table(&inputs, &[0, -1, -1])).unwrap(), [0, 1, 2, 3, 4, 5], "users raise what they need");
    }
}
