//! Best postorder on the forest of last users.
//!
//! ```text
//!         s            Each output hangs under the user that the numbering runs last, which
//!        / \           makes a forest. Under each task the subtree with the largest
//!    P=9/   \P=4       (peak - what it leaves) goes first: 9 then 1 + 4 is a peak of 9,
//!    r=1     r=1       4 then 1 + 9 one of 10.
//! ```
//!
//! Minimises the peak over all postorders of a tree exactly (Liu, *On the storage requirement in the out-of-core
//! multifrontal method for sparse factorization*, ACM TOMS 12, 1986; by how much other traversals can be better is in
//! his *An application of generalized tree pebbling to sparse matrix factorization*, SIAM J. Alg. Disc. Meth. 8, 1987).
//! On graphs that are not trees it is a guess. Takes n log n time in a task's inputs, linear otherwise.

use crate::plan::links::Links;

/// In which order to descend into a task's inputs.
pub(crate) struct Descent {
    start: Vec<u32>,
    inputs: Vec<u32>,
}

impl Descent {
    /// Inputs by largest (peak - what the subtree leaves) first; each output hangs under its last user by number.
    pub(crate) fn new(links: &Links) -> Self {
        Descent::under(links, &[], |links, task| links.users(task).last().copied())
    }

    /// The same with each output under its first or its last user by `place`, which also decides ties.
    pub(crate) fn by(links: &Links, place: &[u32], first: bool) -> Self {
        let at = |task: &u32| place.get(*task as usize).copied().unwrap_or(*task);
        Descent::under(links, place, |links, task| {
            let users = links.users(task).iter().copied();
            if first { users.min_by_key(at) } else { users.max_by_key(at) }
        })
    }

    fn under(links: &Links, place: &[u32], parent: impl Fn(&Links, u32) -> Option<u32>) -> Self {
        let n = links.len();
        let mut peak = vec![0u64; n];
        let parent: Vec<u32> = (0..n as u32).map(|task| parent(links, task).unwrap_or(u32::MAX)).collect();
        let mut start = Vec::with_capacity(n + 1);
        let mut inputs = Vec::new();
        start.push(0);
        for task in 0..n as u32 {
            let first = inputs.len();
            inputs.extend_from_slice(links.inputs(task));
            // What is used by others before may be there already, and costs its bytes only.
            let hangs = |input: u32| parent[input as usize] == task;
            let climb = |input: u32| if hangs(input) { peak[input as usize] - links.out[input as usize] } else { 0 };
            inputs[first..].sort_by_key(|input| (std::cmp::Reverse(climb(*input)), place.get(*input as usize).copied()));
            let mut held = 0;
            let mut most = 0;
            for input in &inputs[first..] {
                most = most.max(held + climb(*input) + links.out[*input as usize]);
                held += links.out[*input as usize];
            }
            peak[task as usize] = most.max(held + links.out[task as usize] + links.scratch[task as usize]);
            start.push(inputs.len() as u32);
        }
        Descent { start, inputs }
    }

    /// The inputs of a task, the one to descend into first first.
    pub(crate) fn inputs(&self, task: u32) -> &[u32] {
        &self.inputs[self.start[task as usize] as usize..self.start[task as usize + 1] as usize]
    }
}

/// Depth first from the sinks, by `place`, or by number where there are no places, descending as `descent` says.
pub(crate) fn postorder(links: &Links, descent: &Descent, place: &[u32]) -> Vec<u32> {
    let mut order = Vec::with_capacity(links.len());
    let mut seen = vec![false; links.len()];
    let mut stack: Vec<(u32, u32)> = Vec::new();
    let mut sinks: Vec<u32> = links.sinks().collect();
    sinks.sort_by_key(|sink| place.get(*sink as usize).copied());
    for sink in sinks {
        stack.push((sink, 0));
        while let Some((task, next)) = stack.last_mut() {
            let task = *task;
            match descent.inputs(task).get(*next as usize) {
                Some(input) => {
                    *next += 1;
                    if !seen[*input as usize] {
                        seen[*input as usize] = true;
                        stack.push((*input, 0));
                    }
                }
                None => {
                    order.push(task);
                    stack.pop();
                }
            }
        }
    }
    order
}
