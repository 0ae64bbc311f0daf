//! The field `key`: a secret or the hash of one.

use super::faults::Faults;
use crate::domain::reason::Reason;
use crate::domain::secret::KeyHash;

/// Takes a key that must be there.
pub(crate) fn required(field: &str, text: &str, faults: &mut Faults) -> Option<KeyHash> {
    if text.is_empty() {
        faults.add(field, "is required");
        return None;
    }
    optional(field, text, faults)
}

/// Takes a key; empty is absent.
pub(crate) fn optional(field: &str, text: &str, faults: &mut Faults) -> Option<KeyHash> {
    if text.is_empty() {
        return None;
    }
    KeyHash::of_key_field(text).map_err(|error| faults.add_named(field, Reason::KeyMalformed, error)).ok()
}
