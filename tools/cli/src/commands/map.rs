//! `chunkstore map`: a picture of the chunks of an array.

use crate::common::{Common, Memory};
use crate::failure::{Exit, Failure, Result};
use crate::grid::tuple;
use crate::open;
use crate::output::{Output, Style};
use crate::picture::{Picture, State};
use crate::presence::Presence;
use crate::run_states;
use crate::summary::plural;
use crate::units::count;
use chunkstore_store::Dataset;
use serde_json::json;
use std::path::Path;

const HELP: &str = "\
Examples:
  chunkstore map data/store/climate/temperature           which chunks are there
  chunkstore map data/store/climate/temperature --check   read them all, to see which are damaged
  chunkstore map data/store/climate/temperature --ascii   in plain characters: # . X
  chunkstore map data/store/events/0000000000000007.events  the blocks of a run, also while it goes on

Rows are chunks along the last axis but one, columns those along the last; a single axis goes on
from line to line, more axes give a panel for each of their indices. Where the grid is larger than
the page a character stands for several chunks and shows the worst of them. Without --check only the
index is read, and no damage is seen. The command ends with 3 if a chunk is missing, and with 1 if
--check found one that is damaged.

Of a run each layer is drawn by the numbers of its blocks: in memory or saved, spilled to disk,
failed, or neither. The log may be a second behind the run.

JSON: one document: name, grid, chunks, checked, present, missing, damaged, and not_present [{chunk,
position, state, error}].";

