//! Errors: any failure to one gRPC status, with a code, a reason and details
//! for programs, and words for people.
//!
//! What a client is told and what the log is told are two fields: a cause with
//! SQL, paths or values in it never leaves the process.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::domain::clock::Timestamp;
use crate::domain::fault::{Refusal, RefusalKind, Violation};
use crate::domain::reason::Reason;
use crate::pb::policy::CheckRequest;
use crate::store::StoreError;

/// Who refuses, in `ErrorInfo.domain`.
const DOMAIN: &str = "bursar";

/// A status travels in headers, of which some clients take no more than 8 KiB:
/// what is echoed of a request is cut to so many bytes.
const MESSAGE_MAX_BYTES: usize = 1_024;
const VALUE_MAX_BYTES: usize = 256;

/// How many bytes all violations of a request may have together.
const VIOLATIONS_MAX_BYTES: usize = 2_048;

/// How long a client should wait before it asks an unavailable server again.
pub const RETRY: Duration = Duration::from_secs(1);

/// Why a request fails.
#[derive(Debug)]
pub enum Error {
    /// Fields break rules: all of them at once.
    Invalid(Vec<Violation>),
    /// The caller is not known.
    Unauthenticated {
        /// Why, by name.
        reason: Reason,
        /// Why, in words.
        message: &'static str,
        /// Values for programs.
        metadata: Vec<(&'static str, String)>,
    },
    /// The request is well-formed and refused.
    Refused(Refusal),
    /// The key policy must be asked this first. Whoever begins such work asks it,
    /// and begins again; no client sees it.
    Unasked(Box<CheckRequest>),
    /// Other writers were in the way, several times over.
    Contended {
        /// For the log.
        cause: String,
    },
    /// There are too many requests.
    Exhausted {
        /// Why, by name.
        reason: Reason,
        /// Why, in words.
        message: &'static str,
        /// When it may be worth trying again.
        retry: Duration,
    },
    /// It took too long.
    DeadlineExceeded,
    /// The server or its database can't answer now.
    Unavailable {
        /// Why, by name.
        reason: Reason,
        /// For the log.
        cause: String,
        /// When it may be worth trying again.
        retry: Duration,
    },
    /// A fault of Bursar.
    Internal {
        /// For the log.
        cause: String,
    },
}

impl Error {
    /// One field that breaks a rule.
    pub fn invalid(violation: Violation) -> Self {
        Self::Invalid(vec![violation])
    }

    /// What the transport refuses before a handler sees it, by the code that it
    /// gives; `None`: nothing that the client did.
    pub fn of_transport(code: Code) -> Option<Self> {
        let (reason, rule) = match code {
            Code::Internal => (Reason::MessageMalformed, "the message can't be decoded"),
            Code::OutOfRange => (
                Reason::MessageTooLarge,
                "the message is too large: at most 8 MiB of usage events or prices, 1 MiB of anything else",
            ),
            _ => return None,
        };
        Some(Self::invalid(Violation::named("", reason, rule)))
    }

    /// A fault that can't happen, and did.
    pub fn internal(cause: impl ToString) -> Self {
        Self::Internal { cause: cause.to_string() }
    }

    /// Tells the log what the client is not told; the one place where a failure
    /// is logged.
    pub fn log(&self, request_id: &str) {
        match self {
            Self::Internal { cause } => tracing::error!(request_id, cause, "a request failed by a fault of Bursar"),
            Self::Unasked(_) => tracing::error!(request_id, "a request failed because nobody asked the key policy"),
            Self::Unavailable { cause, .. } => tracing::warn!(request_id, cause, "a request could not be served"),
            Self::Contended { cause } => tracing::info!(request_id, cause, "a request lost against other writers"),
            Self::Invalid(_)
            | Self::Unauthenticated { .. }
            | Self::Refused(_)
            | Self::Exhausted { .. }
            | Self::DeadlineExceeded => {}
        }
    }

