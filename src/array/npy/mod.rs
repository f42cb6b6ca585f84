//! NumPy's file format `.npy`: any region of a file of any size, in and out.
#![allow(dead_code, reason = "the array collection is the user of this module")]
#![allow(unused_imports, reason = "as above")]

mod header;
mod read;
mod region;
mod write;
mod writeback;

pub(crate) use read::NpyFile;
pub(crate) use region::Span;
pub(crate) use write::NpyWriter;
