//! What opens, checks, mends and tidies a store.

mod compact;
mod damage;
mod gc;
mod open;
mod survey;
mod verify;

pub use compact::Compacted;
pub use damage::Damage;
pub use gc::Collected;
pub(crate) use open::{open, replay, snapshot};
pub use verify::Verified;
