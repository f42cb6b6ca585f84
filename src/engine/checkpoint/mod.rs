//! What a run has finished, kept on disk until the same is computed to its end.
//!
//! ```text
//!   layers, optimised --- choice ---> those worth saving --- wrapped ---> tasks that read what is there, and save what they make
//!                                                              |
//!        persisted collections: checkpoints/KEY, which stays --+-- others: runs/NAMES-KEY, which goes when the run has succeeded
//! ```
//! The log of a shuffle is kept as `shuffles/KEY` meanwhile, beside the store; tasks that are committed in it do not run again.
//! Delayed calls of registered functions are saved one by one, by their own keys, where they took long.
//!
//! A key says what was computed from what: from another file, another state of the file or with other parameters it is another. Closures
//! and memory of the user's have no such keys; what depends on them is not saved.

mod calls;
mod choice;
mod folder;
mod layer;
mod logs;
mod saving;
mod target;
mod writes;

pub(super) use folder::Checkpoint;
pub(super) use saving::Saving;

#[cfg(test)]
mod tests;
