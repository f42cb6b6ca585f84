//! In which order to run: candidate orders of a task graph, what each costs in memory, and the choice among them.
//!
//! Pure functions over sizes; nothing here reads, writes or runs. An order is a permutation of task numbers in which
//! inputs come before their users.

mod batch;
mod bound;
mod choose;
mod forecast;
mod graph_order;
mod improve;
mod lasts;
mod links;
mod order;
mod peak;
mod portfolio;
mod search;
mod shape;
mod simulated;
mod situation;
mod sizes;
mod windows;

pub use crate::policy::Eviction;
pub(crate) use batch::{NOT_KEPT, Numbered};
pub(crate) use bound::{
    asked_for_more, booked, booked_bytes, bound_within, does_not_fit, held_by_objects, held_unwritten, limit_for, policy_bound, slabs,
    spare,
};
pub use choose::{Choice, Cost, choose};
pub(crate) use forecast::{Planned, plan};
pub use graph_order::{Order, OrderInfo, order};
pub(crate) use lasts::lasts;
pub use peak::{largest_need, peak};
pub use shape::{Shape, inputs_first};
pub use simulated::simulated_cost;
pub(crate) use situation::{OwnedSituation, Situation};
pub(crate) use sizes::SizeRange;
