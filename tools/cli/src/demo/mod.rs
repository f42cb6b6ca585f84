//! `chunkstore demo`: two jobs on data larger than memory.

mod command;
mod dataset;
mod folder;
mod process;
mod screen;

pub(crate) use command::{Args, run};
