//! Tiers: limits that many keys share. A key's own value goes before its
//! tier's; the spend and its windows are the key's.

#![expect(clippy::disallowed_types, reason = "what serde derives for flatten knows floats; no field is one")]

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::ids::BudgetId;
use super::key_limits::KeyLimits;
use super::limit::{Budget, Rates};
use super::model_limit::{ModelLimit, ModelLimits};
use super::patch::Patch;
use super::window::Calendar;

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
    pub models: ModelLimits,
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
            // Of whichever windows these are.
            zone: if own.duration.is_some() { own.zone } else { self.budget.zone },
        }
    }

    /// The calls of something in this tier.
    #[must_use]
    pub fn rates_of(&self, own: &Rates) -> Rates {
        Rates {
            tpm: own.tpm.or(self.rates.tpm),
            rpm: own.rpm.or(self.rates.rpm),
            parallel: own.parallel.or(self.rates.parallel),
            tpd: own.tpd,
        }
    }

    /// The other limits of a key in this tier: of models its own, if it has any;
    /// and in any case its own rates of them.
    #[must_use]
    pub fn limits_of(&self, own: KeyLimits) -> KeyLimits {
        if !own.models.is_empty() {
            return own;
        }
        let of_model = |(model, limit): (&String, &ModelLimit)| {
            let rates = &own.model_rates;
            let limit = ModelLimit {
                tpm: limit.tpm.filter(|_| !rates.tpm.contains_key(model)),
                rpm: limit.rpm.filter(|_| !rates.rpm.contains_key(model)),
                ..*limit
            };
            (model.clone(), limit)
        };
        KeyLimits { models: self.models.iter().map(of_model).collect(), ..own }
    }

    /// When the windows begin of a new key in this tier.
    #[must_use]
    pub fn anchor_of_new(&self, own: &Budget, now: Timestamp) -> Timestamp {
        let in_force = self.budget_of(own);
        Budget::new(in_force.max, in_force.soft, in_force.duration, now).anchor
    }
}

/// A budget in force: one's own, with what a tier adds.
#[must_use]
pub fn in_force(own: &Budget, tier: Option<&Tier>) -> Budget {
    tier.map_or(*own, |tier| tier.budget_of(own))
}

/// When windows begin after a change of what is in force: where they do, if they
/// are as long as before and in the same time zone; now, at zero, if not; of one
/// that stays open for ever, where the last one began.
#[must_use]
pub fn anchor_after(was: &Budget, is: &Budget, calendar: &Calendar, now: Timestamp) -> Timestamp {
    let mut budget = *was;
    budget.set_duration(is.duration.map_or(Patch::Clear, Patch::Set), calendar, now);
    budget.set_zone(is.zone, now);
    budget.anchor
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::domain::identity::Models;
    use crate::domain::ids::KeyId;
    use crate::domain::key_limits::LimitFacts;
    use crate::domain::limit::ModelRates;
    use crate::domain::money::Usd;
    use crate::domain::window::Length;

    fn usd(text: &str) -> Usd {
        text.parse().expect("money")
    }

    fn length(text: &str) -> Length {
        text.parse().expect("a length")
    }

    pub(in crate::domain) fn tier() -> Tier {
        Tier {
            budget_id: BudgetId::stored("free"),
            budget: Budget {
                max: Some(usd("10")),
                soft: Some(usd("8")),
                duration: Some(length("30d")),
                ..Budget::default()
            },
            rates: Rates { tpm: Some(1_000), parallel: Some(3), ..Rates::NONE },
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
        let rates = tier().rates_of(&Rates { tpm: Some(0), rpm: Some(7), ..Rates::NONE });
        assert_eq!(rates, Rates { tpm: Some(0), rpm: Some(7), parallel: Some(3), ..Rates::NONE });
        assert!(tier().limits_of(KeyLimits::default()).models.contains_key("m"));
        let own = KeyLimits { models: [("n".to_owned(), ModelLimit::default())].into(), ..KeyLimits::default() };
        assert_eq!(tier().limits_of(own.clone()), own);
    }

    #[test]
    fn the_zone_is_that_of_whose_windows_they_are() {
        let zone = Some(chrono_tz::Europe::Berlin);
        let placed = Tier { budget: Budget { zone, ..tier().budget }, ..tier() };
        assert_eq!(placed.budget_of(&Budget::default()).zone, zone);
        let own = Budget { duration: Some(length("1d")), ..Budget::default() };
        assert_eq!(placed.budget_of(&own).zone, None, "one's own windows are in the zone of the setting");
        let (was, now) = (tier().budget_of(&Budget::default()), Timestamp::EPOCH.plus_seconds(60));
        assert_eq!(anchor_after(&was, &placed.budget_of(&Budget::default()), &Calendar::UTC, now), now);
    }

    #[test]
    fn own_rates_of_a_model_go_before_the_tiers() {
        let own = KeyLimits {
            model_rates: ModelRates { rpm: [("m".to_owned(), 5)].into(), ..ModelRates::default() },
            ..KeyLimits::default()
        };
        let limits = LimitFacts::new(KeyId::generate(), tier().limits_of(own)).expect("limits");
        let rpm: Vec<_> = limits.models.lines(Models::All).map(|line| line.rates.rpm).collect();
        assert_eq!(rpm, [Some(5)]);
    }

    #[test]
    fn windows_change_with_their_length_in_force() {
        let (start, now) = (Timestamp::EPOCH.plus_seconds(86_400), Timestamp::EPOCH.plus_seconds(5 * 86_400 + 60));
        let own =
            |duration: Option<&str>| Budget { duration: duration.map(length), anchor: start, ..Budget::default() };
        let lifelong = Tier { budget: Budget { duration: None, ..tier().budget }, ..tier() };
        let today = Timestamp::EPOCH.plus_seconds(5 * 86_400);
        for (before, former, after, next, anchor) in [
            (None, None, None, Some(tier()), now),
            (None, Some(tier()), None, None, start),
            (Some("30d"), Some(tier()), None, Some(tier()), start),
            (None, Some(tier()), Some("30d"), None, start),
            (Some("1d"), Some(tier()), None, Some(tier()), now),
            (Some("7d"), Some(tier()), None, Some(tier()), now),
            (Some("1d"), None, None, Some(lifelong.clone()), today),
            (Some("1d"), None, Some("1d"), Some(tier()), start),
        ] {
            let was = in_force(&own(before), former.as_ref());
            let is = in_force(&own(after), next.as_ref());
            assert_eq!(anchor_after(&was, &is, &Calendar::UTC, now), anchor, "{before:?} {after:?} {next:?}");
        }
    }
}
