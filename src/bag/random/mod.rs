//! Random elements of bags, fixed by a seed.

mod choices;
mod sample;

pub use choices::choices;
pub use sample::sample;
