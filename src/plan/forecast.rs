//! The choice of an order by running the policy against sizes, and what that says of the run.

use super::batch::{NOT_KEPT, Numbered, number};
use super::choose::choose_for_run;
use super::order::by_priority;
use super::situation::Situation;
use super::{Cost, Shape};
use crate::graph::TaskTable;
use crate::policy::{Batch, Forecast, Setup, simulate};

/// How many times faster and slower than usual the disk is taken to be, for what is booked at the most.
const DISKS: [f64; 3] = [1.0, 1000.0, 0.1];

/// A planned order, and the forecast where there is one.
pub(crate) struct Planned {
    pub(crate) numbered: Numbered,
    /// The name of the order.
    pub(crate) chosen: &'static str,
    pub(crate) forecast: Option<Forecast>,
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
    let simulated = |numbered: &Numbered| simulate(&renumbered(numbered), &usual);
    // What is booked depends on how fast the disk is: a run is held to the most.
    let with_booked = |mut forecast: Forecast, numbered: &Numbered| {
        let batch = renumbered(numbered);
        for disk in DISKS {
            let (most_waiting, waiting) = situation.waiting;
            let setup = Setup { disk_rate: usual.disk_rate * disk, most_waiting, waiting, ..usual.clone() };
            let booked = simulate(&batch, &setup).map_or(0, |forecast| forecast.booked_bytes);
            forecast.booked_bytes = forecast.booked_bytes.max(booked);
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
        let numbered = numbered_by(urgent.unwrap_or_else(|| (0..table.len() as u32).collect()));
        let forecast = if situation.forecast { simulated(&numbered) } else { None };
        let forecast = forecast.map(|forecast| with_booked(forecast, &numbered));
        return Planned { numbered, chosen, forecast };
    }
    if let Some(numbered) = urgent.map(numbered_by) {
        // What the user wants first is not worth input and output.
        let costs_nothing = |forecast: &Forecast| forecast.spilled_bytes + forecast.reread_bytes + forecast.source_reread_bytes == 0;
        if let Some(forecast) = simulated(&numbered).filter(costs_nothing) {
            let forecast = Some(with_booked(forecast, &numbered));
            return Planned { numbered, chosen: "by priority", forecast };
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
    let forecast = forecast.map(|forecast| with_booked(forecast, &numbered));
    if let Some(forecast) = &forecast {
        numbered.batch.will_spill = forecast.will_spill.clone();
    }
    debug_assert!(kept.is_empty() || kept.iter().any(|id| *id != NOT_KEPT));
    Planned { numbered, chosen: choice.name, forecast }
}
