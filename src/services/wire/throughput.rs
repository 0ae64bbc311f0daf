//! What limits are, on the wire.

use super::faults::Faults;
use super::role;
use crate::domain::throughput::{Throughput, ThroughputType};
use crate::pb;

/// Takes what the limits of a message are whose fields have this prefix.
pub(crate) fn take(prefix: &str, tpm: i32, rpm: i32, faults: &mut Faults) -> Throughput {
    Throughput {
        tpm_limit_type: role::limit_type_from_wire(&format!("{prefix}tpm_limit_type"), tpm, faults),
        rpm_limit_type: role::limit_type_from_wire(&format!("{prefix}rpm_limit_type"), rpm, faults),
    }
}

/// What a limit is, on the wire; unspecified if nobody said it.
pub(crate) fn to_wire(kind: Option<ThroughputType>) -> i32 {
    kind.map_or(pb::LimitType::Unspecified, role::limit_type_to_wire).into()
}
