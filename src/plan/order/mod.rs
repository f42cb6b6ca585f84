//! The orders, one a file.

mod dask;
mod depth_first;
mod greedy;
mod postorder;
mod targets;
mod tiles;

pub(crate) use dask::dask;
pub(crate) use depth_first::depth_first;
pub(crate) use greedy::{Greed, greedy};
pub(crate) use postorder::{Descent, postorder};
pub(crate) use tiles::{Taste, Tie, tiles};
