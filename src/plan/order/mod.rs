//! The orders, one a file.

mod backwards;
mod by_priority;
mod dask;
mod depth_first;
mod greedy;
mod liu;
mod postorder;
mod segments;
mod targets;
mod tiles;

pub(crate) use backwards::backwards;
pub(crate) use by_priority::by_priority;
pub(crate) use dask::dask;
pub(crate) use depth_first::depth_first;
pub(crate) use greedy::{Greed, greedy};
pub(crate) use liu::liu;
pub(crate) use postorder::{Descent, postorder};
pub(crate) use segments::Segment;
pub(crate) use tiles::{Taste, Tie, tiles};