    /// The error as the client sees it.
    pub fn to_status(&self) -> Status {
        let Told { code, reason, message, metadata, mut details } = self.told();
        let metadata: HashMap<String, String> =
            metadata.into_iter().map(|(name, value)| (name.to_owned(), cut(&value, VALUE_MAX_BYTES))).collect();
        details.set_error_info(reason.as_str(), DOMAIN, metadata);
        Status::with_error_details(code, cut(&message, MESSAGE_MAX_BYTES), details)
    }

    fn told(&self) -> Told {
        match self {
            Self::Invalid(violations) => invalid(violations),
            Self::Unauthenticated { reason, message, metadata } => {
                Told { metadata: metadata.clone(), ..Told::new(Code::Unauthenticated, *reason, *message) }
            }
            Self::Refused(refusal) => refused(refusal),
            Self::Contended { .. } => {
                let message = "other changes of the same objects were in the way; repeat the call";
                Told::new(Code::Aborted, Reason::TooManyWriters, message).retry()
            }
            Self::Exhausted { reason, message, retry } => {
                Told::new(Code::ResourceExhausted, *reason, *message).retry_after(*retry)
            }
            Self::DeadlineExceeded => {
                Told::new(Code::DeadlineExceeded, Reason::DeadlineExceeded, "the call took too long and was given up")
            }
            Self::Unavailable { reason, retry, .. } => {
                let message = match reason {
                    Reason::ShuttingDown => "the server is shutting down; repeat the call at another",
                    Reason::IdpUnavailable => "the identity provider's keys can't be read; repeat the call",
                    Reason::KeyPolicyUnavailable => {
                        "the key policy of this installation does not answer; repeat the call"
                    }
                    Reason::CustomAuthUnavailable => {
                        "the authentication of this installation does not answer; repeat the call"
                    }
                    _ => "the database can't be reached; repeat the call",
                };
                Told::new(Code::Unavailable, *reason, message).retry_after(*retry)
            }
            Self::Internal { .. } | Self::Unasked(_) => {
                let message = "a fault of Bursar; its log has the cause under this request's id";
                Told::new(Code::Internal, Reason::InternalError, message)
            }
        }
    }
}

/// The parts of a status.
struct Told {
    code: Code,
    reason: Reason,
    message: String,
    metadata: Vec<(&'static str, String)>,
    details: ErrorDetails,
}

impl Told {
    fn new(code: Code, reason: Reason, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), metadata: Vec::new(), details: ErrorDetails::new() }
    }

    fn retry(self) -> Self {
        self.retry_after(RETRY)
    }

    fn retry_after(mut self, delay: Duration) -> Self {
        self.details.set_retry_info(Some(delay));
        self
    }
}

fn invalid(violations: &[Violation]) -> Told {
    let first = violations.first();
    let told = told_violations(violations);
    let message = match violations {
        [] => "the request is invalid".to_owned(),
        [only] => format!("{} {}", cut(&only.field, VALUE_MAX_BYTES), only.description),
        [first, rest @ ..] => {
            let which = if told.len() < violations.len() { "see the details for the first" } else { "see the details" };
            let field = cut(&first.field, VALUE_MAX_BYTES);
            format!("{field} {} (and {} more: {which})", first.description, rest.len())
        }
    };
    let reason = first.map_or(Reason::FieldInvalid, |violation| violation.reason);
    let mut answer = Told::new(Code::InvalidArgument, reason, message.trim_start());
    answer.details.set_bad_request(told);
    answer
}

/// The first violation, and as many more as there is room for.
fn told_violations(violations: &[Violation]) -> Vec<FieldViolation> {
    let mut bytes = 0;
    let told = violations.iter().map(|violation| {
        let [field, description] = [&violation.field, &violation.description].map(|text| cut(text, VALUE_MAX_BYTES));
        let mut told = FieldViolation::new(field, description);
        violation.reason.as_str().clone_into(&mut told.reason);
        told
    });
    told.take_while(|told| {
        let first = bytes == 0;
        bytes += told.field.len() + told.description.len() + told.reason.len();
        first || bytes <= VIOLATIONS_MAX_BYTES
    })
    .collect()
}