/// Draw the grid of chunks: present, missing, spilled, damaged.
#[derive(clap::Args)]
#[command(after_long_help = HELP)]
pub(crate) struct Args {
    /// An array: STORE/NAME; or the event log of a run: STORE/events/RUN.events.
    #[arg(value_name = "ADDRESS", value_hint = clap::ValueHint::AnyPath)]
    address: String,
    /// Read every chunk and check its bytes.
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    memory: Memory,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// The most chunks that are listed below the picture.
const LISTED: usize = 20;

/// Draws the grid.
pub(crate) fn run(args: &Args, output: &mut Output) -> Result<Exit> {
    let path = Path::new(&args.address);
    if path.extension().is_some_and(|ending| ending == "events") && path.is_file() {
        return of_run(path, output);
    }
    let (dataset, grid, folder) = open::array_at(&args.address, &args.memory.arena(), "have a grid")?;
    let info = dataset.info();
    let presence = Presence::of(&dataset, &folder)?;
    let (mut states, mut errors) = (Vec::new(), Vec::new());
    for number in 0..grid.chunks.blocks() {
        let (state, error) = state(&dataset, &presence, number, args.check)?;
        states.push(state);
        errors.extend(error.map(|error| (number, error)));
    }
    let of = |wanted: State| states.iter().filter(|state| **state == wanted).count();
    let exit = match (of(State::Damaged), of(State::Missing)) {
        (0, 0) => Exit::Success,
        (0, _) => Exit::NotFound,
        _ => Exit::No,
    };
    let position = |number: usize| grid.chunks.position(u32::try_from(number).unwrap_or(u32::MAX)).to_vec();
    let error = |number: usize| errors.iter().find(|(at, _)| *at as usize == number).map(|(_, error)| error.to_string());
    let numblocks = grid.chunks.numblocks();
    if output.is_json() {
        let rest = states.iter().enumerate().filter(|(_, state)| **state != State::Present);
        let rest: Vec<_> =
            rest.map(|(at, state)| json!({ "chunk": at, "position": position(at), "state": state.name(), "error": error(at) })).collect();
        output.document(&json!({
            "name": info.name, "grid": numblocks.to_vec(), "chunks": states.len(), "checked": args.check, "present": of(State::Present),
            "missing": of(State::Missing), "damaged": of(State::Damaged), "not_present": rest,
        }))?;
        return Ok(exit);
    }
    output.line(format!("{}: a grid of {}", output.style(Style::Bold, &info.name), tuple(&numblocks)))?;
    let picture = Picture::new(&numblocks, &states, output.width());
    for (title, lines) in &picture.panels {
        title.iter().try_for_each(|title| output.line(output.style(Style::Dim, title)))?;
        for line in lines {
            let line: String = line.iter().map(|state| state.drawn(output)).collect();
            output.line(line)?;
        }
    }
    if let Some((panels, worst)) = picture.left_out {
        output.line(format!("... {panels} more panels, the worst chunk in them is {}", worst.name()))?;
    }
    let used = State::ALL.into_iter().rev().filter(|state| of(*state) > 0);
    let legend: Vec<String> = used.map(|state| format!("{} {} {}", state.drawn(output), count(of(state) as u64), state.name())).collect();
    let checked = if args.check { ", all bytes checked" } else { "" };
    output.line(format!("{}{checked}", legend.join("  ")))?;
    if picture.scale != (1, 1) {
        let (down, across) = picture.scale;
        output.line(format!("a character stands for up to {down} x {across} chunks, and shows the worst of them"))?;
    }
    let damaged: Vec<usize> = states.iter().enumerate().filter(|(_, state)| **state == State::Damaged).map(|(at, _)| at).collect();
    for at in damaged.iter().take(LISTED) {
        let error = error(*at).unwrap_or_default();
        output.line(output.style(Style::Red, format!("chunk {at} at {}: {error}", tuple(&position(*at)))))?;
    }
    if damaged.len() > LISTED {
        output.line(format!("... and {} more; --json lists all", plural((damaged.len() - LISTED) as u64, "damaged chunk")))?;
    }
    presence.told().iter().try_for_each(|told| output.line(output.style(Style::Yellow, told)))?;
    Ok(exit)
}

/// Draws the blocks of each layer of a run.
fn of_run(path: &Path, output: &mut Output) -> Result<Exit> {
    let (log, layers) = run_states::read(path)?;
    let of = |states: &[State], wanted: State| states.iter().filter(|state| **state == wanted).count();
    if output.is_json() {
        let layers = layers.iter().map(|layer| {
            json!({
                "layer": layer.number, "name": layer.name, "blocks": layer.states.len(), "present": of(&layer.states, State::Present),
                "spilled": of(&layer.states, State::Spilled), "missing": of(&layer.states, State::Missing), "failed": of(&layer.states, State::Damaged),
                "states": layer.states.iter().map(|state| state.name()).collect::<Vec<_>>(),
            })
        });
        output.document(&json!({ "run": format!("{:016x}", log.run), "process": log.process, "whole": log.whole, "layers": layers.collect::<Vec<_>>() }))?;
        return Ok(Exit::Success);
    }
    output.line(format!("run {:016x} of process {}: {}", log.run, log.process, plural(log.events.len() as u64, "event")))?;
    for layer in &layers {
        output.line(format!("{} {}", output.style(Style::Bold, format!("layer {}", layer.number)), layer.name))?;
        for (_, lines) in Picture::new(&[layer.states.len()], &layer.states, output.width()).panels {
            for line in lines {
                let line: String = line.iter().map(|state| state.drawn(output)).collect();
                output.line(line)?;
            }
        }
    }
    let all: Vec<State> = layers.iter().flat_map(|layer| layer.states.iter().copied()).collect();
    let used = State::ALL.into_iter().rev().filter(|state| of(&all, *state) > 0);
    let legend: Vec<String> =
        used.map(|state| format!("{} {} {}", state.drawn(output), count(of(&all, state) as u64), run_states::meaning(state))).collect();
    output.line(legend.join("  "))?;
    Ok(Exit::Success)
}

/// What is known of a chunk, and what is wrong with it.
fn state(dataset: &Dataset, presence: &Presence, number: u32, check: bool) -> Result<(State, Option<Failure>)> {
    if presence.is_missing(number.into()) {
        return Ok((State::Missing, None));
    }
    match if check { dataset.chunk(number.into()).map(drop) } else { Ok(()) } {
        Ok(()) => Ok((State::Present, None)),
        Err(error) => match Failure::from(error) {
            failure if failure.is_gone() => Ok((State::Missing, Some(failure))),
            failure if failure.is_damage() => Ok((State::Damaged, Some(failure))),
            failure => Err(failure.about(format!("chunk {number} of {}", dataset.info().name))),
        },
    }
}
