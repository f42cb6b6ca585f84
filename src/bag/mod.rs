//! Lazy bags: collections of anything, in partitions, streamed.

mod lazy;
mod map;
mod memory;
mod number;
mod pipeline;
mod range;
mod reduce;
mod regroup;
mod run;
mod statistics;
mod stored;
mod stream;
mod value;
mod work;

pub use lazy::{Bag, from_sequence};
pub use number::Number;
pub use pipeline::Item;
pub use range::range;
pub use regroup::concat;
pub use stream::Rows;
pub use value::BagValue;
