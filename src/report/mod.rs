//! What a person sees of a run: while it goes on, and afterwards.
//!
//! [`History`] is what became of each task and chunk, from an event log or from [`Engine::record`](crate::Engine::record). From it come
//! [`History::why`], the story of one chunk, [`History::timeline`], a picture of where all were, [`History::profile`], and [`History::cache_profile`].
//! [`Picture`] draws graphs.

mod cache;
mod history;
mod layout;
mod picture;
mod profile;
mod progress;
mod resources;
mod svg;
mod timeline;
mod why;

pub use cache::{CacheProfile, Holding, LayerHeld};
pub use history::{History, Moment, Stay, TaskHistory};
pub use picture::Picture;
pub use profile::{LayerProfile, Profile, Span};
pub(crate) use progress::Progress;
pub use resources::{ResourceProfiler, Sample};
pub use why::{Step, Why};
