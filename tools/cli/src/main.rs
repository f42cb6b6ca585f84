//! The `chunkstore` command.
fn main() {}
