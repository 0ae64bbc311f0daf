//! Rules for new and changed keys: defaults, upper bounds, delegation.

use std::fmt::Display;

use serde::Serialize;
use strum::EnumString;

use super::audit::{Fields, fields};
use super::clock::Timestamp;
use super::fault::{Refusal, Violation};
use super::ids::{BudgetId, TeamId, UserId};
use super::key::KeyType;
use super::key_limits::KeyLimits;
use super::limit::Rates;
use super::models::{ModelAliases, ModelList};
use super::money::Usd;
use super::reason::Reason;
use super::role::{Role, TeamRole};
use super::tier::Tier;
use super::window::Length;

/// For ever, on the wire.
pub const FOREVER: &str = "-1";

/// How long a key lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Lifetime {
    /// For ever: `-1` on the wire.
    Forever,
    /// This long from now on.
    For(Length),
}

impl Lifetime {
    /// When a key expires that begins to live now.
    #[must_use]
    pub fn expiry(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Forever => None,
            Self::For(length) => Some(length.after(now)),
        }
    }

    const fn length(self) -> Option<Length> {
        match self {
            Self::Forever => None,
            Self::For(length) => Some(length),
        }
    }
}

/// A key that is to be made; what is absent takes a default.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are those of a key")]
pub struct NewKey {
    pub key_type: KeyType,
    pub key_alias: Option<String>,
    pub user_id: Option<UserId>,
    pub team_id: Option<TeamId>,
    pub service_account_id: Option<String>,
    pub models: ModelList,
    pub model_aliases: ModelAliases,
    pub max_budget: Option<Usd>,
    pub soft_budget: Option<Usd>,
    pub budget_duration: Option<Length>,
    #[serde(flatten)]
    pub rates: Rates,
    pub budget_id: Option<BudgetId>,
    #[serde(flatten)]
    pub limits: KeyLimits,
    pub allowed_routes: Vec<String>,
    pub tags: Vec<String>,
    pub metadata: Fields,
    pub blocked: bool,
    pub duration: Option<Lifetime>,
    pub rotation_interval: Option<Length>,
}

/// The fields that a generation setting may require.
pub const REQUIRABLE_FIELDS: [&str; 21] = [
    "key_alias",
    "user_id",
    "team_id",
    "models",
    "model_aliases",
    "max_budget",
    "soft_budget",
    "budget_duration",
    "tpm_limit",
    "rpm_limit",
    "max_parallel_requests",
    "tpd_limit",
    "budget_id",
    "budget_limits",
    "model_max_budget",
    "model_tpm_limit",
    "model_rpm_limit",
    "budget_fallbacks",
    "tags",
    "metadata",
    "duration",
];

impl NewKey {
    /// The required fields that are absent or empty.
    #[must_use]
    pub fn missing(&self, required: &[String]) -> Vec<String> {
        use serde_json::Value;
        let present = fields(self);
        let is_empty = |value: &Value| match value {
            Value::Array(list) => list.is_empty(),
            Value::Object(map) => map.is_empty(),
            Value::String(text) => text.is_empty(),
            _ => false,
        };
        let missing = |name: &&String| present.get(name.as_str()).is_none_or(is_empty);
        required.iter().filter(missing).cloned().collect()
    }
}

/// What new keys get where the request is silent: setting
/// `default_key_generate_params`.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "the fields are those of a key")]
pub struct KeyDefaults {
    pub max_budget: Option<Usd>,
    pub budget_duration: Option<Length>,
    pub duration: Option<Length>,
    pub rates: Rates,
    pub models: ModelList,
    pub metadata: Fields,
}

impl KeyDefaults {
    /// Fills what a new key leaves out. Explicit values win, also 0; so do those
    /// of a tier, which is there to be changed for all its keys at once.
    pub fn fill(&self, key: &mut NewKey) {
        if key.budget_id.is_none() {
            key.max_budget = key.max_budget.or(self.max_budget);
            key.budget_duration = key.budget_duration.or(self.budget_duration);
            key.rates.tpm = key.rates.tpm.or(self.rates.tpm);
            key.rates.rpm = key.rates.rpm.or(self.rates.rpm);
            key.rates.parallel = key.rates.parallel.or(self.rates.parallel);
        }
        key.rates.tpd = key.rates.tpd.or(self.rates.tpd);
        key.duration = key.duration.or(self.duration.map(Lifetime::For));
        if key.models.is_empty() {
            key.models.clone_from(&self.models);
        }
        if key.metadata.is_empty() {
            key.metadata.clone_from(&self.metadata);
        }
    }
}

