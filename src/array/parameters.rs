//! Operators' parameters as bytes: all of them are numbers, lists and names, for which JSON is exact.

use serde::Serialize;

/// The canonical encoding of an operator's parameters.
pub(super) fn encode(parameters: &impl Serialize) -> Option<Vec<u8>> {
    serde_json::to_vec(parameters).ok()
}
