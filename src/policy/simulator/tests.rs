//! Random graphs, bounds, completion orders and failures: never above the bound, always ends, same decisions for the same
//! events, and every task sees its inputs.

#![allow(clippy::unwrap_used)]

use super::{Setup, simulate};
use crate::policy::dice::Dice;
use crate::policy::machine::{Action, Finished};
use crate::policy::{Batch, Class, Ended, Policy};
use proptest::prelude::*;

fn random_batch(dice: &mut Dice, base: u32) -> Batch {
    let count = 1 + dice.roll(60) as u32;
    let mut batch = Batch { input_start: vec![0], ..Batch::default() };
    let locality = 1 + dice.roll(20);
    for task in 0..count {
        let source = dice.roll(5) == 0;
        let fan_in = if source { 0 } else { dice.roll(4) };
        for _ in 0..fan_in {
            let all = u64::from(base + task);
            if all > 0 {
                let reach = if dice.roll(4) == 0 { all } else { locality.min(all) };
                let back = 1 + dice.roll(reach);
                batch.inputs.push((all - back) as u32);
            }
        }
        batch.input_start.push(batch.inputs.len() as u32);
        batch.out.push(dice.roll(30));
        batch.scratch.push(if source || dice.roll(3) > 0 { 0 } else { dice.roll(20) });
        batch.class.push(if source { Class::Source } else { Class::Task });
        if dice.roll(12) == 0 {
            // One or several hold it.
            batch.keep.extend((0..=dice.roll(3)).map(|_| task));
        }
        if dice.roll(6) == 0 {
            batch.will_spill.push(task);
        }
    }
    batch
}

/// What a chunk table would hold, checked against what the policy says.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Copies {
    memory: bool,
    disk: bool,
    gone: bool,
}

struct World {
    policy: Policy,
    chunks: Vec<Copies>,
    source: Vec<bool>,
    inputs: Vec<Vec<u32>>,
    running: Vec<u32>,
    loading: Vec<u32>,
    writing: Vec<u32>,
    ends: Vec<Ended>,
    overrun: u64,
    /// For each chunk how many hold it; of a run that fails, nobody knows.
    claims: Vec<u32>,
    fails: bool,
    /// Runs each of which one thread of its own carries through.
    solo: Vec<u32>,
    /// Spans of tasks and the runs that they belong to.
    runs: Vec<(u32, u32, u32)>,
}

impl World {
    /// Adds a run whose batch was made for a policy of `made_for` tasks.
    fn add(&mut self, batch: &Batch, made_for: usize, solo: bool) {
        let base = self.policy.len();
        let mut batch = batch.clone();
        let shift = |input: &mut u32| *input = if *input as usize >= made_for { *input - made_for as u32 + base } else { *input };
        batch.inputs.iter_mut().for_each(shift);
        let batch = &batch;
        self.note(batch);
        let run = self.policy.extend(batch);
        if solo {
            self.policy.make_solo(run);
            self.solo.push(run);
        }
        self.runs.push((base, self.policy.len(), run));
    }

    /// `task`, which is about to finish, turns out to be a barrier: its run goes on with `batch`, which takes one of the chunks in `held`. The
    /// barrier releases its claim of that one then.
    fn expand(&mut self, task: u32, batch: &Batch, held: Option<u32>) {
        let base = self.policy.len();
        let mut batch = batch.clone();
        batch.inputs.iter_mut().for_each(|input| *input += base);
        // The first of the new tasks that is no source takes what the barrier gave.
        let Some(first) = (0..batch.len()).find(|task| batch.class[*task] == Class::Task) else { return };
        for input in [Some(task), held].into_iter().flatten() {
            batch.inputs.insert(batch.input_start[first] as usize, input);
            batch.input_start[first + 1..].iter_mut().for_each(|start| *start += 1);
        }
        let Some((_, _, run)) = self.runs.iter().copied().find(|(from, to, _)| (*from..*to).contains(&task)) else { return };
        if self.policy.expanded(run, &batch) {
            self.note(&batch);
            self.runs.push((base, self.policy.len(), run));
            if let Some(held) = held {
                self.release(held);
            }
        }
    }

    /// A chunk that is computed and held by more than `others`.
    fn held(&self, dice: &mut Dice, others: u32) -> Option<u32> {
        let held: Vec<u32> = (0..self.policy.len()).filter(|c| self.claims[*c as usize] > others && self.policy.is_computed(*c)).collect();
        held.get(dice.roll(held.len() as u64) as usize).copied()
    }

