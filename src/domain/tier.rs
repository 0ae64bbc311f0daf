//! Tiers: limits that many keys share. A key's own value goes before its
//! tier's; the spend and its windows are the key's.

#![expect(clippy::disallowed_types, reason = "what serde derives for flatten knows floats; no field is one")]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::ids::BudgetId;
use super::key_limits::{KeyLimits, ModelLimit};
use super::limit::{Budget, Rates};
use super::patch::Patch;
use super::window::Length;

/// Limits under a name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tier {
    /// The name.
    pub budget_id: BudgetId,
    /// The money. Its anchor is that of the limits of models.
    #[serde(flatten)]
    pub budget: Budget,
    /// The calls.
    #[serde(flatten)]
    pub rates: Rates,
    /// Limits by the model that is called.
    #[serde(rename = "model_max_budget")]
    pub models: BTreeMap<String, ModelLimit>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Counts the changes.
    pub version: i64,
}

impl Tier {
    /// The money of something in this tier. Windows begin where its own do.
    #[must_use]
    pub fn budget_of(&self, own: &Budget) -> Budget {
        Budget {
            max: own.max.or(self.budget.max),
            soft: own.soft.or(self.budget.soft),
            duration: own.duration.or(self.budget.duration),
            anchor: own.anchor,
        }
    }

    /// The calls of something in this tier.
    #[must_use]
    pub fn rates_of(&self, own: &Rates) -> Rates {
        Rates {
            tpm: own.tpm.or(self.rates.tpm),
            rpm: own.rpm.or(self.rates.rpm),
            parallel: own.parallel.or(self.rates.parallel),
        }
    }

    /// The other limits of a key in this tier: of models its own, if it has any.
    #[must_use]
    pub fn limits_of(&self, own: KeyLimits) -> KeyLimits {
        if own.models.is_empty() { KeyLimits { models: self.models.clone(), ..own } } else { own }
    }
}

/// The length of windows in force: one's own, else the tier's.
#[must_use]
pub fn duration_of(own: Option<Length>, tier: Option<&Tier>) -> Option<Length> {
    own.or_else(|| tier.and_then(|tier| tier.budget.duration))
}

/// Begins a new window now if another tier, or none, changes how long windows
/// are.
pub fn change_tier(own: &mut Budget, before: Option<&Tier>, after: Option<&Tier>, now: Timestamp) {
    if duration_of(own.duration, before) != duration_of(own.duration, after) {
        own.anchor = now;
    }
}

/// Whether the tier's length of windows is another one.
#[must_use]
pub fn is_new_duration(before: &Tier, duration: &Patch<Length>) -> bool {
    match duration {
        Patch::Keep => false,
        Patch::Clear => before.budget.duration.is_some(),
        Patch::Set(length) => before.budget.duration != Some(*length),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::money::Usd;

    fn usd(text: &str) -> Usd {
        text.parse().expect("money")
    }

    fn length(text: &str) -> Length {
        text.parse().expect("a length")
    }

    fn tier() -> Tier {
        Tier {
            budget_id: BudgetId::stored("free"),
            budget: Budget {
                max: Some(usd("10")),
                soft: Some(usd("8")),
                duration: Some(length("30d")),
                anchor: Timestamp::EPOCH,
            },
            rates: Rates { tpm: Some(1_000), rpm: None, parallel: Some(3) },
            models: [("m".to_owned(), ModelLimit { rpm: Some(1), ..ModelLimit::default() })].into(),
            created_at: Timestamp::EPOCH,
            updated_at: Timestamp::EPOCH,
            version: 1,
        }
    }

    #[test]
    fn own_values_go_before_the_tiers() {
        let own = Budget { max: Some(Usd::ZERO), anchor: Timestamp::from_micros(5), ..Budget::default() };
        let of = tier().budget_of(&own);
        assert_eq!(
            (of.max, of.soft, of.duration, of.anchor),
            (Some(Usd::ZERO), Some(usd("8")), Some(length("30d")), own.anchor)
        );
        let rates = tier().rates_of(&Rates { tpm: Some(0), rpm: Some(7), parallel: None });
        assert_eq!(rates, Rates { tpm: Some(0), rpm: Some(7), parallel: Some(3) });
        assert!(tier().limits_of(KeyLimits::default()).models.contains_key("m"));
        let own = KeyLimits { models: [("n".to_owned(), ModelLimit::default())].into(), ..KeyLimits::default() };
        assert_eq!(tier().limits_of(own.clone()), own);
    }

    #[test]
    fn another_length_of_windows_begins_a_new_one() {
        let (now, tier) = (Timestamp::from_micros(9), tier());
        let lifelong = Tier { budget: Budget { duration: None, ..tier.budget }, ..tier.clone() };
        for (own, before, after, is_new) in [
            (None, None, Some(&tier), true),
            (None, Some(&tier), None, true),
            (None, Some(&tier), Some(&lifelong), true),
            (None, None, Some(&lifelong), false),
            (Some(length("1d")), None, Some(&tier), false),
            (Some(length("1d")), Some(&tier), None, false),
        ] {
            let mut budget = Budget { duration: own, ..Budget::default() };
            change_tier(&mut budget, before, after, now);
            assert_eq!(budget.anchor == now, is_new, "{own:?} {before:?} {after:?}");
        }
        assert!(!is_new_duration(&tier, &Patch::Set(length("30d"))));
        assert!(is_new_duration(&tier, &Patch::Clear) && is_new_duration(&tier, &Patch::Set(length("1d"))));
        assert!(!is_new_duration(&lifelong, &Patch::Clear));
    }
}
