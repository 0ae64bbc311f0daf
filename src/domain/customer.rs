//! Customers: the end users on whose behalf calls are made. Whoever a call
//! names is one, whether anybody has heard of it or not.

#![expect(clippy::disallowed_types, reason = "what serde derives for flatten knows floats; no field is one")]

use serde::{Deserialize, Serialize};

use super::account::{AccountId, Line};
use super::audit::Fields;
use super::clock::Timestamp;
use super::identity::{ModelAccounts, Models};
use super::ids::{BudgetId, CustomerId};
use super::limit::{Budget, Rates};
use super::model_limit::ModelLimits;
use super::models::ModelList;
use super::money::Usd;
use super::tier::{Tier, in_force};

/// An end user of a client's application.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Customer {
    /// Never changes: the name that calls give.
    pub customer_id: CustomerId,
    /// A label; not unique.
    pub alias: String,
    /// Calls on behalf of a blocked one are refused.
    pub blocked: bool,
    /// What may be called on its behalf.
    pub allowed_models: ModelList,
    /// The money that all calls on its behalf may spend.
    #[serde(flatten)]
    pub budget: Budget,
    /// The calls that may be made on its behalf.
    #[serde(flatten)]
    pub rates: Rates,
    /// What may be done on its behalf with single models.
    #[serde(rename = "model_max_budget", default, skip_serializing_if = "ModelLimits::is_empty")]
    pub model_limits: ModelLimits,
    /// Its tier.
    pub budget_id: Option<BudgetId>,
    /// Free data.
    pub metadata: Fields,
    /// When it was made, or first used something.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Counts the changes. [`Customer::UNTOUCHED`]: nobody has made it, it was
    /// first heard of by its usage.
    pub version: i64,
}

impl Customer {
    /// The version of one that was first heard of by its usage.
    pub const UNTOUCHED: i64 = 0;

    /// A customer that nobody has said anything about.
    #[must_use]
    pub fn unheard_of(customer_id: CustomerId, now: Timestamp) -> Self {
        Self {
            customer_id,
            alias: String::new(),
            blocked: false,
            allowed_models: ModelList::default(),
            budget: Budget::default(),
            rates: Rates::NONE,
            model_limits: ModelLimits::new(),
            budget_id: None,
            metadata: Fields::new(),
            created_at: now,
            updated_at: now,
            version: Self::UNTOUCHED,
        }
    }
}

/// The limits of customers without their own: settings `max_end_user_budget_id`
/// and `max_end_user_budget`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CustomerDefaults {
    /// The tier of those that are in none.
    pub budget_id: Option<BudgetId>,
    /// What those may spend, if there is no such tier.
    pub max: Option<Usd>,
}

impl CustomerDefaults {
    /// The tier whose limits a customer has.
    #[must_use]
    pub fn tier_of<'a>(&'a self, customer: &'a Customer) -> Option<&'a BudgetId> {
        customer.budget_id.as_ref().or(self.budget_id.as_ref())
    }

    /// The limits in force of a customer by model: its own, if it has any, else
    /// those of the tier.
    #[must_use]
    pub fn model_limits_of<'a>(customer: &'a Customer, tier: Option<&'a Tier>) -> &'a ModelLimits {
        let own = &customer.model_limits;
        tier.filter(|_| own.is_empty()).map_or(own, |tier| &tier.models)
    }

    /// The limits in force of a customer: its own; those of the tier, which is
    /// that of [`CustomerDefaults::tier_of`] if there is one; then the default.
    #[must_use]
    pub fn limits_of(&self, customer: &Customer, tier: Option<&Tier>) -> (Budget, Rates) {
        let rates = tier.map_or(customer.rates, |tier| tier.rates_of(&customer.rates));
        let mut budget = in_force(&customer.budget, tier);
        if tier.is_none() {
            budget.max = budget.max.or(self.max);
        }
        // Windows of the default tier began when it did: nobody has joined it.
        let by_default = customer.budget_id.is_none() && customer.budget.duration.is_none();
        if let Some(tier) = tier.filter(|tier| by_default && tier.budget.duration.is_some()) {
            budget.anchor = tier.budget.anchor;
        }
        (budget, rates)
    }
}

