//! Answers: what a test expects of a call.

use bursar::pb;
use tonic::{Code, Response, Status};
use tonic_types::StatusExt;

/// The reason in a status's details.
pub fn reason_of(status: &Status) -> String {
    status.get_error_details().error_info().map(|info| info.reason.clone()).unwrap_or_default()
}

/// The fields that a status says are bad, each with its reason.
pub fn bad_fields(status: &Status) -> Vec<(String, String)> {
    let details = status.get_error_details();
    let violations = details.bad_request().map(|bad| bad.field_violations.clone()).unwrap_or_default();
    violations.into_iter().map(|violation| (violation.field, violation.reason)).collect()
}

/// What came of a call.
pub trait Answer<T> {
    /// The answer of a call that should succeed.
    fn answer(self) -> T;

    /// The status of a call that should be refused like this, with everything
    /// that a refusal has.
    fn refused(self, code: Code, reason: pb::ErrorReason) -> Status;

    /// The bad fields of a call that should be refused as invalid.
    fn bad(self) -> Vec<(String, String)>;
}

impl<T: std::fmt::Debug> Answer<T> for Result<Response<T>, Status> {
    #[track_caller]
    fn answer(self) -> T {
        match self {
            Ok(response) => response.into_inner(),
            Err(status) => panic!("{:?} {}: {}", status.code(), reason_of(&status), status.message()),
        }
    }

    #[track_caller]
    fn refused(self, code: Code, reason: pb::ErrorReason) -> Status {
        let status = match self {
            Ok(response) => panic!("not refused: {:?}", response.into_inner()),
            Err(status) => status,
        };
        let name = reason.as_str_name().trim_start_matches("ERROR_REASON_");
        assert_eq!((status.code(), reason_of(&status).as_str()), (code, name), "{}", status.message());
        assert!(!status.message().is_empty());
        status
    }

    #[track_caller]
    fn bad(self) -> Vec<(String, String)> {
        let status = match self {
            Ok(response) => panic!("not refused: {:?}", response.into_inner()),
            Err(status) => status,
        };
        assert_eq!(status.code(), Code::InvalidArgument, "{}", status.message());
        bad_fields(&status)
    }
}
