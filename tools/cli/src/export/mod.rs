//! Arrays into files that other programs read.

mod csv;
mod format;
mod lines;
mod npy;
mod target;

pub(crate) use format::{Format, Writer};
pub(crate) use target::Target;
