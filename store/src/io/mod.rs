//! Files.

mod input;

pub use input::{InputFile, Stamp};