/// Text, cut to so many bytes.
fn cut(text: &str, max_bytes: usize) -> String {
    if text.len() <= max_bytes {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(max_bytes.saturating_sub('…'.len_utf8()));
    format!("{}…", &text[..end])
}

fn refused(refusal: &Refusal) -> Told {
    let code = match refusal.kind {
        RefusalKind::Denied => Code::PermissionDenied,
        RefusalKind::NotFound => Code::NotFound,
        RefusalKind::AlreadyExists => Code::AlreadyExists,
        RefusalKind::Precondition => Code::FailedPrecondition,
        RefusalKind::Aborted => Code::Aborted,
        RefusalKind::Exhausted => Code::ResourceExhausted,
    };
    let mut told = Told::new(code, refusal.reason, refusal.message.as_str());
    told.metadata.clone_from(&refusal.metadata);
    // The standard detail holds one object: the first; the message names all.
    if let Some((kind, name)) = refusal.resources.first() {
        let [name, message] = [name, &refusal.message].map(|text| cut(text, VALUE_MAX_BYTES));
        if refusal.kind == RefusalKind::Exhausted {
            told.details.add_quota_failure_violation(name, message);
        } else {
            told.details.set_resource_info(*kind, name, "", message);
        }
    }
    if refusal.resources.len() > 1 {
        let names: Vec<&str> = refusal.resources.iter().map(|(_, name)| name.as_str()).collect();
        told.metadata.push(("names", names.join(",")));
    }
    match refusal.retry_seconds {
        Some(seconds) => told.retry_after(Duration::from_secs(seconds.unsigned_abs())),
        None => told,
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<StoreError> for Error {
    /// A failure of the store that the caller did not expect. What it does
    /// expect (a taken id, a stale row) it maps itself, by name.
    fn from(error: StoreError) -> Self {
        let cause = error.to_string();
        match error {
            StoreError::Unavailable(_) => Self::Unavailable { reason: Reason::StoreUnavailable, cause, retry: RETRY },
            // A row that vanished or changed under a transaction is another
            // transaction's doing.
            StoreError::Contended(_) | StoreError::Stale | StoreError::Reference(_) => Self::Contended { cause },
            StoreError::EventsGone { kept_from, by_zone } => Self::Refused(events_gone(kept_from, by_zone)),
            StoreError::Taken(_) | StoreError::Broken(_) => Self::Internal { cause },
        }
    }
}

/// A report that needs what is no longer kept.
fn events_gone(kept_from: Timestamp, by_zone: bool) -> Refusal {
    let (reason, because) = if by_zone {
        (Reason::TimeZoneNeedsLogs, "its days begin where no rollup does; ask in UTC")
    } else {
        (Reason::ReportNeedsLogs, "no rollup tells usage apart by all that is asked for")
    };
    let message = format!("the report needs usage events, which are kept from {kept_from} on only: {because}");
    Refusal::precondition(reason, message).with("kept_from", kept_from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_its_code_reason_and_details() {
        let violations = vec![
            Violation::named("user.max_budget", Reason::SoftBudgetNotBelowMax, "must be larger"),
            Violation::new("user.user_id", "must be short"),
        ];
        let refusal = |kind| {
            let refusal = Refusal::not_found(Reason::UserNotFound, "user", ["a", "b"]);
            Error::Refused(Refusal { kind, ..refusal.with("user_id", "a") })
        };
        let gone = |by_zone| StoreError::EventsGone { kept_from: Timestamp::EPOCH, by_zone };
        let unavailable = |reason| Error::Unavailable { reason, cause: "SELECT secret".to_owned(), retry: RETRY };
        for (error, code, reason) in [
            (Error::Invalid(violations), Code::InvalidArgument, "SOFT_BUDGET_NOT_BELOW_MAX"),
            (Error::Invalid(Vec::new()), Code::InvalidArgument, "FIELD_INVALID"),
            (refusal(RefusalKind::Denied), Code::PermissionDenied, "USER_NOT_FOUND"),
            (refusal(RefusalKind::NotFound), Code::NotFound, "USER_NOT_FOUND"),
            (refusal(RefusalKind::AlreadyExists), Code::AlreadyExists, "USER_NOT_FOUND"),
            (refusal(RefusalKind::Precondition), Code::FailedPrecondition, "USER_NOT_FOUND"),
            (refusal(RefusalKind::Aborted), Code::Aborted, "USER_NOT_FOUND"),
            (refusal(RefusalKind::Exhausted), Code::ResourceExhausted, "USER_NOT_FOUND"),
            (Error::DeadlineExceeded, Code::DeadlineExceeded, "DEADLINE_EXCEEDED"),
            (unavailable(Reason::StoreUnavailable), Code::Unavailable, "STORE_UNAVAILABLE"),
            (unavailable(Reason::ShuttingDown), Code::Unavailable, "SHUTTING_DOWN"),
            (unavailable(Reason::IdpUnavailable), Code::Unavailable, "IDP_UNAVAILABLE"),
            (unavailable(Reason::KeyPolicyUnavailable), Code::Unavailable, "KEY_POLICY_UNAVAILABLE"),
            (unavailable(Reason::CustomAuthUnavailable), Code::Unavailable, "CUSTOM_AUTH_UNAVAILABLE"),
            (Error::internal("SELECT secret"), Code::Internal, "INTERNAL_ERROR"),
            (StoreError::Contended("SELECT secret".to_owned()).into(), Code::Aborted, "TOO_MANY_WRITERS"),
            (StoreError::Broken("SELECT secret".to_owned()).into(), Code::Internal, "INTERNAL_ERROR"),
            (gone(true).into(), Code::FailedPrecondition, "TIME_ZONE_NEEDS_LOGS"),
            (gone(false).into(), Code::FailedPrecondition, "REPORT_NEEDS_LOGS"),
            (StoreError::Unavailable("SELECT secret".to_owned()).into(), Code::Unavailable, "STORE_UNAVAILABLE"),
        ] {
            let status = error.to_status();
            assert_eq!(status.code(), code, "{error:?}");
            let details = status.get_error_details();
            let info = details.error_info().expect("an ErrorInfo");
            assert_eq!((info.domain.as_str(), info.reason.as_str()), ("bursar", reason), "{error:?}");
            assert!(!status.message().is_empty() && !format!("{status:?}").contains("SELECT"), "{status:?}");
            assert_eq!(
                details.retry_info().is_some(),
                matches!(code, Code::Unavailable) || reason == "TOO_MANY_WRITERS"
            );
        }
    }

    #[test]
    fn a_status_fits_into_the_headers_of_any_client() {
        let long = "é".repeat(100_000);
        let violations: Vec<Violation> =
            (0..1_000).map(|index| Violation::new(format!("field[{index}].{long}"), &long)).collect();
        let names = (0..500).map(|index| format!("{index}{long}"));
        let refusal = Refusal::not_found(Reason::UserNotFound, "user", names).with("user_id", &long);
        for error in [Error::Invalid(violations), Error::Refused(refusal)] {
            let status = error.to_status();
            // In headers, text is percent-encoded and details are Base64.
            let message: usize = status.message().bytes().map(|byte| if byte.is_ascii() { 1 } else { 3 }).sum();
            assert!(message + status.details().len() * 4 / 3 < 8_000, "{message} {}", status.details().len());
            assert!(!status.details().is_empty());
        }
    }

    #[test]
    fn every_bad_field_is_named() {
        let violations =
            vec![Violation::new("a", "must be x"), Violation::named("b[1].c", Reason::KeyMalformed, "must be y")];
        let status = Error::Invalid(violations).to_status();
        assert_eq!(status.message(), "a must be x (and 1 more: see the details)");
        let details = status.get_error_details();
        let fields: Vec<_> = details
            .bad_request()
            .expect("a BadRequest")
            .field_violations
            .iter()
            .map(|violation| (violation.field.as_str(), violation.description.as_str(), violation.reason.as_str()))
            .collect();
        assert_eq!(fields, [("a", "must be x", "FIELD_INVALID"), ("b[1].c", "must be y", "KEY_MALFORMED")]);
    }
}
