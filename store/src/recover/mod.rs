//! What opens, checks, mends and tidies a store.

mod open;

pub(crate) use open::{open, replay, snapshot};
