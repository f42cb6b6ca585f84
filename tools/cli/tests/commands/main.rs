//! The `chunkstore` command as a process, on stores that the library made.

#![allow(clippy::unwrap_used)]

mod beside;
mod damage;
mod help;
mod logs;
mod look;
mod moving;
mod runs;
mod support;
mod text;
mod wrong;
