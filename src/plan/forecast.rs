//! The choice of an order by running the policy against sizes, and what that says of the run.

use super::batch::{NOT_KEPT, Numbered, number};
use super::choose::choose_for_run;
use super::order::by_priority;
use super::situation::Situation;
use super::{Cost, Shape, SizeRange};
use crate::graph::TaskTable;
use crate::policy::{Batch, Class, Course, Forecast, Setup, Within, simulate};
use std::sync::Arc;

/// How many times faster than usual a disk is taken to be that is never waited for.
const FAST: f64 = 1000.0;

/// How many times slower than usual a disk is taken to be that is always waited for: in parts.
const SLOW: f64 = 0.1;

/// A planned order, and the forecast where there is one.
pub(crate) struct Planned {
    pub(crate) numbered: Numbered,
    /// The name of the order.
    pub(crate) chosen: &'static str,
    pub(crate) forecast: Option<Forecast>,
    /// Where sizes are not exact: the least bytes booked at a time, and the most where something is known of all of them.
    pub(crate) range: Option<(u64, Option<u64>)>,
}

/// Chooses an order and forecasts the run.
pub(crate) fn plan(table: &TaskTable, kept: &[u32], keep: &[u32], situation: &Situation<'_>) -> Planned {
    let usual = Setup {
        kept: situation.kept.iter().map(|(_, kept)| *kept).collect(),
        ..Setup::new(situation.bound, situation.workers, situation.io_threads)
    };
    // Simulated chunks are numbered 0.. for what is kept, then the batch.
    let renumbered = |numbered: &Numbered| {
        let base = situation.kept.len() as u32;
        let mut batch: Batch = numbered.batch.clone();
        for input in &mut batch.inputs {
            *input = if *input >= situation.base {
                *input - situation.base + base
            } else {
                situation.kept.binary_search_by_key(input, |(id, _)| *id).unwrap_or(0) as u32
            };
        }
        batch
    };
    let simulated = |numbered: &Numbered| {
        let mut batch = renumbered(numbered);
        batch.within = fitting(&batch, &usual, situation.exact);
        simulate(&batch, &usual)
    };
    let spare = situation.spare;
    let disk = |times: f64| Setup { disk_rate: usual.disk_rate * times, spare, ..usual.clone() };
    // What is booked depends on how fast the disk is.
    let with_booked = |mut forecast: Forecast, numbered: &mut Numbered| {
        let mut batch = renumbered(numbered);
        match fitting(&batch, &usual, situation.exact) {
            // The run is held to what it comes to whether the disk is slow or fast, so that it books as much whichever it is.
            Some(within) => {
                let loads = batch.class.contains(&Class::Source) || usual.kept.iter().any(|kept| !kept.resident);
                let mut beside = 0;
                let mut at = |loads: Option<u32>, times: f64| {
                    batch.within = Some(Within { loads, ..within.clone() });
                    let forecast = simulate(&batch, &disk(times)).unwrap_or_default();
                    beside = forecast.beside_bytes.max(beside);
                    forecast.peak_bytes
                };
                let slow = at(None, if loads { SLOW } else { 1.0 });
                let fast = if loads { at(Some(1), FAST) } else { slow };
                let bytes = slow.min(fast).max(within.course.most());
                // What waits to be used again is given back before the run books more.
                (forecast.booked_bytes, forecast.beside_bytes) = (bytes, beside);
                numbered.batch.within = Some(Within { bytes, ..within });
            }
            None => {
                for times in [1.0, FAST, SLOW] {
                    let other = simulate(&batch, &disk(times)).unwrap_or_default();
                    forecast.booked_bytes = forecast.booked_bytes.max(other.booked_bytes);
                    forecast.beside_bytes = forecast.beside_bytes.max(other.beside_bytes);
                }
            }
        }
        forecast
    };
    let total: u64 = table.out.iter().map(|out| super::bound::booked(*out)).sum();
    let scratch = table.scratch.iter().copied().max().unwrap_or(0) * u64::from(2 * situation.workers + situation.io_threads);
    let held: u64 = situation.kept.iter().map(|(_, kept)| kept.bytes).sum();
    let fits = total.saturating_add(scratch).saturating_add(held) <= situation.bound;
    let numbered_by = |order: Vec<u32>| number(table, order, situation.base, kept, keep);
    let urgent = by_priority(table);
    if fits {
        let chosen = if urgent.is_some() { "by priority" } else { "depth first" };
        let mut numbered = numbered_by(urgent.unwrap_or_else(|| (0..table.len() as u32).collect()));
        let forecast = if situation.forecast { simulated(&numbered) } else { None };
        let forecast = forecast.map(|forecast| with_booked(forecast, &mut numbered));
        let range = range(&renumbered(&numbered), &numbered, situation);
        return Planned { numbered, chosen, forecast, range };
    }
    if let Some(mut numbered) = urgent.map(numbered_by) {
        // What the user wants first is not worth input and output.
        let costs_nothing = |forecast: &Forecast| forecast.spilled_bytes + forecast.reread_bytes + forecast.source_reread_bytes == 0;
        if let Some(forecast) = simulated(&numbered).filter(costs_nothing) {
            let forecast = Some(with_booked(forecast, &mut numbered));
            let range = range(&renumbered(&numbered), &numbered, situation);
            return Planned { numbered, chosen: "by priority", forecast, range };
        }
    }
    let shape = Shape::of(table, keep);
    let mut best: Option<(Vec<u32>, Forecast)> = None;
    let choice = choose_for_run(&shape, situation.bound, |order| {
        let numbered = numbered_by(order.to_vec());
        match simulated(&numbered) {
            Some(forecast) => {
                let cost = Cost {
                    spilled: forecast.spilled_bytes,
                    reread: forecast.reread_bytes + forecast.source_reread_bytes,
                    peak: forecast.peak_bytes,
                };
                if best.as_ref().is_none_or(|(known, _)| known.as_slice() != order) {
                    best = Some((order.to_vec(), forecast));
                }
                cost
            }
            None => Cost { spilled: u64::MAX, reread: u64::MAX, peak: u64::MAX },
        }
    });
    let mut numbered = numbered_by(choice.order.clone());
    let forecast = match best {
        Some((order, forecast)) if order == choice.order => Some(forecast),
        _ => simulated(&numbered),
    };
    // The run writes in time what it is known to spill.
    if let Some(forecast) = &forecast {
        numbered.batch.will_spill = forecast.will_spill.clone();
    }
    let forecast = match forecast {
        Some(forecast) if !forecast.will_spill.is_empty() => simulated(&numbered).or(Some(forecast)),
        forecast => forecast,
    };
    let forecast = forecast.map(|forecast| with_booked(forecast, &mut numbered));
    debug_assert!(kept.is_empty() || kept.iter().any(|id| *id != NOT_KEPT));
    let range = range(&renumbered(&numbered), &numbered, situation);
    Planned { numbered, chosen: choice.name, forecast, range }
}

