//! Stand-in until the branch with the segments is merged.
#![allow(dead_code, missing_docs)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place { pub segment: u64, pub offset: u64, pub len: u64 }
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Commit { pub(crate) segment: u64, pub(crate) len: u64, pub(crate) sealed: bool }
