//! What limits a key beside its one budget: budgets in other windows, budgets
//! and rates of single models, and a budget that is larger for a while.

#![expect(clippy::disallowed_types, reason = "what serde derives for flatten knows floats; no field is one")]

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::account::AccountId;
use super::clock::Timestamp;
use super::identity::{ModelAccounts, Models};
use super::ids::KeyId;
use super::limit::{Budget, Dynamic, ModelRates};
use super::model_limit::{ModelLimits, following};
use super::money::Usd;
use super::throughput::Throughput;

/// The most budgets in windows of their own.
pub const WINDOWS_MAX: usize = 10;

/// The limits of a key beside its budget.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct KeyLimits {
    /// Budgets, each with a limit and a duration; no two of one duration.
    #[serde(rename = "budget_limits", skip_serializing_if = "Vec::is_empty")]
    pub windows: Vec<Budget>,
    /// Limits by the model that is called.
    #[serde(rename = "model_max_budget", skip_serializing_if = "ModelLimits::is_empty")]
    pub models: ModelLimits,
    /// Rates by the model that is called; where `models` has one, that holds.
    #[serde(flatten)]
    pub model_rates: ModelRates,
    /// What its rates, and those of its models, are.
    #[serde(flatten)]
    pub throughput: Throughput,
    /// The models that may be called instead of one whose budget is spent, best
    /// first.
    #[serde(rename = "budget_fallbacks", skip_serializing_if = "BTreeMap::is_empty")]
    pub fallbacks: BTreeMap<String, Vec<String>>,
    /// What may be spent on top of the key's budget …
    #[serde(rename = "temp_budget_increase", skip_serializing_if = "Option::is_none")]
    pub increase: Option<Usd>,
    /// … before this instant.
    #[serde(rename = "temp_budget_expires_at", skip_serializing_if = "Option::is_none")]
    pub increase_until: Option<Timestamp>,
}

impl KeyLimits {
    /// These limits as those that follow others: a budget whose duration stays
    /// goes on in its windows; any other begins now, at zero, also that of a model
    /// that had none.
    #[must_use]
    pub fn following(mut self, before: &Self, now: Timestamp) -> Self {
        for budget in &mut self.windows {
            let same = before.windows.iter().find(|known| known.duration == budget.duration);
            budget.anchor = same.map_or(now, |known| known.anchor);
        }
        self.models = following(self.models, &before.models, now);
        self
    }

    /// Whether an increase has an end, and an end belongs to an increase.
    #[must_use]
    pub const fn increase_is_complete(&self) -> bool {
        self.increase.is_some() == self.increase_until.is_some()
    }

    fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The limits in the form in which calls are judged by them.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitFacts {
    /// The accounts of the windows.
    pub windows: Box<[(AccountId, Budget)]>,
    /// The accounts of the models.
    pub models: ModelAccounts,
    /// The rates of the key, and of its models, that hold only in bad times.
    pub dynamic: Dynamic,
    fallbacks: BTreeMap<String, Vec<String>>,
    increase: Option<(Usd, Timestamp)>,
}

impl LimitFacts {
    /// The facts of a key's limits; `None`: it has none.
    #[must_use]
    pub fn new(key: KeyId, limits: KeyLimits) -> Option<Box<Self>> {
        if limits.is_empty() {
            return None;
        }
        let window = |budget: &Budget| Some((AccountId::key_window(key, budget.duration?), *budget));
        Some(Box::new(Self {
            windows: limits.windows.iter().filter_map(window).collect(),
            models: ModelAccounts::of_key(key, &limits.models, &limits.model_rates),
            dynamic: limits.throughput.dynamic(),
            fallbacks: limits.fallbacks,
            increase: limits.increase.zip(limits.increase_until),
        }))
    }

    /// All its accounts, each with its budget.
    pub fn parts(&self) -> impl Iterator<Item = (&AccountId, &Budget)> {
        let windows = self.windows.iter().map(|(account, budget)| (account, budget));
        windows.chain(self.models.lines(Models::All).map(|line| (line.account, line.budget)))
    }

    /// The models that may be called instead of one whose budget is spent, best
    /// first.
    #[must_use]
    pub fn fallbacks_of(&self, model: &str) -> &[String] {
        self.fallbacks.get(model).map_or(&[], Vec::as_slice)
    }

    /// A budget that is larger now; `None`: it is as it is. What has no limit is
    /// not raised.
    #[must_use]
    pub fn raise(&self, budget: &Budget, now: Timestamp) -> Option<Box<Budget>> {
        let (increase, _) = self.increase.filter(|(_, until)| now < *until)?;
        Some(Box::new(Budget { max: Some(budget.max?.saturating_add(increase)), ..*budget }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::model_limit::ModelLimit;

    fn usd(text: &str) -> Usd {
        text.parse().expect("money")
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::EPOCH.plus_seconds(seconds)
    }

    fn budget(max: &str, duration: &str) -> Budget {
        Budget { max: Some(usd(max)), duration: Some(duration.parse().expect("a length")), ..Budget::default() }
    }

    #[test]
    fn a_budget_whose_duration_stays_goes_on() {
        let of = |windows: Vec<Budget>, model: Budget| KeyLimits {
            windows,
            models: BTreeMap::from([("m".to_owned(), ModelLimit { budget: model, ..ModelLimit::default() })]),
            ..KeyLimits::default()
        };
        let first =
            of(vec![budget("1", "1d"), budget("9", "30d")], budget("1", "1d")).following(&KeyLimits::default(), at(5));
        assert_eq!(first.windows.iter().map(|budget| budget.anchor).collect::<Vec<_>>(), [at(5), at(5)]);
        let next = of(vec![budget("7", "30d"), budget("3", "1h")], budget("2", "1d")).following(&first, at(9));
        assert_eq!(next.windows.iter().map(|budget| budget.anchor).collect::<Vec<_>>(), [at(5), at(9)]);
        assert_eq!(next.models["m"].budget.anchor, at(5));
        let last = of(Vec::new(), budget("2", "2d")).following(&next, at(11));
        assert_eq!(last.models["m"].budget.anchor, at(11));
        let rates = |budget| {
            of(Vec::new(), budget).following(&of(Vec::new(), Budget::default()), at(13)).models["m"].budget.anchor
        };
        assert_eq!(rates(Budget { max: Some(usd("1")), ..Budget::default() }), at(13), "there was none before");
        // Taken away and set again, it begins at zero.
        assert_eq!(of(vec![budget("1", "30d")], budget("1", "2d")).following(&last, at(12)).windows[0].anchor, at(12));
    }

    #[test]
    fn an_increase_holds_until_it_ends() {
        let limits = KeyLimits { increase: Some(usd("5")), increase_until: Some(at(100)), ..KeyLimits::default() };
        let facts = LimitFacts::new(KeyId::generate(), limits).expect("limits");
        let limited = budget("10", "1d");
        let raised = |budget: &Budget, now| facts.raise(budget, at(now)).and_then(|budget| budget.max);
        assert_eq!((raised(&limited, 99), raised(&limited, 100)), (Some(usd("15")), None));
        assert_eq!(raised(&Budget::default(), 0), None, "unlimited stays so");
    }
}