/// The course of a batch of exact sizes, where all of it is within the bound.
fn fitting(batch: &Batch, setup: &Setup, exact: bool) -> Option<Within> {
    let course = exact.then(|| Course::of(batch, &setup.kept)).filter(|course| course.most() <= setup.bound)?;
    Some(Within { course: Arc::new(course), bytes: setup.bound, loads: None })
}

/// The least and the most that is booked at a time, where tasks give what they are known to have given.
fn range(batch: &Batch, numbered: &Numbered, situation: &Situation<'_>) -> Option<(u64, Option<u64>)> {
    let sizes = situation.sizes?;
    let of = |place: u32| sizes.get(place as usize).copied().unwrap_or(SizeRange::exactly(0));
    let spare = situation.spare;
    let setup = Setup {
        kept: situation.kept.iter().map(|(_, kept)| *kept).collect(),
        ..Setup::new(situation.bound, situation.workers, situation.io_threads)
    };
    let booked = |batch: &Batch, setup: Setup| simulate(batch, &setup).map(|forecast| forecast.booked_bytes);
    // At the least one worker does everything, and nothing is held beside inputs and outputs.
    let least = Batch { scratch: vec![0; batch.len()], ..batch.clone() };
    let gives: Vec<u64> = numbered.order.iter().map(|task| of(*task).least).collect();
    let alone = |times: f64| Setup { workers: 1, disk_rate: setup.disk_rate * times, gives: gives.clone(), ..setup.clone() };
    let least = booked(&least, alone(SLOW))?.min(booked(&least, alone(FAST))?);
    if numbered.order.iter().any(|task| of(*task) == SizeRange::ANY) {
        return Some((least, None));
    }
    // At the most each function holds a copy of what it takes and of what it gives.
    let mut most = batch.clone();
    let base = situation.kept.len() as u32;
    let gives: Vec<u64> = numbered.order.iter().map(|task| of(*task).most).collect();
    let taken = |input: &u32| match input.checked_sub(base) {
        Some(place) => gives.get(place as usize).copied().unwrap_or(0),
        None => situation.kept.get(*input as usize).map_or(0, |(_, kept)| kept.bytes),
    };
    for (place, scratch) in most.scratch.iter_mut().enumerate().filter(|(place, _)| batch.class[*place] == Class::Task) {
        let copies = batch.inputs_of(place).iter().map(taken).sum::<u64>() + gives[place];
        *scratch = (*scratch).max(copies).min(situation.bound);
    }
    let mut highest = 0;
    for times in [1.0, FAST, SLOW] {
        let disk_rate = setup.disk_rate * times;
        highest = highest.max(booked(&most, Setup { disk_rate, spare, gives: gives.clone(), ..setup.clone() })?);
    }
    Some((least, Some(highest)))
}
