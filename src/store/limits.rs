//! The columns of limits, which several tables have.

use chrono_tz::Tz;

use super::error::StoreError;
use super::json::word;
use crate::domain::clock::Timestamp;
use crate::domain::limit::Budget;
use crate::domain::money::Usd;
use crate::domain::throughput::{Throughput, ThroughputType};

/// The budget in a row's columns.
pub(super) fn budget(
    max_nanos: Option<i64>,
    soft_nanos: Option<i64>,
    duration: Option<&str>,
    anchor_at: i64,
) -> Result<Budget, StoreError> {
    Ok(Budget {
        max: max_nanos.map(Usd::from_nanos),
        soft: soft_nanos.map(Usd::from_nanos),
        duration: duration.map(word).transpose()?,
        anchor: Timestamp::from_micros(anchor_at),
        zone: None,
    })
}

/// What limits are, in a row's columns.
pub(super) fn throughput(tpm: Option<&str>, rpm: Option<&str>) -> Result<Throughput, StoreError> {
    Ok(Throughput { tpm_limit_type: tpm.map(word).transpose()?, rpm_limit_type: rpm.map(word).transpose()? })
}

/// What a limit is, as it stands in a column.
pub(super) fn throughput_type(kind: Option<ThroughputType>) -> Option<String> {
    kind.map(|kind| <&str>::from(kind).to_owned())
}

/// The time zone in a row's column.
pub(super) fn zone(name: Option<&str>) -> Result<Option<Tz>, StoreError> {
    name.map(word).transpose()
}
