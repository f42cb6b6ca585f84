//! Random graphs, bounds, kept chunks and completion orders: never above what the run is held to, nothing evicted, and the head always starts.

#![allow(clippy::unwrap_used)]

use super::{Course, Within};
use crate::policy::dice::Dice;
use crate::policy::machine::{Action, Finished};
use crate::policy::{Batch, Class, Ended, Kept, Policy, Setup, simulate};
use proptest::prelude::*;
use std::sync::Arc;

fn random_kept(dice: &mut Dice) -> Vec<Kept> {
    let kept = |dice: &mut Dice| {
        let resident = dice.roll(2) == 0;
        Kept { bytes: dice.roll(20), resident, clean: !resident || dice.roll(2) == 0, source: false, spillable: true, claims: 1 }
    };
    (0..dice.roll(4)).map(|_| kept(dice)).collect()
}

fn random_batch(dice: &mut Dice, base: u32) -> Batch {
    let mut batch = Batch { input_start: vec![0], ..Batch::default() };
    let (locality, sources) = (1 + dice.roll(20), dice.roll(3) > 0);
    for task in 0..1 + dice.roll(150) as u32 {
        let source = sources && dice.roll(4) == 0;
        for _ in 0..if source { 0 } else { dice.roll(4) } {
            let all = u64::from(base + task);
            if all > 0 {
                let reach = if dice.roll(4) == 0 { all } else { locality.min(all) };
                batch.inputs.push((all - 1 - dice.roll(reach)) as u32);
            }
        }
        batch.input_start.push(batch.inputs.len() as u32);
        batch.out.push(dice.roll(30));
        batch.scratch.push(if source || dice.roll(3) > 0 { 0 } else { dice.roll(20) });
        batch.class.push(if source { Class::Source } else { Class::Task });
        if !source && dice.roll(12) == 0 {
            batch.keep.push(task);
        }
    }
    batch
}

fn play(seed: u64) {
    let mut dice = Dice(seed);
    let kept = random_kept(&mut dice);
    let mut batch = random_batch(&mut dice, kept.len() as u32);
    let course = Arc::new(Course::of(&batch, &kept));
    let bytes = course.most() + dice.roll(60);
    let loads = Some(dice.roll(6) as u32).filter(|loads| *loads < 4);
    batch.within = Some(Within { course, bytes, loads });
    let (workers, io_threads) = (1 + dice.roll(4), 1 + dice.roll(4));
    let mut policy = Policy::with_kept(bytes + dice.roll(2) * 1000, workers as u32, io_threads as u32, &kept);
    let run = policy.extend(&batch);
    assert!(policy.following.is_some());
    let (mut running, mut loading, mut ended) = (Vec::new(), Vec::new(), false);
    loop {
        while running.len() < workers as usize
            && let Some(task) = policy.pick(None)
        {
            running.push(task);
        }
        let mut actions = Vec::new();
        policy.take_actions(&mut actions);
        for action in actions {
            match action {
                Action::Load(chunk) => loading.push(chunk),
                Action::Forget(_) => {}
                Action::End(id, how) => {
                    assert_eq!((id, how), (run, Ended::Done));
                    ended = true;
                }
                Action::Write(_) | Action::Drop(_) => panic!("seed {seed}: something was evicted"),
            }
        }
        assert!(policy.used <= bytes, "seed {seed}: {} of {bytes}", policy.used);
        let under_way = (running.len() + loading.len()) as u64;
        if under_way == 0 {
            break;
        }
        let at = dice.roll(under_way) as usize;
        if at < running.len() {
            let task = running.swap_remove(at);
            policy.finished(task, Finished::Output(policy.bytes_of(task)));
        } else {
            policy.loaded(loading.swap_remove(at - running.len()), true);
        }
    }
    assert!(ended && policy.is_idle() && policy.following.is_some(), "seed {seed}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn a_run_stays_within_and_evicts_nothing(seed in any::<u64>()) {
        play(seed);
    }

    #[test]
    fn one_worker_that_loads_nothing_ahead_takes_what_the_course_says(seed in any::<u64>()) {
        let mut dice = Dice(seed);
        let kept = random_kept(&mut dice);
        let mut batch = random_batch(&mut dice, kept.len() as u32);
        let course = Arc::new(Course::of(&batch, &kept));
        let most = course.most();
        let loads = batch.class.contains(&Class::Source) || kept.iter().any(|kept| !kept.resident);
        batch.within = Some(Within { course, bytes: most, loads: Some(0) });
            // A source that nobody takes is never loaded.
        let bound = most.max(batch.largest_need(kept.len() as u32, |chunk| kept[chunk as usize].bytes).0);
        let forecast = simulate(&batch, &Setup { kept, ..Setup::new(bound, 1, 2) }).unwrap();
        prop_assert_eq!((forecast.spilled_bytes, forecast.source_reread_bytes), (0, 0));
        // While the head waits for its load, a task after it may run where there is room: then less is in memory later.
        prop_assert!(if loads { forecast.peak_bytes <= most } else { forecast.peak_bytes == most }, "{} of {}", forecast.peak_bytes, most);
    }
}

#[test]
fn the_most_of_a_stretch_is_found_whatever_its_ends() {
    let at: Vec<u64> = (0..1000u64).map(|place| place * 7919 % 1009).collect();
    let most = at.chunks(super::STRETCH).map(|stretch| stretch.iter().copied().max().unwrap()).collect();
    let course = Course { at: at.clone(), most, before: 0 };
    for (from, to) in [(0, 1000), (0, 64), (1, 64), (63, 65), (64, 128), (70, 70), (130, 999), (999, 1000), (0, 5000)] {
        let wanted = at.iter().take(to).skip(from).copied().max().unwrap_or(0);
        assert_eq!(course.most_in(from, to), wanted, "{from}..{to}");
    }
}

/// A slow task holds nobody up for whose work there is room, and what is behind the head is not taken for what it needs.
#[test]
fn others_go_on_beside_a_slow_task_as_far_as_there_is_room() {
    // Ten tasks of 10 bytes that nobody takes.
    let mut batch =
        Batch { input_start: vec![0; 11], out: vec![10; 10], scratch: vec![0; 10], class: vec![Class::Task; 10], ..Batch::default() };
    let course = Arc::new(Course::of(&batch, &[]));
    assert_eq!(course.most(), 10);
    batch.within = Some(Within { course, bytes: 30, loads: None });
    let mut policy = Policy::new(1000, 4, 1);
    policy.extend(&batch);
    assert_eq!((0..4).map(|_| policy.pick(None)).collect::<Vec<_>>(), [Some(0), Some(1), Some(2), None]);
    // Nobody takes what it gave.
    policy.finished(2, Finished::Output(10));
    assert_eq!((policy.used(), policy.pick(None), policy.pick(None)), (20, Some(3), None));
    policy.finished(3, Finished::Output(10));
    policy.finished(1, Finished::Output(10));
    assert_eq!((0..3).map(|_| policy.pick(None)).collect::<Vec<_>>(), [Some(4), Some(5), None]);
    policy.finished(0, Finished::Output(10));
    assert_eq!((policy.used(), policy.pick(None), policy.pick(None)), (20, Some(6), None));
}
