//! Values that are kept as JSON text.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::StoreError;

/// The text that is stored.
pub(super) fn to_text(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Broken(error.to_string()))
}

/// The text of a collection that is stored; none of one that is empty.
pub(super) fn to_text_if_any<T: Serialize + Default + PartialEq>(value: &T) -> Result<Option<String>, StoreError> {
    (*value != T::default()).then(|| to_text(value)).transpose()
}

/// The value that was stored.
pub(super) fn from_text<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Broken(format!("stored JSON: {error}")))
}

/// A value that was stored as a word.
pub(super) fn word<T: std::str::FromStr>(text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|_| StoreError::Broken(format!("stored word {text:?}")))
}
