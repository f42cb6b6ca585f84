//! Arrays from files of other programs.

mod chunks;
mod csv;
mod infer;
mod lines;
mod npy;
mod rows;
mod text;

pub(crate) use chunks::chunking;
pub(crate) use csv::{Csv, Header, comment_named, delimiter, delimiter_named};
pub(crate) use infer::Found;
pub(crate) use lines::Lines;
pub(crate) use npy::Npy;
pub(crate) use rows::Rows;
pub(crate) use text::{Skipped, Text};
