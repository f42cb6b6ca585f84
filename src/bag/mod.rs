//! Lazy bags: collections of anything, in partitions, streamed.

mod blocks;
mod files;
mod foldby;
mod frequencies;
mod group_by;
mod lazy;
mod lines;
mod map;
mod memory;
mod number;
mod pipeline;
mod range;
mod read_text;
mod reduce;
mod regroup;
mod run;
mod shuffled;
mod sort_by;
mod statistics;
mod stored;
mod stream;
mod text;
mod value;
mod words;
mod work;

pub use files::Paths;
pub use group_by::Grouped;
pub use lazy::{Bag, from_sequence};
pub use number::Number;
pub use pipeline::Item;
pub use range::range;
pub use read_text::{TextFiles, read_text};
pub use regroup::concat;
pub use stream::Rows;
pub use text::TextMethods;
pub use value::BagValue;
