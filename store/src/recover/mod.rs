//! What opens, checks, mends and tidies a store.

mod beyond;
mod compact;
mod damage;
mod gc;
mod open;
mod rebuild;
mod repair;
mod survey;
#[cfg(test)]
mod tests;
mod verify;

pub use compact::Compacted;
pub use damage::Damage;
pub use gc::Collected;
pub(crate) use open::{open, replay, snapshot};
pub use repair::Repaired;
pub use verify::Verified;
