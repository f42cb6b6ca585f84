//! What is saved: the record of every commit, and the rules by which a torn end is told from damage.

mod file;
mod record;
mod scan;
mod window;

pub(crate) use file::{Failure, Manifest, now};
pub(crate) use record::{Changes, Description, Entry};
pub(crate) use scan::{Kind, Scan, scan, store_id};
