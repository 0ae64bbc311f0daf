//! Errors of single entries of a batch, as values of its answer.

use prost::Message;
use tonic_types::pb::Status;

use crate::error::Error;

/// An error as a value: the status that it would be as the answer of a call.
pub(crate) fn of(error: &Error) -> Status {
    let status = error.to_status();
    Status::decode(status.details()).unwrap_or_else(|_| Status {
        code: status.code().into(),
        message: status.message().to_owned(),
        details: Vec::new(),
    })
}

/// Whether an error is that of one entry, and not of the server: others must
/// fail the whole call, of which nothing has happened then.
pub(crate) const fn is_of_the_entry(error: &Error) -> bool {
    matches!(error, Error::Invalid(_) | Error::Refused(_))
}
