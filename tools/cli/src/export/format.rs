//! The formats of files, and what writes them.

use super::csv::Csv;
use super::lines::Lines;
use super::npy::Npy;
use crate::failure::{Exit, Failure, Result};
use crate::grid::Grid;
use std::io::{self, Write};
use std::path::Path;

/// A format that arrays can go to and come from.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// NumPy's .npy
    Npy,
    /// Numbers separated by commas, a row of the array a line
    Csv,
    /// JSON, an element of the first axis a line
    Jsonl,
}

impl Format {
    /// The format that was named, or that of the file's ending.
    pub(crate) fn choose(named: Option<Format>, path: &Path) -> Result<Format> {
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
        let known = match ending.as_deref() {
            Some("npy") => Some(Format::Npy),
            Some("csv" | "tsv" | "txt") => Some(Format::Csv),
            Some("jsonl" | "ndjson" | "jsonlines") => Some(Format::Jsonl),
            _ => None,
        };
        named.or(known).ok_or_else(|| {
            let message = format!("the ending of {} names no known format", path.display());
            Failure::new(Exit::Usage, message).hint("say it: --format npy, csv or jsonl; Parquet and Arrow are not supported yet")
        })
    }
}

/// Writes an array of which the bytes come in C order.
pub(crate) enum Writer {
    Npy(Npy),
    Csv(Csv),
    Lines(Lines),
}

impl Writer {
    /// A writer for an array of this grid. A CSV file gets `columns` as its first line and `delimiter` between numbers.
    pub(crate) fn new(format: Format, grid: &Grid, delimiter: u8, columns: Vec<String>) -> Writer {
        let shape = grid.chunks.shape().to_vec();
        match format {
            Format::Npy => Writer::Npy(Npy { dtype: grid.dtype, shape }),
            Format::Csv => Writer::Csv(Csv::new(grid.dtype, &shape, delimiter, columns)),
            Format::Jsonl => Writer::Lines(Lines::new(grid.dtype, shape)),
        }
    }

    /// Writes what stands before the data.
    pub(crate) fn begin(&mut self, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Writer::Npy(npy) => out.write_all(&npy.header()),
            Writer::Csv(csv) => csv.begin(out),
            Writer::Lines(_) => Ok(()),
        }
    }

    /// Writes elements.
    pub(crate) fn elements(&mut self, bytes: &[u8], out: &mut dyn Write) -> io::Result<()> {
        match self {
            Writer::Npy(_) => out.write_all(bytes),
            Writer::Csv(csv) => csv.elements(bytes, out),
            Writer::Lines(lines) => lines.elements(bytes, out),
        }
    }

    /// Writes what stands behind the data.
    pub(crate) fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        match self {
            Writer::Lines(lines) => lines.end(out),
            _ => Ok(()),
        }
    }
}
