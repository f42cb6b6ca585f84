//! Improves an order: what only adds to memory waits until it is needed.
//!
//! ```text
//!   before   a b c d e f ...      b and c free nothing; f is the first that frees
//!   after    a d e b c f ...      and needs them: they run just before it.
//! ```
//!
//! Minimises the time that outputs are held, keeping the order of the tasks that free memory. Such a task is moved
//! together with all that has to run for it to free the same bytes: what it misses, and the other users of the inputs
//! that it frees. Takes linear time, and may be repeated.

use super::links::{Links, Progress};

/// The order with tasks that free nothing moved to just before the first that needs them to free something.
/// `least`: how much memory a task must free to keep its place, 0 or 1.
pub(crate) fn just_in_time(links: &Links, order: &[u32], least: i64) -> Vec<u32> {
    let n = links.len();
    let mut place = vec![0u32; n];
    let mut anchor = vec![false; n];
    let mut last_user = vec![u32::MAX; n];
    let mut before = Progress::new(links);
    for (at, task) in order.iter().enumerate() {
        place[*task as usize] = at as u32;
        anchor[*task as usize] = links.users(*task).is_empty() || before.growth(*task) <= -least;
        before.run(*task);
        for input in links.inputs(*task) {
            last_user[*input as usize] = *task;
        }
    }
    let mut progress = Progress::new(links);
    let mut stack: Vec<u32> = Vec::new();
    for task in order.iter().filter(|task| anchor[**task as usize]) {
        stack.push(*task);
        for input in links.inputs(*task) {
            if last_user[*input as usize] == *task {
                stack.extend(links.users(*input).iter().filter(|user| !progress.done[**user as usize] && *user != task));
            }
        }
        stack[1..].sort_unstable_by_key(|other| std::cmp::Reverse(place[*other as usize]));
        while let Some(task) = stack.last().copied() {
            if progress.done[task as usize] {
                stack.pop();
            } else if progress.missing(task) == 0 {
                stack.pop();
                progress.run(task);
            } else {
                let top = stack.len();
                stack.extend(links.inputs(task).iter().filter(|input| !progress.done[**input as usize]));
                stack[top..].sort_unstable_by_key(|input| std::cmp::Reverse(place[*input as usize]));
            }
        }
    }
    progress.order
}

/// The order with tasks that free more than they make moved to where they become free to run.
pub(crate) fn at_once(links: &Links, order: &[u32]) -> Vec<u32> {
    let mut progress = Progress::new(links);
    let mut free: Vec<u32> = Vec::new();
    for task in order {
        let mut next = Some(*task);
        while let Some(task) = next {
            if !progress.done[task as usize] {
                progress.run(task);
                for input in links.inputs(task) {
                    free.extend(progress.last_user(*input));
                }
                free.extend(links.users(task).iter().filter(|user| progress.missing(**user) == 0));
            }
            next = None;
            while let Some(task) = free.pop() {
                if progress.ready(task) && progress.growth(task) < 0 {
                    next = Some(task);
                    break;
                }
            }
        }
    }
    progress.order
}

/// The order with tasks that take much and make little (an eighth of it, at the most) moved to where they become free to run:
/// their inputs are in memory then, and need not be read back for them. For bounds that do not hold everything.
pub(crate) fn while_hot(links: &Links, order: &[u32]) -> Vec<u32> {
    let mut progress = Progress::new(links);
    let reduces = |task: u32| {
        let taken: u64 = links.inputs(task).iter().map(|input| links.out[*input as usize]).sum();
        links.out[task as usize].saturating_mul(8) <= taken
    };
    let mut free: Vec<u32> = Vec::new();
    for task in order {
        if progress.done[*task as usize] {
            continue;
        }
        let mut next = Some(*task);
        while let Some(task) = next {
            progress.run(task);
            free.extend(links.users(task).iter().rev().filter(|user| progress.missing(**user) == 0));
            next = None;
            while let Some(task) = free.pop() {
                if progress.ready(task) && reduces(task) {
                    next = Some(task);
                    break;
                }
            }
        }
    }
    progress.order
}
