//! NumPy's file format `.npy`: any region of a file of any size, in and out.
#![allow(dead_code, reason = "the array collection is the user of this module")]

mod header;
mod read;
mod region;



pub(crate) use read::NpyFile;
pub(crate) use region::Span;

