//! Etags: the version of an object, for whoever edits it.

use crate::domain::fault::Refusal;

/// The etag of a version.
pub(crate) fn of(version: i64) -> String {
    version.to_string()
}

/// Refuses an edit that is based on an older version. An empty etag is based on
/// whichever there is.
///
/// # Errors
/// `ABORTED` if the object changed since the caller read it.
pub(crate) fn check(sent: &str, version: i64, kind: &'static str, name: &dyn ToString) -> Result<(), Refusal> {
    if sent.is_empty() || sent == of(version) { Ok(()) } else { Err(Refusal::stale(kind, name.to_string())) }
}
