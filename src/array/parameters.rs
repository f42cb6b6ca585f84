//! Operators' parameters as bytes: all of them are numbers, lists and names, for which JSON is exact.
//!
//! Variants go by their names, so that a change of their order changes nothing; floating point numbers go by their bits.

use crate::{Error, ErrorKind, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The canonical encoding of an operator's parameters.
pub(super) fn encode(parameters: &impl Serialize) -> Option<Vec<u8>> {
    serde_json::to_vec(parameters).ok()
}

/// The parameters of the operator `name`; only their canonical encoding is taken, so that equal parameters have equal bytes.
///
/// # Errors
/// Corrupt where the bytes are no parameters, or parameters that do not fit together.
pub(super) fn decode<T: Serialize + DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T> {
    let corrupt = |what: String| {
        let error = Error::new(ErrorKind::Corrupt, format!("the parameters of operator {name} cannot be used: {what}"));
        error.hint("run the same build of the program everywhere")
    };
    let parameters = serde_json::from_slice(bytes).map_err(|error| corrupt(error.to_string()))?;
    match encode(&parameters) {
        Some(again) if again == bytes => Ok(parameters),
        _ => Err(corrupt("they are not in their canonical form".to_owned())),
    }
}