/// What happens to a value above its bound: setting `upperbound_mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum BoundMode {
    /// It becomes the bound.
    #[default]
    Clamp,
    /// The request is refused.
    Reject,
}

/// The most that a key may be given: setting `upperbound_key_generate_params`.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(missing_docs, reason = "the fields are those of a key")]
pub struct KeyBounds {
    pub mode: BoundMode,
    pub max_budget: Option<Usd>,
    pub budget_duration: Option<Length>,
    pub duration: Option<Length>,
    pub rates: Rates,
}

/// A value that a bound changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adjusted {
    /// The field.
    pub path: &'static str,
    /// What was asked for; empty is unlimited.
    pub requested: String,
    /// What is stored.
    pub applied: String,
}

/// The values of a key that bounds apply to; `None` where a request does not
/// write the field.
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "the fields are those of a key")]
pub struct Bounded<'a> {
    pub max_budget: Option<&'a mut Option<Usd>>,
    pub budget_duration: Option<&'a mut Option<Length>>,
    pub duration: Option<&'a mut Option<Lifetime>>,
    pub tpm: Option<&'a mut Option<i64>>,
    pub rpm: Option<&'a mut Option<i64>>,
    pub parallel: Option<&'a mut Option<i64>>,
    pub tpd: Option<&'a mut Option<i64>>,
}

impl KeyBounds {
    /// Keeps values within the bounds. An absent value is its tier's; without one
    /// it is unlimited, and so above any bound.
    ///
    /// # Errors
    /// With [`BoundMode::Reject`] every value that is above its bound.
    pub fn apply(&self, values: Bounded<'_>, tier: Option<&Tier>) -> Result<Vec<Adjusted>, Vec<Violation>> {
        let seconds = |length: &Length| length.nominal_seconds();
        let (money, calls) = tier.map(|tier| (tier.budget, tier.rates)).unwrap_or_default();
        let mut adjusted = Vec::new();
        adjusted.extend(lower("key.max_budget", values.max_budget, money.max, self.max_budget, |usd| usd.nanos()));
        adjusted.extend(lower(
            "key.budget_duration",
            values.budget_duration,
            money.duration,
            self.budget_duration,
            seconds,
        ));
        adjusted.extend(lower("key.tpm_limit", values.tpm, calls.tpm, self.rates.tpm, |limit| *limit));
        adjusted.extend(lower("key.rpm_limit", values.rpm, calls.rpm, self.rates.rpm, |limit| *limit));
        adjusted.extend(lower(
            "key.max_parallel_requests",
            values.parallel,
            calls.parallel,
            self.rates.parallel,
            |limit| *limit,
        ));
        adjusted.extend(lower("key.tpd_limit", values.tpd, None, self.rates.tpd, |limit| *limit));
        if let Some(duration) = values.duration {
            let forever = *duration == Some(Lifetime::Forever);
            let mut length = duration.and_then(Lifetime::length);
            if let Some(mut change) = lower("duration", Some(&mut length), None, self.duration, seconds) {
                if forever {
                    FOREVER.clone_into(&mut change.requested);
                }
                *duration = length.map(Lifetime::For);
                adjusted.push(change);
            }
        }
        match self.mode {
            BoundMode::Clamp => Ok(adjusted),
            // Filling an absent value is not refused: nothing was asked for.
            BoundMode::Reject => {
                match adjusted.iter().filter(|change| !change.requested.is_empty()).collect::<Vec<_>>() {
                    above if above.is_empty() => Ok(adjusted),
                    above => Err(above
                        .into_iter()
                        .map(|change| {
                            let rule = format!("{} is above the configured bound {}", change.requested, change.applied);
                            Violation::named(change.path, Reason::AboveUpperBound, rule)
                        })
                        .collect()),
                }
            }
        }
    }
}

fn lower<T: Copy + Display>(
    path: &'static str,
    value: Option<&mut Option<T>>,
    of_tier: Option<T>,
    bound: Option<T>,
    size: impl Fn(&T) -> i64,
) -> Option<Adjusted> {
    let (value, bound) = (value?, bound?);
    if value.or(of_tier).is_some_and(|value| size(&value) <= size(&bound)) {
        return None;
    }
    let requested = value.map(|value| value.to_string()).unwrap_or_default();
    *value = Some(bound);
    Some(Adjusted { path, requested, applied: bound.to_string() })
}

