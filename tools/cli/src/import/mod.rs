//! Arrays from files of other programs.

mod chunks;
mod csv;
mod infer;
mod lines;
mod npy;
mod rows;

pub(crate) use chunks::chunking;
pub(crate) use csv::{Csv, Header, delimiter, delimiter_named};
pub(crate) use infer::Found;
pub(crate) use lines::Lines;
pub(crate) use npy::Npy;
pub(crate) use rows::Rows;
