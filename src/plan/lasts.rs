//! When the outputs of planned tasks are used last.

use crate::policy::Batch;

/// For each place in an order, the tasks whose outputs nothing needs after it.
pub(crate) struct Lasts {
    start: Vec<u32>,
    tasks: Vec<u32>,
}

impl Lasts {
    /// The tasks, by their places, whose outputs the task at `place` uses last; that task itself where nothing uses it.
    pub(crate) fn at(&self, place: u32) -> &[u32] {
        let at = |i: usize| self.start.get(i).copied().unwrap_or(0) as usize;
        self.tasks.get(at(place as usize)..at(place as usize + 1)).unwrap_or_default()
    }
}

/// Finds the last uses in a batch whose first task has the number `base`. Outputs that are kept have none.
pub(crate) fn lasts(batch: &Batch, base: u32) -> Lasts {
    let count = batch.len();
    let mut last: Vec<u32> = (0..count as u32).collect();
    for place in 0..count {
        for input in batch.inputs_of(place).iter().filter_map(|input| input.checked_sub(base)) {
            last[input as usize] = place as u32;
        }
    }
    batch.keep.iter().for_each(|task| last[*task as usize] = u32::MAX);
    let mut start = vec![0u32; count + 1];
    last.iter().filter(|place| **place != u32::MAX).for_each(|place| start[*place as usize + 1] += 1);
    for i in 0..count {
        start[i + 1] += start[i];
    }
    let mut tasks = vec![0; start[count] as usize];
    let mut next = start.clone();
    for (task, place) in last.iter().enumerate().filter(|(_, place)| **place != u32::MAX) {
        tasks[next[*place as usize] as usize] = task as u32;
        next[*place as usize] += 1;
    }
    Lasts { start, tasks }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Class;

    #[test]
    fn outputs_end_with_their_last_user_unless_they_are_kept() {
        let batch = Batch {
            input_start: vec![0, 0, 1, 3, 4],
            inputs: vec![10, 10, 3, 11],
            out: vec![1; 4],
            scratch: vec![0; 4],
            class: vec![Class::Task; 4],
            keep: vec![3],
            will_spill: Vec::new(),
            within: None,
        };
        let lasts = lasts(&batch, 10);
        let at: Vec<&[u32]> = (0..4).map(|place| lasts.at(place)).collect();
        assert_eq!(at, [&[][..], &[], &[0, 2], &[1]]);
    }
}
