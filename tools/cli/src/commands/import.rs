//! `chunkstore import`: a file into an array of a store.

use crate::address::{Address, is_store};
use crate::common::{Common, Make};
use crate::element::dtype_named;
use crate::export::Format;
use crate::failure::{Exit, Failure, Result};
use crate::grid::{Grid, tuple};
use crate::import::{Csv, Found, Header, Lines, Npy, Rows, Skipped, Text, chunking, comment_named, delimiter, delimiter_named};
use crate::open;
use crate::output::Output;
use crate::summary::{plural, ratio_text};
use crate::units::bytes;
use chunkstore::array::{Auto, Chunking};
use chunkstore_store::{Block, Chunk, DType};
use chunkstore_store::{DatasetKind, DatasetWriter};
use clap::builder::PossibleValuesParser;
use serde_json::{Value, json};
use std::path::PathBuf;

const HELP: &str = "\
Examples:
  chunkstore import temperature.npy data/store/climate/temperature
  chunkstore import temperature.npy data/new//temperature --create            make the store, too
  chunkstore import table.csv data/store/table --dtype float32                rows of numbers
  chunkstore import values.jsonl data/store/values --chunks 100000            numbers or lists
  chunkstore import big.npy data/store/big --chunks 1000,-1                   1000 rows a chunk
  chunkstore import x.npy data/store/x --replace --attribute units='\"K\"'

Chunks: auto (8 to 16 MiB), a number for all axes, one for each axis (-1 is the whole axis, auto
what fits), or bytes such as 4MiB; without --chunks and with less than 256MiB of --memory, a 32nd
of that. CSV and JSON lines are read twice: first to count rows and find the type (truth values,
else integers of 64 bits, else float64), then to save them; they cannot come from standard input. A
first line of CSV with a field that is no number names the columns, which are kept as the attribute
`columns`; a field there that begins like a number, such as 0x10 or 1_000, is an error.

An empty field is NaN, and so is the word nan; inf is infinity. Lines of nothing but white space are
skipped, and their number is told; lines of comments are skipped with --comment.

No number changes unless that is asked for: a value that --dtype does not hold, an integer that a
float would round, or a float beyond the largest is an error that names its place. With --lossy
integers wrap, fractions are cut off and large integers are rounded, as in NumPy's astype.

A row of chunks of CSV and JSON lines must fit in half of the memory, and a chunk of .npy in about a
fourth. Nothing of the array is visible before all of it is saved.

JSON: one document: name, store, path, dtype, shape, grid, chunks, bytes, stored_bytes, and
blank_lines and comment_lines, which were skipped.";

/// Save a file as an array: .npy, CSV or JSON lines.
#[derive(clap::Args)]
#[command(after_long_help = HELP)]
pub(crate) struct Args {
    /// The file.
    #[arg(value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    file: PathBuf,
    /// Where to save it: STORE/NAME.
    #[arg(value_name = "ADDRESS", value_hint = clap::ValueHint::AnyPath)]
    address: String,
    /// The format; by default that of the file's ending.
    #[arg(long, short, value_enum, value_name = "FORMAT")]
    format: Option<Format>,
    /// How to cut the array; by default auto, or smaller where --memory is below 256MiB.
    #[arg(long, value_name = "CHUNKS", value_parser = chunking, allow_hyphen_values = true)]
    chunks: Option<Chunking>,
    /// The type of the elements; by default that of the file, or what holds all numbers.
    #[arg(long, value_name = "DTYPE", value_parser = PossibleValuesParser::new(DType::ALL.map(DType::name)))]
    dtype: Option<String>,
    /// Take what comes nearest where a value does not fit the type: wrap, cut off, round.
    #[arg(long)]
    lossy: bool,
    /// Whether the first line of CSV names the columns.
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Header::Auto)]
    header: Header,
    /// What stands between the numbers of CSV: one character, or `tab`.
    #[arg(long, value_name = "CHARACTER", value_parser = delimiter_named)]
    delimiter: Option<u8>,
    /// Skip the lines of CSV that begin with this character; without it no line is a comment.
    #[arg(long, value_name = "CHARACTER", value_parser = comment_named)]
    comment: Option<u8>,
    /// An attribute of the array: a name and JSON. Can be given several times.
    #[arg(long, value_name = "NAME=JSON", value_parser = attribute)]
    attribute: Vec<(String, Value)>,
    #[command(flatten)]
    make: Make,
    #[command(flatten)]
    pub(crate) common: Common,
}

/// What is read, once its type and shape are known.
enum Source {
    Npy(Npy),
    Csv(Csv, Found),
    Lines(Lines, Found),
}

/// The memory below which chunks are smaller than usual, and their share of it then.
const USUAL: u64 = 256 << 20;
const SHARE: u64 = 32;

