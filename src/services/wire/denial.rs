//! Reasons of denials on the wire.

use crate::domain::decision::DenyReason;
use crate::pb;

/// The reason on the wire.
pub(crate) const fn reason_to_wire(reason: DenyReason) -> pb::DenyReason {
    match reason {
        DenyReason::KeyUnknown => pb::DenyReason::KeyUnknown,
        DenyReason::KeyBlocked => pb::DenyReason::KeyBlocked,
        DenyReason::KeyExpired => pb::DenyReason::KeyExpired,
        DenyReason::UserDeactivated => pb::DenyReason::UserDeactivated,
        DenyReason::UserNotInTeam => pb::DenyReason::UserNotInTeam,
        DenyReason::TeamBlocked => pb::DenyReason::TeamBlocked,
        DenyReason::CustomerBlocked => pb::DenyReason::CustomerBlocked,
        DenyReason::CallNotAllowed => pb::DenyReason::CallNotAllowed,
        DenyReason::RequiredParamMissing => pb::DenyReason::RequiredParamMissing,
        DenyReason::ModelUnknown => pb::DenyReason::ModelUnknown,
        DenyReason::PriceUnknown => pb::DenyReason::PriceUnknown,
        DenyReason::ModelNotAllowed => pb::DenyReason::ModelNotAllowed,
        DenyReason::BudgetExceeded => pb::DenyReason::BudgetExceeded,
        DenyReason::RateLimited => pb::DenyReason::RateLimited,
    }
}

/// The name of a reason, such as `BUDGET_EXCEEDED`.
pub(crate) fn name(reason: pb::DenyReason) -> &'static str {
    reason.as_str_name().trim_start_matches("DENY_REASON_")
}