    fn cancel_run_of(&mut self, id: u32) {
        let run = self.runs.iter().find(|(from, to, _)| (*from..*to).contains(&id)).map(|(_, _, run)| *run);
        self.policy.cancel(run.unwrap());
    }

    fn release(&mut self, chunk: u32) {
        assert!(self.policy.is_kept(chunk) && self.policy.claims(chunk) == self.claims[chunk as usize]);
        self.claims[chunk as usize] -= 1;
        self.policy.release(chunk);
        assert_eq!(self.policy.claims(chunk), self.claims[chunk as usize]);
    }

    fn note(&mut self, batch: &Batch) {
        for task in 0..batch.len() {
            let source = batch.class[task] == Class::Source;
            self.source.push(source);
            self.chunks.push(Copies { memory: false, disk: source, gone: false });
            self.inputs.push(batch.inputs_of(task).to_vec());
            self.claims.push(batch.keep.iter().filter(|kept| **kept as usize == task).count() as u32);
        }
    }

    fn act(&mut self) {
        let mut actions = Vec::new();
        self.policy.take_actions(&mut actions);
        for action in actions {
            match action {
                Action::Load(chunk) => {
                    let copies = self.chunks[chunk as usize];
                    assert!(copies.disk && !copies.memory && !copies.gone, "loads {chunk}: {copies:?}");
                    assert!(!self.loading.contains(&chunk));
                    self.loading.push(chunk);
                }
                Action::Write(chunk) => {
                    let copies = self.chunks[chunk as usize];
                    assert!(copies.memory && !copies.disk && !copies.gone, "writes {chunk}: {copies:?}");
                    self.writing.push(chunk);
                }
                Action::Drop(chunk) => {
                    let copies = &mut self.chunks[chunk as usize];
                    assert!(copies.memory && copies.disk && !copies.gone, "drops {chunk}: {copies:?}");
                    copies.memory = false;
                }
                Action::Forget(chunk) => {
                    assert!(!self.writing.contains(&chunk) && !self.loading.contains(&chunk));
                    assert!(self.fails || self.claims[chunk as usize] == 0, "{chunk} is held");
                    self.chunks[chunk as usize] = Copies { memory: false, disk: false, gone: true };
                }
                Action::End(_, ended) => self.ends.push(ended),
            }
        }
        assert!(self.policy.used() <= self.policy.bound + self.overrun, "{} of {}", self.policy.used(), self.policy.bound);
    }

    /// Workers and the callers of solo runs ask for a task, in any order; whether one got one.
    fn start(&mut self, dice: &mut Dice) -> bool {
        let solo = self.solo.iter().map(|run| Some(*run)).chain([None]).collect::<Vec<_>>();
        let first = dice.roll(solo.len() as u64) as usize;
        (0..solo.len()).any(|i| self.start_by(solo[(first + i) % solo.len()]))
    }

    fn start_by(&mut self, by: Option<u32>) -> bool {
        if self.running.len() as u32 >= self.policy.workers {
            return false;
        }
        let of = |task: u32| self.runs.iter().find(|(from, to, _)| (*from..*to).contains(&task)).map(|(_, _, run)| *run);
        // The one thread of a solo run.
        if by.is_some() && self.running.iter().any(|task| of(*task) == by) {
            return false;
        }
        let picked = self.policy.pick(by);
        if let Some(task) = picked {
            let run = of(task);
            assert!(if by.is_some() { run == by } else { !self.solo.iter().any(|solo| Some(*solo) == run) });
        }
        self.act();
        let Some(task) = picked else { return false };
        for input in &self.inputs[task as usize] {
            assert!(self.chunks[*input as usize].memory, "task {task} starts without input {input}");
        }
        self.running.push(task);
        true
    }
}