/// What judging needs of a customer.
#[derive(Clone, Debug, PartialEq)]
pub struct CustomerFacts {
    /// The name that calls give.
    pub customer_id: CustomerId,
    /// Its account.
    pub account: AccountId,
    /// Whether it is blocked.
    pub blocked: bool,
    /// What may be called on its behalf.
    pub models: ModelList,
    /// Its budget in force.
    pub budget: Budget,
    /// Its rate limits in force.
    pub rates: Rates,
    /// Its accounts with single models.
    pub model_accounts: ModelAccounts,
    /// Whether anybody has heard of it.
    pub is_known: bool,
    /// How many changes of tiers had been seen when it was read.
    pub tiers_seen: u64,
}

impl CustomerFacts {
    /// The accounts with their limits.
    pub fn lines(&self, models: Models<'_>) -> impl Iterator<Item = Line<'_>> {
        let Self { account, budget, rates, .. } = self;
        let whole = Line::new(account, budget, rates);
        std::iter::once(whole).chain(self.model_accounts.lines(models))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usd(text: &str) -> Usd {
        text.parse().expect("money")
    }

    fn tier(max: Option<&str>, duration: Option<&str>) -> Tier {
        Tier {
            budget_id: BudgetId::stored("tier"),
            budget: Budget {
                max: max.map(usd),
                soft: None,
                duration: duration.map(|text| text.parse().expect("a length")),
                anchor: Timestamp::from_micros(7),
                zone: None,
            },
            rates: Rates { rpm: Some(5), ..Rates::NONE },
            models: std::collections::BTreeMap::new(),
            created_at: Timestamp::EPOCH,
            updated_at: Timestamp::EPOCH,
            version: 1,
        }
    }

    fn customer(max: Option<&str>, budget_id: Option<&str>) -> Customer {
        Customer {
            budget: Budget { max: max.map(usd), anchor: Timestamp::from_micros(3), ..Budget::default() },
            budget_id: budget_id.map(BudgetId::stored),
            ..Customer::unheard_of(CustomerId::stored("c"), Timestamp::EPOCH)
        }
    }

    /// Own values, else those of the linked tier, else of the default tier, else
    /// the default maximum.
    #[test]
    fn a_customer_has_the_nearest_limits() {
        let defaults = CustomerDefaults { budget_id: Some(BudgetId::stored("default")), max: Some(usd("9")) };
        let (rich, open) = (tier(Some("4"), None), tier(None, None));
        for (own, linked, found, max) in [
            (None, None, None, Some("9")),
            (Some("1"), None, None, Some("1")),
            (Some("0"), None, Some(&rich), Some("0")),
            (None, None, Some(&rich), Some("4")),
            (None, Some("tier"), Some(&rich), Some("4")),
            (None, Some("tier"), Some(&open), None),
            (Some("1"), Some("tier"), Some(&open), Some("1")),
        ] {
            let (budget, rates) = defaults.limits_of(&customer(own, linked), found);
            assert_eq!(budget.max, max.map(usd), "{own:?} {linked:?}");
            assert_eq!(rates.rpm, found.and(Some(5)));
        }
        assert_eq!(defaults.tier_of(&customer(None, Some("tier"))).map(BudgetId::as_str), Some("tier"));
        assert_eq!(defaults.tier_of(&customer(None, None)).map(BudgetId::as_str), Some("default"));
    }

    #[test]
    fn windows_of_the_default_tier_began_with_it() {
        let defaults = CustomerDefaults::default();
        let daily = tier(Some("4"), Some("10d"));
        let anchor = |linked, tier: &Tier| defaults.limits_of(&customer(None, linked), Some(tier)).0.anchor;
        assert_eq!(anchor(None, &daily), daily.budget.anchor);
        assert_eq!(anchor(Some("tier"), &daily), Timestamp::from_micros(3), "one's own windows began with joining");
        assert_eq!(anchor(None, &tier(Some("4"), None)), Timestamp::from_micros(3));
        let mut own = customer(None, None);
        own.budget.duration = Some("1d".parse().expect("a length"));
        assert_eq!(defaults.limits_of(&own, Some(&daily)).0.anchor, Timestamp::from_micros(3));
    }
}
