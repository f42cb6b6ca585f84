//! `chunkstore head`: the first values of a chunk.

use super::of_log;
use crate::chunk_number::ChunkNumber;
use crate::common::{Common, Look, Memory};
use crate::failure::{Exit, Failure, Result};
use crate::grid::{Grid, tuple};
use crate::hex::hex;
use crate::key;
use crate::log_folder::LogFolder;
use crate::open;
use crate::output::{Output, Style};
use crate::preview::{Most, document, kind, lines};
use crate::summary::grid_of;
use crate::value::value;
use chunkstore_store::Chunk;
use chunkstore_store::Dataset;
use serde_json::json;
use std::path::Path;

const HELP: &str = "\
Examples:
  chunkstore head data/store/climate/temperature              the first rows of chunk 0
  chunkstore head data/store/climate/temperature --chunk 7    those of chunk 7
  chunkstore head data/store/climate/temperature --chunk 1,3  at this place in the grid
  chunkstore head data/store/x --rows 100 --columns 20        more of them
  chunkstore head data/shuffle/7                              entries of partition 7 of an append log
  chunkstore head data/shuffle/7 --type '(String, u64)'       the same as the records that they are

Chunks are numbered in C order (last axis fastest). Rows run along the last axis; the numbers beside
and above are indices in the whole array. Chunks that hold no numbers are shown as bytes in
hexadecimal digits; of datasets with keys the first keys are listed.