/// Who may make keys: setting `key_generation_settings`.
#[derive(Clone, Debug, PartialEq)]
pub struct GenerationRules {
    /// The roles in the team that may make its keys.
    pub team_roles: Vec<TeamRole>,
    /// The fields that a key in a team must have.
    pub team_required: Vec<String>,
    /// The roles that may make keys for themselves.
    pub user_roles: Vec<Role>,
    /// The fields that such a key must have.
    pub personal_required: Vec<String>,
}

impl Default for GenerationRules {
    fn default() -> Self {
        Self {
            team_roles: vec![TeamRole::Admin, TeamRole::User],
            team_required: Vec::new(),
            user_roles: vec![Role::ProxyAdmin, Role::ProxyAdminViewer, Role::InternalUser, Role::InternalUserViewer],
            personal_required: Vec::new(),
        }
    }
}

/// Keeps a new key within what its maker stands on: nobody who is not a proxy
/// admin gives away more than it has. A budget that nobody asked for, absent or
/// filled by a default, becomes the ceiling.
///
/// # Errors
/// The budget that was asked for is larger.
pub fn keep_below_ceiling(
    max_budget: &mut Option<Usd>,
    is_asked_for: bool,
    ceiling: Option<Usd>,
) -> Result<Option<Adjusted>, Refusal> {
    let Some(ceiling) = ceiling.filter(|ceiling| max_budget.is_none_or(|max| max > *ceiling)) else { return Ok(None) };
    match max_budget.replace(ceiling).filter(|_| is_asked_for) {
        Some(asked) => {
            let message = format!("max_budget {asked} is larger than what you can give, {ceiling}");
            Err(Refusal::denied(Reason::AboveOwnBudget, message).with("requested", asked).with("limit", ceiling))
        }
        None => Ok(Some(Adjusted { path: "key.max_budget", requested: String::new(), applied: ceiling.to_string() })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::limit::Budget;
    use crate::domain::model_limit::ModelLimit;

    fn usd(text: &str) -> Usd {
        text.parse().expect("money")
    }

    fn length(text: &str) -> Length {
        text.parse().expect("a length")
    }

    fn bounds(mode: BoundMode) -> KeyBounds {
        KeyBounds {
            mode,
            max_budget: Some(usd("100")),
            duration: Some(length("30d")),
            rates: Rates { tpm: Some(1_000), ..Rates::default() },
            ..KeyBounds::default()
        }
    }

    fn apply(key: &mut NewKey, mode: BoundMode) -> Result<Vec<Adjusted>, Vec<Violation>> {
        apply_in(key, mode, None)
    }

    fn apply_in(key: &mut NewKey, mode: BoundMode, tier: Option<&Tier>) -> Result<Vec<Adjusted>, Vec<Violation>> {
        let values = Bounded {
            max_budget: Some(&mut key.max_budget),
            duration: Some(&mut key.duration),
            tpm: Some(&mut key.rates.tpm),
            rpm: Some(&mut key.rates.rpm),
            ..Bounded::default()
        };
        bounds(mode).apply(values, tier)
    }

    #[test]
    fn a_tier_within_the_bound_is_left_to_itself() {
        let tier = |max: Option<&str>, tpm| Tier {
            budget_id: BudgetId::stored("t"),
            budget: Budget { max: max.map(usd), ..Budget::default() },
            rates: Rates { tpm, ..Rates::default() },
            models: std::collections::BTreeMap::new(),
            created_at: Timestamp::EPOCH,
            updated_at: Timestamp::EPOCH,
            version: 1,
        };
        for (tier, max, tpm) in [
            (tier(Some("1"), Some(10)), None, None),
            (tier(Some("100"), Some(1_001)), None, Some(1_000)),
            (tier(Some("101"), None), Some(usd("100")), Some(1_000)),
            (tier(None, Some(1_000)), Some(usd("100")), None),
        ] {
            let mut key = NewKey::default();
            apply_in(&mut key, BoundMode::Clamp, Some(&tier)).expect("clamped");
            assert_eq!((key.max_budget, key.rates.tpm), (max, tpm), "{tier:?}");
        }
    }

    #[test]
    fn values_above_a_bound_become_the_bound() {
        let mut key = NewKey {
            max_budget: Some(usd("200")),
            duration: Some(Lifetime::Forever),
            rates: Rates { tpm: Some(1_000), ..Rates::default() },
            ..NewKey::default()
        };
        let adjusted = apply(&mut key, BoundMode::Clamp).expect("clamped");
        assert_eq!(key.max_budget, Some(usd("100")));
        assert_eq!(key.duration, Some(Lifetime::For(length("30d"))));
        assert_eq!((key.rates.tpm, key.rates.rpm), (Some(1_000), None));
        let told: Vec<_> = adjusted.iter().map(|a| (a.path, a.requested.as_str(), a.applied.as_str())).collect();
        assert_eq!(told, [("key.max_budget", "200", "100"), ("duration", "-1", "30d")]);
    }

    #[test]
    fn values_above_a_bound_are_refused_by_setting() {
        let mut key = NewKey { max_budget: Some(usd("200")), ..NewKey::default() };
        let violations = apply(&mut key, BoundMode::Reject).expect_err("refused");
        assert_eq!(
            violations.iter().map(|v| (v.field.as_str(), v.reason)).collect::<Vec<_>>(),
            [("key.max_budget", Reason::AboveUpperBound)]
        );
        let mut for_ever = NewKey { duration: Some(Lifetime::Forever), ..NewKey::default() };
        assert_eq!(apply(&mut for_ever, BoundMode::Reject).expect_err("refused")[0].field, "duration");
        let mut silent = NewKey::default();
        assert!(apply(&mut silent, BoundMode::Reject).is_ok());
        assert_eq!(silent.max_budget, Some(usd("100")), "filled");
    }

    #[test]
    fn explicit_values_win_over_defaults() {
        let defaults =
            KeyDefaults { max_budget: Some(usd("1.5")), duration: Some(length("20m")), ..KeyDefaults::default() };
        let mut key = NewKey { max_budget: Some(Usd::ZERO), ..NewKey::default() };
        defaults.fill(&mut key);
        assert_eq!((key.max_budget, key.duration), (Some(Usd::ZERO), Some(Lifetime::For(length("20m")))));
    }

    #[test]
    fn required_fields_are_present_and_not_empty() {
        let key = NewKey { tags: vec!["a".to_owned()], ..NewKey::default() };
        let missing = key.missing(&["tags", "metadata", "key_alias", "tpm_limit"].map(str::to_owned));
        assert_eq!(missing, ["metadata", "key_alias", "tpm_limit"]);
        let every = fields(&NewKey {
            key_alias: Some("a".into()),
            user_id: Some(UserId::stored("u")),
            team_id: Some(TeamId::stored("t")),
            max_budget: Some(Usd::ZERO),
            soft_budget: Some(Usd::ZERO),
            budget_duration: Some(length("1d")),
            rates: Rates { tpm: Some(1), rpm: Some(1), parallel: Some(1), tpd: Some(1) },
            budget_id: Some(BudgetId::stored("b")),
            limits: KeyLimits {
                windows: vec![Budget::default()],
                models: [("m".to_owned(), ModelLimit::default())].into(),
                fallbacks: [("m".to_owned(), Vec::new())].into(),
                ..KeyLimits::default()
            },
            duration: Some(Lifetime::Forever),
            ..NewKey::default()
        });
        assert!(REQUIRABLE_FIELDS.iter().all(|name| every.contains_key(*name)), "the names are those of the fields");
    }

    #[test]
    fn nobody_gives_away_more_than_it_has() {
        let ceiling = Some(usd("10"));
        let mut absent = None;
        let mut filled = Some(usd("99"));
        for of_nobody in [&mut absent, &mut filled] {
            let told = keep_below_ceiling(of_nobody, false, ceiling).expect("filled").expect("told");
            assert_eq!((told.requested.as_str(), told.applied.as_str()), ("", "10"));
            assert_eq!(*of_nobody, ceiling);
        }
        assert_eq!(keep_below_ceiling(&mut Some(usd("10")), true, ceiling), Ok(None));
        assert_eq!(keep_below_ceiling(&mut Some(usd("9")), false, ceiling), Ok(None));
        assert!(keep_below_ceiling(&mut Some(usd("10.000000001")), true, ceiling).is_err());
        assert_eq!(keep_below_ceiling(&mut Some(usd("999")), true, None), Ok(None));
    }
}