fn play(seed: u64) {
    let mut dice = Dice(seed);
    let workers = 1 + dice.roll(8) as u32;
    let mut first = random_batch(&mut dice, 0);
    let second = dice.roll(3) == 0;
    let mut world = World {
        policy: Policy::new(u64::MAX, workers, 1 + dice.roll(3) as u32),
        chunks: Vec::new(),
        source: Vec::new(),
        inputs: Vec::new(),
        running: Vec::new(),
        loading: Vec::new(),
        writing: Vec::new(),
        ends: Vec::new(),
        overrun: 0,
        claims: Vec::new(),
        fails: dice.roll(4) == 0,
        solo: Vec::new(),
        runs: Vec::new(),
    };
    world.policy.set_speculative_spill(dice.roll(2) == 0);
    let fails = world.fails;
    let puts_back = dice.roll(4) == 0;
    // Now and then a load or a write fails, as the driver meets that: it cancels the runs that need the chunk.
    let io_fails = fails && dice.roll(2) == 0;
    // Two runs at once, or one after the other on kept chunks of the first.
    let mut batches = vec![first.clone()];
    if second {
        let mut batch = random_batch(&mut dice, first.len() as u32);
        // Only what is kept may be used by a later run.
        let base = first.len() as u32;
        for input in &mut batch.inputs {
            if *input < base {
                if first.keep.is_empty() {
                    first.keep.push(0);
                }
                *input = first.keep[*input as usize % first.keep.len()];
            }
        }
        batches = vec![first.clone(), batch];
    }
    let all_out: Vec<u64> = batches.iter().flat_map(|b| b.out.iter().copied()).collect();
    let mut base = 0;
    let mut least = 1;
    for batch in &batches {
        least = least.max(batch.largest_need(base, |chunk| all_out[chunk as usize]).0);
        base += batch.len() as u32;
    }
    // Barriers may add this to their run.
    let expansion = random_batch(&mut dice, 0);
    let mut expansions = if dice.roll(3) == 0 { 1 + dice.roll(2) } else { 0 };
    if expansions > 0 {
        least = least.max(expansion.largest_need(0, |_| 0).0 + 60);
    }
    let extra = if puts_back { 25 } else { 0 };
    let bound = least + extra + dice.roll(least + 1);
    world.policy.set_bound(bound);
    let mut waiting: Vec<Batch> = batches.iter().rev().cloned().collect();
    world.add(&waiting.pop().unwrap(), 0, dice.roll(4) == 0);
    let at_once = dice.roll(2) == 0;
    if at_once
        && !fails
        && let Some(batch) = waiting.pop()
    {
        world.add(&batch, first.len(), dice.roll(4) == 0);
    }
    let runs = if fails { 1 } else { batches.len() };
    let mut steps = 0;
    loop {
        steps += 1;
        assert!(steps < 100_000, "does not end");
        while world.start(&mut dice) {}
        world.act();
        if world.ends.len() == 1
            && !fails
            && let Some(batch) = waiting.pop()
        {
            world.add(&batch, first.len(), dice.roll(4) == 0);
            continue;
        }
        let choices = world.running.len() + world.loading.len() + world.writing.len();
        if choices == 0 {
            break;
        }
        // What a later run takes stays held.
        let others = u32::from(!waiting.is_empty());
        if !fails
            && dice.roll(8) == 0
            && let Some(chunk) = world.held(&mut dice, others)
        {
            world.release(chunk);
            world.act();
            continue;
        }
        let mut pick = dice.roll(choices as u64) as usize;
        if pick < world.running.len() {
            let task = world.running.swap_remove(pick);
            let outcome = match dice.roll(20) {
                0 if fails => Finished::Failed,
                1 if puts_back && world.policy.scratch_of(task) < 20 => Finished::PutBack(20),
                2 if puts_back && world.policy.grow(task, 5) => Finished::Output(world.policy.bytes_of(task)),
                _ => Finished::Output(world.policy.bytes_of(task)),
            };
            if matches!(outcome, Finished::Output(_)) {
                world.chunks[task as usize].memory = true;
                if expansions > 0 && dice.roll(10) == 0 {
                    expansions -= 1;
                    let held = if fails { None } else { world.held(&mut dice, 0) };
                    // A barrier on what was kept before claims it for itself.
                    if let Some(held) = held
                        && world.claims[held as usize] == others
                    {
                        assert!(world.policy.claim(held));
                        world.claims[held as usize] += 1;
                    }
                    world.expand(task, &expansion, held);
                }
            }
            world.policy.finished(task, outcome);
            if !world.policy.is_resident(task) {
                world.chunks[task as usize].memory =
                    world.chunks[task as usize].memory && world.policy.state[task as usize] != crate::policy::machine::State::Gone;
            }
        } else {
            pick -= world.running.len();
            let success = !(io_fails && dice.roll(4) == 0);
            if pick < world.loading.len() {
                let chunk = world.loading.swap_remove(pick);
                world.chunks[chunk as usize].memory = success;
                world.policy.loaded(chunk, success);
                let users: Vec<u32> = if success { Vec::new() } else { world.policy.users_left(chunk).collect() };
                users.into_iter().for_each(|user| world.cancel_run_of(user));
            } else {
                pick -= world.loading.len();
                let chunk = world.writing.swap_remove(pick);
                world.chunks[chunk as usize].disk = success;
                world.policy.written(chunk, success);
                if !success {
                    world.cancel_run_of(chunk);
                }
            }
        }
        world.act();
    }
    assert_eq!(world.ends.len(), runs, "seed {seed}: {} of {runs} runs ended; head {:?}", world.ends.len(), world.policy.head());
    assert!(world.policy.is_idle());
    if !fails {
        assert!(world.ends.iter().all(|ended| *ended == Ended::Done));
    }
    let kept: u64 = world.policy.kept().filter(|(_, kept)| kept.resident).map(|(_, kept)| kept.bytes).sum();
    // What could not be written is not evicted before a run tries again.
    let unwritten: u64 = world.policy.unwritten.iter().map(|chunk| world.policy.bytes_of(*chunk)).sum();
    assert!(unwritten == 0 || io_fails);
    assert_eq!((world.policy.used(), world.policy.firm), (kept, unwritten), "seed {seed}");
    // What is left in memory is what is kept.
    for (chunk, copies) in world.chunks.iter().enumerate() {
        assert_eq!(copies.memory, world.policy.is_resident(chunk as u32), "seed {seed}, chunk {chunk}");
    }
    let numbers = world.policy.compact().unwrap();
    assert_eq!(world.policy.used(), kept);
    if !fails {
        let claimed = |chunk: &u32| world.claims[*chunk as usize] > 0;
        assert_eq!(numbers, (0..world.chunks.len() as u32).filter(claimed).collect::<Vec<_>>(), "seed {seed}");
        for (new, old) in numbers.iter().enumerate() {
            for left in (0..world.claims[*old as usize]).rev() {
                world.policy.release(new as u32);
                assert_eq!(world.policy.claims(new as u32), left);
            }
        }
        assert_eq!((world.policy.used(), world.policy.kept().count()), (0, 0), "seed {seed}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]
    #[test]
    fn ends_within_the_bound(seed in any::<u64>()) {
        play(seed);
    }

    #[test]
    fn simulations_repeat(seed in any::<u64>()) {
        let batch = random_batch(&mut Dice(seed), 0);
        let bound = batch.largest_need(0, |_| 0).0 + seed % 20;
        let setup = Setup::new(bound, 1 + (seed % 4) as u32, 2);
        let forecast = simulate(&batch, &setup).unwrap();
        prop_assert!(forecast.peak_bytes <= bound);
        prop_assert_eq!(Some(forecast), simulate(&batch, &setup));
    }
}

/// Kept chunks that cannot be written, or are lost, end only the runs that cannot do without them.
#[test]
fn failures_of_kept_chunks_are_met_by_who_needs_them() {
    let batch = |inputs: &[&[u32]], out: &[u64]| Batch {
        input_start: std::iter::once(0)
            .chain(inputs.iter().scan(0, |at, inputs| {
                *at += inputs.len() as u32;
                Some(*at)
            }))
            .collect(),
        inputs: inputs.concat(),
        out: out.to_vec(),
        scratch: vec![0; out.len()],
        class: vec![Class::Task; out.len()],
        ..Batch::default()
    };
    let actions = |policy: &mut Policy| {
        let mut actions = Vec::new();
        policy.take_actions(&mut actions);
        actions
    };
    let mut policy = Policy::new(100, 2, 1);
    let kept = Batch { keep: vec![0, 1], ..batch(&[&[], &[]], &[40, 40]) };
    policy.extend(&kept);
    for task in [0, 1] {
        assert_eq!(policy.pick(None), Some(task));
        policy.finished(task, Finished::Output(40));
    }
    // The write of one fails: the other makes room, and the first is not asked for again.
    let run = policy.extend(&batch(&[&[]], &[60]));
    assert_eq!(policy.pick(None), None);
    assert_eq!(actions(&mut policy)[1..], [Action::Write(1)]);
    policy.written(1, false);
    assert_eq!((policy.pick(None), actions(&mut policy)), (None, vec![Action::Write(0)]));
    policy.written(0, true);
    assert_eq!((policy.pick(None), actions(&mut policy)), (Some(2), vec![Action::Drop(0)]));
    policy.finished(2, Finished::Output(60));
    assert_eq!(actions(&mut policy).last(), Some(&Action::End(run, Ended::Done)));
    assert!(policy.kept().all(|(_, kept)| kept.spillable));
    assert_eq!((policy.firm(), policy.used()), (40, 40));
    // Of two runs one takes the chunk that is lost.
    let (taking, other) = (policy.extend(&batch(&[&[0]], &[10])), policy.extend(&batch(&[&[]], &[10])));
    assert_eq!((policy.firm(), policy.pick(None)), (0, Some(4)));
    assert_eq!(actions(&mut policy), [Action::Load(0)]);
    assert_eq!(policy.users_left(0).collect::<Vec<_>>(), [3]);
    policy.loaded(0, false);
    policy.cancel(taking);
    policy.finished(4, Finished::Output(10));
    let ends: Vec<Action> = actions(&mut policy).into_iter().filter(|action| matches!(action, Action::End(..))).collect();
    assert_eq!(ends, [Action::End(taking, Ended::Cancelled), Action::End(other, Ended::Done)]);
    assert!(policy.is_idle() && policy.kept().count() == 2);
}

#[test]
fn what_does_not_fit_is_refused() {
    let batch = Batch {
        input_start: vec![0, 0, 1],
        inputs: vec![0],
        out: vec![10, 10],
        scratch: vec![0, 5],
        class: vec![Class::Task; 2],
        ..Batch::default()
    };
    assert!(simulate(&batch, &Setup::new(24, 1, 1)).is_none());
    assert_eq!(simulate(&batch, &Setup::new(25, 1, 1)).unwrap().peak_bytes, 25);
}

/// Sources of 10 bytes, and tasks with outputs of `out` bytes that take one source each.
fn readers(sources: u32, out: u64, takes: &[u32]) -> Batch {
    let count = sources as usize + takes.len();
    let is_source = |task: usize| task < sources as usize;
    Batch {
        input_start: (0..=count as u32).map(|task| task.saturating_sub(sources)).collect(),
        inputs: takes.to_vec(),
        out: (0..count).map(|task| if is_source(task) { 10 } else { out }).collect(),
        scratch: vec![0; count],
        class: (0..count).map(|task| if is_source(task) { Class::Source } else { Class::Task }).collect(),
        ..Batch::default()
    }
}

fn actions(policy: &mut Policy) -> Vec<Action> {
    let mut actions = Vec::new();
    policy.take_actions(&mut actions);
    actions
}

#[test]
fn what_is_being_written_in_time_makes_room_for_others() {
    let batch = Batch {
        input_start: vec![0, 0, 0, 0, 1, 2],
        inputs: vec![1, 0],
        out: vec![10, 10, 15, 1, 1],
        scratch: vec![0; 5],
        class: vec![Class::Task; 5],
        will_spill: vec![0],
        ..Batch::default()
    };
    let mut policy = Policy::new(30, 1, 1);
    policy.extend(&batch);
    assert_eq!(policy.pick(None), Some(0));
    policy.finished(0, Finished::Output(10));
    assert_eq!(actions(&mut policy), [Action::Write(0)]);
    assert_eq!(policy.pick(None), Some(1));
    policy.finished(1, Finished::Output(10));
    // There is no room for task 2 until chunk 0 has been written: no other one is written for it.
    assert_eq!(policy.pick(None), None);
    assert_eq!(actions(&mut policy), []);
    policy.written(0, true);
    assert_eq!(policy.pick(None), Some(2));
    assert_eq!(actions(&mut policy), [Action::Drop(0)]);
}

#[test]
fn inputs_are_loaded_behind_tasks_that_have_theirs() {
    let mut takes = vec![0; 20];
    takes.extend([1, 2]);
    let mut policy = Policy::new(25, 1, 1);
    policy.extend(&readers(3, 0, &takes));
    assert_eq!(policy.pick(None), None);
    assert_eq!(actions(&mut policy), [Action::Load(0)]);
    policy.loaded(0, true);
    assert_eq!(policy.pick(None), Some(3));
    assert_eq!(actions(&mut policy), [Action::Load(1)]);
}

#[test]
fn no_more_tasks_are_staged_than_workers_and_threads_can_use() {
    let mut policy = Policy::new(150, 2, 2);
    policy.extend(&readers(20, 0, &(0..20).collect::<Vec<_>>()));
    for _ in 0..10 {
        assert_eq!(policy.pick(None), None);
    }
    assert_eq!(actions(&mut policy).len(), 4);
}