JSON: one document: name, chunk, position, start, and of a block type (\"block\"), dtype, shape, rows
[{index, values}], rows_left, columns_left; of others type (\"records\", \"bytes\", \"scalar\") with
records, bytes, hex or value; of a dataset with keys: keys [{key, key_text, bytes, ...}], keys_left.
Of a log: log, partition, records, bytes, entries [{task, attempt, type, hex, values, ...}],
records_left. What is no number is null, and infinities are the texts \"Infinity\" and \"-Infinity\".";

/// Show the first values or rows of a chunk.
#[derive(clap::Args)]
#[command(after_long_help = HELP)]
pub(crate) struct Args {
    /// A dataset: STORE/NAME; or an append log or a partition of one: LOG, LOG/NUMBER.
    #[arg(value_name = "ADDRESS", value_hint = clap::ValueHint::AnyPath)]
    address: String,
    /// The chunk: its number, or its place in the grid as I,J,...
    #[arg(long, short, value_name = "CHUNK", value_parser = ChunkNumber::parse)]
    chunk: Option<ChunkNumber>,
    /// The type of the records of an append log, as Rust names it: '(String, u64)'.
    #[arg(long = "type", value_name = "TYPE")]
    type_name: Option<String>,
    /// The most rows, keys or entries.
    #[arg(long, short = 'n', value_name = "N", default_value_t = 10)]
    rows: usize,
    /// The most columns.
    #[arg(long, value_name = "N", default_value_t = 8)]
    columns: usize,
    #[command(flatten)]
    memory: Memory,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Shows values.
pub(crate) fn run(args: &Args, output: &mut Output) -> Result<Exit> {
    let arena = args.memory.arena();
    if let Some((log, partition)) = log_at(&args.address) {
        let partition = match &args.chunk {
            Some(number) => Some(number.resolve(None)?),
            None => partition,
        };
        let look = Look { address: args.address.clone(), memory: args.memory.clone() };
        let most = Most { rows: args.rows, columns: args.columns };
        return of_log::head(&log, partition, args.type_name.as_deref(), &look, most, output);
    }
    if args.type_name.is_some() {
        return Err(Failure::new(Exit::Usage, "--type is for append logs").hint("what is in a store has its type with it"));
    }
    let (dataset, _) = open::dataset_at(&args.address, &arena)?;
    let (grid, most) = (grid_of(dataset.info())?, Most { rows: args.rows, columns: args.columns });
    match (&grid, &args.chunk) {
        (None, None) => keys(&dataset, most, output),
        (grid, number) => {
            let number = number.as_ref().unwrap_or(&ChunkNumber::Number(0)).resolve(grid.as_ref())?;
            chunk(&dataset, grid.as_ref(), number, most, output)
        }
    }
}

/// The append log that an address names, perhaps with one of its partitions: LOG or LOG/7.
fn log_at(address: &str) -> Option<(LogFolder, Option<u64>)> {
    let path = Path::new(address);
    LogFolder::at(path).map(|log| (log, None)).or_else(|| {
        let partition = path.file_name()?.to_str()?.parse().ok()?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        LogFolder::at(folder).map(|log| (log, Some(partition)))
    })
}

fn chunk(dataset: &Dataset, grid: Option<&Grid>, number: u64, most: Most, output: &mut Output) -> Result<Exit> {
    let name = &dataset.info().name;
    let found = dataset.chunk(number).map_err(|error| Failure::from(error).about(format!("chunk {number} of {name}")))?;
    let Some(chunk) = found else {
        let failure = Failure::new(Exit::NotFound, format!("chunk {number} of {name} is not there"));
        return Err(failure.hint("`chunkstore map` shows which chunks are there"));
    };
    let block = u32::try_from(number).unwrap_or(u32::MAX);
    let place = grid.map(|grid| (grid.chunks.position(block), grid.chunks.block_start(block)));
    let start = place.as_ref().map(|(_, start)| start.to_vec()).unwrap_or_default();
    if output.is_json() {
        let mut fields =
            json!({ "name": name, "chunk": number, "position": place.as_ref().map(|(position, _)| position.to_vec()), "start": start });
        if let (Some(fields), serde_json::Value::Object(more)) = (fields.as_object_mut(), document(&chunk, &start, most)) {
            fields.extend(more);
        }
        output.document(&fields)?;
        return Ok(Exit::Success);
    }
    let at = place.map_or(String::new(), |(position, _)| format!(" at {} of the grid", tuple(&position)));
    output.line(output.style(Style::Dim, format!("{name}, chunk {number}{at}: {}", kind(&chunk))))?;
    lines(&chunk, &start, most).into_iter().try_for_each(|line| output.line(line))?;
    Ok(Exit::Success)
}

/// Shows a plain value, where its type is one of Rust's own.
fn plain(dataset: &Dataset, output: &mut Output) -> Result<Option<Exit>> {
    let info = dataset.info();
    let type_name = info.meta.get("type").and_then(serde_json::Value::as_str).unwrap_or_default();
    let found = dataset.chunk(0).map_err(|error| Failure::from(error).about(&info.name))?;
    let Some(Chunk::Records(records)) = found else { return Ok(None) };
    let Some(value) = value(type_name, &records) else { return Ok(None) };
    match output.is_json() {
        true => output.document(&json!({ "name": info.name, "type": "value", "rust_type": type_name, "value": value }))?,
        false => output.line(value)?,
    }
    Ok(Some(Exit::Success))
}

/// Shows the first keys of a dataset that has no grid, and what they stand for.
fn keys(dataset: &Dataset, most: Most, output: &mut Output) -> Result<Exit> {
    if dataset.info().kind == "value"
        && let Some(exit) = plain(dataset, output)?
    {
        return Ok(exit);
    }
    let (info, mut shown) = (dataset.info(), Vec::new());
    let chest = info.kind == "chest";
    let mut keys = dataset.keys()?;
    // A long value of a chest is in parts, which have keys of their own; it is its first chunk that is shown.
    keys.retain(|bytes| !chest || key::in_chest(bytes).is_some());
    for bytes in keys.iter().take(most.rows) {
        let about = |error| Failure::from(error).about(format!("{} of {}", key::text(&info.kind, bytes), info.name));
        if let Some(chunk) = dataset.get(bytes).map_err(about)? {
            shown.push((bytes, chunk));
        }
    }
    let left = keys.len().saturating_sub(most.rows);
    let type_name = info.meta.get("value").and_then(serde_json::Value::as_str).unwrap_or_default();
    let decoded = |chunk: &Chunk| match chunk {
        Chunk::Records(records) if chest => value(type_name, records),
        _ => None,
    };
    if output.is_json() {
        let fields = shown.iter().map(|(bytes, chunk)| {
            let mut fields = document(chunk, &[], most);
            fields["key"] = json!(hex(bytes, usize::MAX));
            fields["key_text"] = json!(if chest { key::in_chest(bytes) } else { None });
            fields["value"] = json!(decoded(chunk));
            fields
        });
        output.document(&json!({ "name": info.name, "keys": fields.collect::<Vec<_>>(), "keys_left": left }))?;
        return Ok(Exit::Success);
    }
    for (bytes, chunk) in &shown {
        let name = if chest { key::in_chest(bytes) } else { None }.unwrap_or_else(|| hex(bytes, 32));
        let name = output.style(Style::Bold, name);
        if let Some(value) = decoded(chunk) {
            output.line(format!("{name}  {value}"))?;
            continue;
        }
        output.line(format!("{name}  {}", output.style(Style::Dim, kind(chunk))))?;
        lines(chunk, &[], Most { rows: 2, ..most }).into_iter().try_for_each(|line| output.line(format!("    {line}")))?;
    }
    if left > 0 {
        output.line(format!("... {left} more keys"))?;
    }
    Ok(Exit::Success)
}
