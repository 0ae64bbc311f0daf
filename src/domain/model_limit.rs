//! Limits of single models.

#![expect(clippy::disallowed_types, reason = "what serde derives for flatten knows floats; no field is one")]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::limit::Budget;

/// What somebody may do with one model, or with those that a wildcard names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelLimit {
    /// What it may spend.
    #[serde(flatten)]
    pub budget: Budget,
    /// Tokens a minute.
    #[serde(rename = "tpm_limit")]
    pub tpm: Option<i64>,
    /// Calls a minute.
    #[serde(rename = "rpm_limit")]
    pub rpm: Option<i64>,
}

/// Limits by the model that is called.
pub type ModelLimits = BTreeMap<String, ModelLimit>;

/// These limits as those that follow others: a budget whose duration stays goes
/// on in its windows; any other begins now, at zero, also that of a model that
/// had none.
#[must_use]
pub fn following(mut limits: ModelLimits, before: &ModelLimits, now: Timestamp) -> ModelLimits {
    for (model, limit) in &mut limits {
        let goes_on = |known: &&ModelLimit| {
            known.budget.duration == limit.budget.duration && known.budget.max.is_some() >= limit.budget.max.is_some()
        };
        let known = before.get(model).filter(goes_on);
        limit.budget.anchor = known.map_or(now, |known| known.budget.anchor);
    }
    limits
}