/// Saves the file.
pub(crate) fn run(args: &Args, output: &mut Output) -> Result<Exit> {
    let chunks = match &args.chunks {
        Some(chunks) => chunks.clone(),
        None if args.make.memory.memory < USUAL => Chunking::bytes(args.make.memory.part(SHARE)),
        None => Auto.into(),
    };
    let format = Format::choose(args.format, &args.file)?;
    let address = Address::target(&args.address, args.make.create)?;
    let name = address.name.unwrap_or_default();
    if !args.file.is_file() {
        return Err(Failure::new(Exit::NotFound, format!("there is no file {}", args.file.display())));
    }
    let dtype = args.dtype.as_deref().and_then(dtype_named);
    let path = args.file.clone();
    // The file is looked at before the store is touched.
    let (source, grid) = match format {
        Format::Npy => {
            let npy = Npy::open(&path, dtype, &chunks, args.lossy)?;
            let grid = npy.grid.clone();
            (Source::Npy(npy), grid)
        }
        Format::Csv => {
            let delimiter = delimiter(args.delimiter, &path);
            let text = Text { path, longest: args.make.memory.part(16), comment: args.comment };
            let csv = Csv { text, delimiter, header: args.header, lossy: args.lossy };
            let found = csv.scan(dtype)?;
            let grid = grid(&found, &chunks)?;
            (Source::Csv(csv, found), grid)
        }
        Format::Jsonl => {
            let text = Text { path, longest: args.make.memory.part(16), comment: None };
            let lines = Lines { text, lossy: args.lossy };
            let found = lines.scan(dtype)?;
            let grid = grid(&found, &chunks)?;
            (Source::Lines(lines, found), grid)
        }
    };
    let arena = args.make.memory.arena();
    if !args.make.create && !is_store(&address.store) {
        return Err(Failure::new(Exit::NotFound, format!("there is no store {}", address.store.display())).hint("with --create it is made"));
    }
    let store = open::to_write(&address.store, &arena)?;
    let writer = store.create(&name, DatasetKind::new("array", grid.meta()))?.replace(args.make.replace);
    let put = |writer: &DatasetWriter, number: u64, block: Block| Ok(writer.put(number, &Chunk::Block(block))?);
    let room = args.make.memory.part(2);
    let largest = (0..grid.chunks.blocks()).map(|number| grid.chunks.block_len(number)).max().unwrap_or(0) * grid.dtype.size();
    let smaller = |failure: Failure| {
        let (fits, has) = (bytes(args.make.memory.memory / SHARE), bytes(largest as u64));
        failure.without_memory(|| {
            format!(
                "cut it into smaller chunks, such as --chunks {}B ({fits}); these have up to {has}; or give it more --memory",
                args.make.memory.memory / SHARE
            )
        })
    };
    match &source {
        Source::Npy(npy) => npy.blocks(args.make.memory.memory, |number, block| put(&writer, number, block)).map_err(smaller)?,
        Source::Csv(csv, _) => {
            let mut rows = Rows::new(&grid, &arena, room)?;
            csv.rows(grid.dtype, |row| rows.push(row, |number, block| put(&writer, number, block))).map_err(smaller)?;
            rows.end()?;
        }
        Source::Lines(lines, _) => {
            let mut rows = Rows::new(&grid, &arena, room)?;
            lines.rows(grid.dtype, |row| rows.push(row, |number, block| put(&writer, number, block))).map_err(smaller)?;
            rows.end()?;
        }
    }
    if let Source::Csv(_, Found { columns, .. }) = &source
        && !columns.is_empty()
    {
        writer.attribute("columns", json!(columns))?;
    }
    for (name, value) in &args.attribute {
        writer.attribute(name.as_str(), value.clone())?;
    }
    let skipped = match &source {
        Source::Npy(_) => Skipped::default(),
        Source::Csv(_, found) | Source::Lines(_, found) => found.skipped,
    };
    let dataset = writer.commit()?;
    let info = dataset.info();
    let shape = grid.chunks.shape();
    if output.is_json() {
        output.document(&json!({
            "name": info.name, "store": address.store, "path": args.file, "dtype": grid.dtype.name(), "shape": shape, "grid": grid.chunks.numblocks().to_vec(),
            "chunks": info.chunks, "bytes": info.bytes, "stored_bytes": info.stored_bytes,
            "blank_lines": skipped.blank, "comment_lines": skipped.comments,
        }))?;
    } else {
        let (data, stored) = (bytes(info.bytes), bytes(info.stored_bytes));
        let ratio = ratio_text(info.bytes, info.stored_bytes);
        let chunks = plural(info.chunks, "chunk");
        output.line(format!("{}: {} {} in {chunks}, {data} in {stored} ({ratio})", info.name, grid.dtype, tuple(shape)))?;
        let kinds = [(skipped.blank, "blank line"), (skipped.comments, "comment line")];
        let told = kinds.iter().filter(|(count, _)| *count > 0).map(|(count, what)| plural(*count, what));
        let told: Vec<String> = told.collect();
        if !told.is_empty() {
            output.line(format!("skipped: {}", told.join(", ")))?;
        }
    }
    Ok(Exit::Success)
}

fn grid(found: &Found, chunks: &Chunking) -> Result<Grid> {
    Ok(Grid { dtype: found.dtype, chunks: chunks.resolve(&found.shape, found.dtype)? })
}

fn attribute(text: &str) -> std::result::Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=JSON")?;
    let value =
        serde_json::from_str(value).map_err(|error| format!("{value} is no JSON ({error}); texts stand in quotes: units='\"K\"'"))?;
    Ok((name.to_string(), value))
}
