//! Failures to book usage, as errors.

use crate::domain::fault::{Refusal, Violation};
use crate::domain::reason::Reason;
use crate::domain::usage::CostingError;
use crate::error::{Error, RETRY};
use crate::gate::{BookingError, RecordError};

/// A failure to book an event. `prefix` is the path of the event's fields.
pub(crate) fn explain(error: RecordError, prefix: &str, request_id: &str) -> Error {
    match error {
        RecordError::ReservationUnknown => {
            let message = "no such reservation was given to you; send the reservation_id of Authorize as it came";
            Refusal::not_found(Reason::ReservationNotFound, "reservation", [""]).saying(message.to_owned()).into()
        }
        RecordError::KeyUnknown => {
            let message = "no key has, or had, this hash";
            Refusal::not_found(Reason::KeyNotFound, "key", [""]).saying(message.to_owned()).into()
        }
        RecordError::Invalid(violation) => {
            let field = format!("{prefix}{}", violation.field);
            Error::invalid(Violation { field, ..violation })
        }
        RecordError::NotCosted(error) => not_costed(error, prefix),
        RecordError::Conflict(_) => {
            let message = format!(
                "usage with other content was booked under the request_id {request_id:?}; if this is the same call, it \
                 is booked, if it is another, use an id of its own"
            );
            Refusal::exists(Reason::RequestIdConflict, message).with("request_id", request_id).into()
        }
        RecordError::Store(error) => error.into(),
        RecordError::Booking(error) => not_booked(error),
    }
}

/// A failure to write.
pub(crate) fn not_booked(error: BookingError) -> Error {
    match error {
        BookingError::Unavailable(cause) => {
            Error::Unavailable { reason: Reason::StoreUnavailable, cause, retry: RETRY }
        }
        BookingError::Broken(cause) => Error::Internal { cause },
    }
}

/// A cost that can't be worked out.
pub(crate) fn not_costed(error: CostingError, prefix: &str) -> Error {
    let message = error.to_string();
    match error {
        CostingError::NotPriced(_) => Refusal::precondition(Reason::CallTypeNotPriced, message).into(),
        CostingError::Unpriced(model) => {
            Refusal::precondition(Reason::ModelNotPriced, message).with("model", model).into()
        }
        CostingError::OutOfRange(limit) => {
            let rule = format!("is larger than max_event_cost, {limit} USD");
            Error::invalid(Violation::named(format!("{prefix}cost"), Reason::CostOutOfRange, rule))
        }
    }
}
