//! What a person sees of a run while it goes on.

mod progress;

pub(crate) use progress::Progress;
