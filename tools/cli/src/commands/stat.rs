//! `chunkstore stat`: least, greatest and mean of an array.

use crate::common::{Common, Memory};
use crate::failure::{Exit, Failure, Result};
use crate::grid::tuple;
use crate::open;
use crate::output::{Output, Style};
use crate::presence::Presence;
use crate::statistics::Statistics;
use crate::table::{Side, Table};
use crate::units::count;
use chunkstore_store::Chunk;
use serde_json::{Value, json};

const HELP: &str = "\
Examples:
  chunkstore stat data/store/climate/temperature           for each chunk and in total
  chunkstore stat data/store/climate/temperature --total   in total only

Every chunk is read. Nulls are elements that are no number (NaN); they count in no other figure. The
mean of integers is exact but for its last rounding, that of floating point numbers is summed with
compensation. Where chunks are damaged or missing the total is that of the others; the command ends
with 1 if a chunk is damaged, else with 3 if one is missing.

JSON: a line for each chunk: chunk, position, state (present, missing, damaged), error, count,
nulls, min, max, mean; then a line for the whole: total (true), name, dtype, chunks, missing,
damaged, count, nulls, min, max, mean.";

/// Compute least, greatest, mean and nulls of each chunk.
#[derive(clap::Args)]
#[command(after_long_help = HELP)]
pub(crate) struct Args {
    /// An array: STORE/NAME.
    #[arg(value_name = "ADDRESS", value_hint = clap::ValueHint::AnyPath)]
    address: String,
    /// Print the total only.
    #[arg(long)]
    total: bool,
    #[command(flatten)]
    memory: Memory,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Computes and prints statistics.
pub(crate) fn run(args: &Args, output: &mut Output) -> Result<Exit> {
    let (dataset, grid, folder) = open::array_at(&args.address, &args.memory.arena(), "have statistics")?;
    let info = dataset.info();
    let presence = Presence::of(&dataset, &folder)?;
    let mut table = Table::new([Side::Right, Side::Left, Side::Right, Side::Right, Side::Right, Side::Right, Side::Right]);
    table.row(["chunk", "at", "count", "min", "max", "mean", "nulls"]);
    let (mut total, mut missing, mut damaged) = (Statistics::default(), Vec::new(), Vec::new());
    for number in 0..grid.chunks.blocks() {
        let position = grid.chunks.position(number);
        let found = if presence.is_missing(number.into()) { Ok(None) } else { dataset.chunk(number.into()) };
        let (state, statistics, error) = match found {
            Ok(Some(Chunk::Block(block))) => ("present", Some(Statistics::of(&block)), None),
            Ok(Some(_)) => ("damaged", None, Some(Failure::new(Exit::No, "this is no block of an array"))),
            Ok(None) if grid.is_empty(number) => ("present", Some(Statistics::default()), None),
            Ok(None) => ("missing", None, None),
            Err(error) => match Failure::from(error) {
                failure if failure.is_gone() => ("missing", None, Some(failure)),
                failure if failure.is_damage() => ("damaged", None, Some(failure)),
                failure => return Err(failure.about(format!("chunk {number} of {}", info.name))),
            },
        };
        statistics.iter().for_each(|statistics| total.merge(statistics));
        if output.is_json() && !args.total {
            let mut line = statistics.as_ref().map_or_else(|| json!({}), Statistics::json);
            if let Value::Object(line) = &mut line {
                line.insert("chunk".into(), number.into());
                line.insert("position".into(), json!(position.to_vec()));
                line.insert("state".into(), state.into());
                line.insert("error".into(), json!(error.as_ref().map(Failure::to_string)));
            }
            output.document(&line)?;
        } else if !args.total {
            let [low, high, mean, nulls] = statistics.as_ref().map_or_else(|| ["", "", "", ""].map(String::from), Statistics::cells);
            let elements = statistics.as_ref().map_or_else(|| state.to_string(), |statistics| count(statistics.count));
            table.row([number.to_string(), tuple(&position), elements, low, high, mean, nulls]);
        }
        match (state, error) {
            ("missing", _) => missing.push(number),
            (_, Some(error)) => damaged.push((number, error)),
            _ => {}
        }
    }
    let exit = match (damaged.is_empty(), missing.is_empty()) {
        (false, _) => Exit::No,
        (true, false) => Exit::NotFound,
        (true, true) => Exit::Success,
    };
    if output.is_json() {
        let mut line = total.json();
        if let Value::Object(line) = &mut line {
            line.insert("total".into(), true.into());
            line.insert("name".into(), info.name.as_str().into());
            line.insert("dtype".into(), grid.dtype.name().into());
            line.insert("chunks".into(), grid.wanted().into());
            line.insert("missing".into(), missing.len().into());
            line.insert("damaged".into(), damaged.len().into());
        }
        output.document(&line)?;
        return Ok(exit);
    }
    let [low, high, mean, nulls] = total.cells();
    table.row(["total".to_string(), String::new(), count(total.count), low, high, mean, nulls]);
    for (at, line) in table.lines().into_iter().enumerate() {
        output.line(if at == 0 { output.style(Style::Dim, line) } else { line })?;
    }
    if let Some(told) = presence.told() {
        output.line(output.style(Style::Yellow, format!("{told}; the total is that of the others")))?;
    }
    for (number, error) in &damaged {
        output.line(output.style(Style::Red, format!("chunk {number} is damaged: {error}")))?;
    }
    Ok(exit)
}
