//! Shuffles: elements go by a key into the partitions of an append log, and come back partition by partition.
//!
//! ```text
//! open --> write 0 --.                   one task opens the log: its memory is that task's output, booked until the last gather has ended
//!   |      write 1 --+-> seal            each write is an attempt of the log, committed when the task is done: a task that runs again doubles nothing
//!   |      write 2 --'    |              the seal checks that all that was written is there
//!   '--------------------'+--> gather 0, gather 1, ..
//! ```
//! Which partition a key goes to, how large tables grow and when a partition is split again are constants: the answer does not depend on the memory bound or
//! on the number of threads.

mod count;
mod groups;
mod hash;
mod log;
mod pace;
mod record;
mod spread;
mod table;
mod tally;

pub(crate) use count::CountBatch;
pub(crate) use groups::{Groups, Values};
pub(crate) use hash::{bucket, hash};
pub(crate) use log::{OpenLog, SealLog, ShuffleLog, Written, opened};
pub(crate) use record::next as next_record;
pub(crate) use spread::Spread;
pub(crate) use table::{Found, Span};
pub(crate) use tally::{Merging, Tally, Writing};
