//! Depth first from the sinks: what costs nothing.
//!
//! ```text
//!        s          Numbering from lowering already is a walk that finishes
//!       / \         each input before it begins the next:
//!      c   f            a b c d e f s
//!     / \ / \
//!    a  b d  e
//! ```
//!
//! Minimises nothing but the time to plan. Used where everything fits at once.

/// The tasks by number: inputs have smaller numbers than users.
pub(crate) fn depth_first(tasks: usize) -> Vec<u32> {
    (0..tasks as u32).collect()
}
