//! `chunkstore export`: an array into a file.

use crate::common::{Common, Memory};
use crate::export::{Format, Target, Writer};
use crate::failure::{Exit, Failure, Result};
use crate::import::{delimiter, delimiter_named};
use crate::open;
use crate::output::Output;
use crate::presence::Presence;
use crate::slabs::in_slabs;
use crate::summary::plural;
use crate::units::bytes;
use chunkstore_store::{Chunk, Error, ErrorKind};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const HELP: &str = "\
Examples:
  chunkstore export data/store/climate/temperature temperature.npy   for numpy.load
  chunkstore export data/store/table table.csv                       a row of the array a line
  chunkstore export data/store/table table.tsv                       the same with tabs
  chunkstore export data/store/x - --format jsonl | jq length        to standard output

Formats: npy; csv, a line for each row along the last axis (an array of one axis has a number a
line), with a first line of names where the array has an attribute `columns`; jsonl, a line of JSON
for each index of the first axis, where what is no number is null and infinities are texts. Parquet
and Arrow are not supported yet. The array goes through memory in pieces, however large it is. The
file has its name only once it is whole; an array with missing (3) or damaged (1) chunks gives none.
A device or a pipe is written to as it is; a file in the folder of a store is refused.

JSON: one document: name, path, format, dtype, shape, bytes (of the array), file_bytes. There is
none with standard output as target.";

/// Write an array to a file: .npy, CSV or JSON lines.
#[derive(clap::Args)]
#[command(after_long_help = HELP)]
pub(crate) struct Args {
    /// An array: STORE/NAME.
    #[arg(value_name = "ADDRESS", value_hint = clap::ValueHint::AnyPath)]
    address: String,
    /// The file; - is standard output.
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,
    /// The format; by default that of the file's ending.
    #[arg(long, short, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    /// What stands between the numbers of CSV: one character, or `tab`.
    #[arg(long, value_name = "CHARACTER", value_parser = delimiter_named)]
    delimiter: Option<u8>,
    /// Replace a file that exists.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    memory: Memory,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// Writes the file.
pub(crate) fn run(args: &Args, output: &mut Output) -> Result<Exit> {
    let format = match args.file == Path::new("-") && args.format.is_none() {
        true => {
            return Err(
                Failure::new(Exit::Usage, "standard output has no ending that names a format").hint("say it: --format npy, csv or jsonl")
            );
        }
        false => Format::choose(args.format, &args.file)?,
    };
    let (dataset, grid, folder) = open::array_at(&args.address, &args.memory.arena(), "can be exported")?;
    let info = dataset.info();
    if let Some(failure) = Presence::of(&dataset, &folder)?.failure() {
        return Err(failure);
    }
    let columns = info.attributes.get("columns").and_then(Value::as_array);
    let columns = columns.map(|names| names.iter().filter_map(Value::as_str).map(String::from).collect()).unwrap_or_default();
    let mut target = Target::create(&args.file, args.force)?;
    let mut writer = Writer::new(format, &grid, delimiter(args.delimiter, &args.file), columns);
    writer.begin(target.out()).map_err(|error| target.failure(error))?;
    let read = |number: u32| match dataset.chunk(number.into())? {
        Some(Chunk::Block(block)) if block.dtype() == grid.dtype && block.shape() == grid.chunks.block_shape(number).as_slice() => {
            Ok(block)
        }
        Some(_) => Err(Error::new(ErrorKind::Corrupt, format!("chunk {number} is not what the description of the array says"))),
        None => Err(Error::new(ErrorKind::NotFound, format!("chunk {number} is missing"))),
    };
    in_slabs(&grid, args.memory.part(4), read, |_, _, elements| {
        writer.elements(elements, target.out()).map_err(|error| target.failure(error))
    })
    .map_err(|failure| failure.about(&info.name))?;
    writer.end(target.out()).map_err(|error| target.failure(error))?;
    let is_file = target.is_file();
    let file_bytes = target.finish()?;
    if is_file && output.is_json() {
        let name = format!("{format:?}").to_lowercase();
        output.document(&json!({
            "name": info.name, "path": args.file, "format": name, "dtype": grid.dtype.name(), "shape": grid.chunks.shape(), "bytes": grid.bytes(),
            "file_bytes": file_bytes,
        }))?;
    } else if is_file {
        output.line(format!("{}: {} of {} from {}", args.file.display(), bytes(file_bytes), info.name, plural(grid.wanted(), "chunk")))?;
    }
    Ok(Exit::Success)
}
