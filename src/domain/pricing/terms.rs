//! Terms: what beside the counts decides which prices a call pays.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::super::clock::Timestamp;
use super::counts::Counts;
use super::units::Units;

/// What a reporter says of the terms of a call; empty is the usual.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "usage.proto documents each under the same name")]
pub struct Terms {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub service_tier: String,
    /// A job of the batch interface.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub batch: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub region: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub geo: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub speed: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub resolution: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub image_quality: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub image_width: i64,
    #[serde(skip_serializing_if = "is_zero")]
    pub image_height: i64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub search_context_size: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub max_results: i64,
}

/// The longest side of an image that is believed, in pixels.
pub const SIDE_MAX: i64 = 1_000_000;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

impl Terms {
    /// Whether nothing is told.
    #[must_use]
    pub fn are_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// A call, as far as its cost depends on it.
#[derive(Clone, Copy, Debug)]
pub struct Billable<'a> {
    /// Its tokens.
    pub counts: &'a Counts,
    /// What it used beside tokens.
    pub units: &'a Units,
    /// What chooses among prices.
    pub terms: &'a Terms,
    /// Such as `chat`; empty is that, or what the model does if it has no price
    /// for tokens.
    pub call_type: &'a str,
    /// When it began.
    pub at: Timestamp,
    /// How long it took, in microseconds.
    pub lasted_micros: i64,
    /// What the gateway adds, in dollars.
    pub additional: Decimal,
}
