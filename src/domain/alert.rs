//! Alerts: what is told once when the spend of a window reaches a part of its
//! budget. They never deny anything.

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::account::{AccountId, Scope};
use super::clock::Timestamp;
use super::ids::new_uuid;
use super::limit::Budget;
use super::money::Usd;
use super::window::Window;

/// What was reached.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum AlertKind {
    /// The soft budget.
    SoftBudgetCrossed,
    /// A part of the budget.
    ThresholdCrossed,
    /// All of the budget: nothing more may be spent.
    BudgetCrossed,
    /// Nothing: usage of a model was booked without a price.
    SpendUnpriced,
}

impl AlertKind {
    /// The name in the store, in webhooks and in settings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// A model without a price, as often as it is used: told of once in a window.
pub const UNPRICED: Level = Level { kind: AlertKind::SpendUnpriced, threshold: 0, spend: Usd::ZERO };

/// The percentage that is all of a budget.
const ALL: u8 = 100;

/// At which parts of a budget something is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertRules {
    /// Percentages, 1 to 100.
    thresholds: Vec<u8>,
    /// Which of a user's two accounts its budget is compared with.
    user_budget_on_team_keys: bool,
}

/// Why there are no such rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be percentages from 1 to 100, each once")]
pub struct ThresholdError;

/// A level of spend, and what it is to reach it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// What it is.
    pub kind: AlertKind,
    /// The percentage of the budget; 0 for the soft budget.
    pub threshold: u8,
    /// The least spend that reaches it.
    pub spend: Usd,
}

impl AlertRules {
    /// Rules that tell at these percentages of a budget, and at all of it.
    ///
    /// # Errors
    /// [`ThresholdError`] if there is another number, or one twice.
    pub fn new(mut thresholds: Vec<u8>, user_budget_on_team_keys: bool) -> Result<Self, ThresholdError> {
        let count = thresholds.len();
        thresholds.sort_unstable();
        thresholds.dedup();
        let fits = thresholds.len() == count && thresholds.iter().all(|percent| (1..=ALL).contains(percent));
        if thresholds.last() != Some(&ALL) {
            thresholds.push(ALL);
        }
        if fits { Ok(Self { thresholds, user_budget_on_team_keys }) } else { Err(ThresholdError) }
    }

    /// The levels that spend reaches by growing from `before` to `after`, the
    /// soft budget first. Who may spend nothing reaches none: it is there.
    #[must_use]
    pub fn reached(&self, scope: Scope, budget: &Budget, before: Usd, after: Usd) -> Vec<Level> {
        if after <= before || !self.watch(scope) {
            return Vec::new();
        }
        let soft = budget.soft.map(|spend| Level { kind: AlertKind::SoftBudgetCrossed, threshold: 0, spend });
        let parts = budget.max.into_iter().flat_map(|max| self.thresholds.iter().map(move |part| part_of(max, *part)));
        soft.into_iter().chain(parts).filter(|level| before < level.spend && level.spend <= after).collect()
    }

    /// Whether the budget of such an account is the one that binds: of a user's
    /// two accounts only one is told of.
    fn watch(&self, scope: Scope) -> bool {
        match scope {
            Scope::User => self.user_budget_on_team_keys,
            Scope::UserPersonal => !self.user_budget_on_team_keys,
            _ => true,
        }
    }
}

/// The level at a percentage of a budget, rounded up: below it, less than that
/// part is spent.
fn part_of(max: Usd, percent: u8) -> Level {
    let kind = if percent == ALL { AlertKind::BudgetCrossed } else { AlertKind::ThresholdCrossed };
    Level { kind, threshold: percent, spend: max.percent(percent) }
}

/// What is told: which budget, and how much of it is spent; or which model has no
/// price, on which day.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetAlert {
    /// Names the alert: the same wherever it is told.
    pub alert_id: String,
    /// What was reached.
    pub kind: AlertKind,
    /// The percentage of the budget that was reached; none for the soft budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<u8>,
    /// The kind of account.
    pub scope: Scope,
    /// Which one: the id of its object.
    pub id: String,
    /// What people call it; empty if they call it nothing else.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub label: String,
    /// What is spent in the window.
    pub spend: Usd,
    /// The budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_budget: Option<Usd>,
    /// The soft budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soft_budget: Option<Usd>,
    /// When the window began; none for a window that has always been open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window_start: Option<Timestamp>,
    /// When it ends; none for one that does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resets_at: Option<Timestamp>,
}

impl BudgetAlert {
    /// The alert of an account that reached a level in a window.
    #[must_use]
    pub fn new(account: &AccountId, budget: &Budget, window: Window, level: Level, spend: Usd) -> Self {
        Self {
            alert_id: new_uuid().to_string(),
            kind: level.kind,
            threshold: (level.threshold > 0).then_some(level.threshold),
            // A user has two accounts and is one object.
            scope: if account.scope() == Scope::UserPersonal { Scope::User } else { account.scope() },
            id: account.object_id(),
            label: String::new(),
            spend,
            max_budget: budget.max,
            soft_budget: budget.soft,
            window_start: (window.start != Timestamp::EPOCH).then_some(window.start),
            resets_at: window.end,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usd(text: &str) -> Usd {
        text.parse().expect("an amount")
    }

    fn reached(budget: (Option<&str>, Option<&str>), before: &str, after: &str) -> Vec<u8> {
        let (max, soft) = (budget.0.map(usd), budget.1.map(usd));
        let rules = AlertRules::new(vec![50, 80, 95, 100], false).expect("percentages");
        let budget = Budget::new(max, soft, None, Timestamp::EPOCH);
        let levels = rules.reached(Scope::Team, &budget, usd(before), usd(after));
        levels.into_iter().map(|level| level.threshold).collect()
    }

    #[test]
    fn a_level_is_reached_once_on_the_way_up() {
        let ten = (Some("10"), None);
        for (budget, before, after, expected) in [
            (ten, "0", "4.999999999", vec![]),
            (ten, "0", "5", vec![50]),
            (ten, "5", "7.999999999", vec![]),
            (ten, "7.999999999", "8", vec![80]),
            (ten, "0", "10", vec![50, 80, 95, 100]),
            (ten, "9.4", "12", vec![95, 100]),
            (ten, "10", "12", vec![]),
            (ten, "12", "4", vec![]),
            (ten, "5", "5", vec![]),
            ((Some("10"), Some("6")), "0", "8", vec![0, 50, 80]),
            ((None, Some("6")), "5.999999999", "6", vec![0]),
            ((None, None), "0", "1000", vec![]),
            // Nothing may be spent: that was known before.
            ((Some("0"), None), "0", "1", vec![]),
            // Parts of a nano are rounded up, so that all of them are here.
            ((Some("0.000000001"), None), "0", "0.000000001", vec![50, 80, 95, 100]),
            ((Some("0.000000003"), None), "0", "0.000000001", vec![]),
            ((Some("0.000000003"), None), "0.000000001", "0.000000002", vec![50]),
        ] {
            assert_eq!(reached(budget, before, after), expected, "{budget:?} {before} {after}");
        }
    }

    #[test]
    fn of_a_user_only_the_account_is_told_of_whose_budget_binds() {
        let budget = Budget::new(Some(usd("1")), None, None, Timestamp::EPOCH);
        for (all_keys, scope, told) in [
            (false, Scope::User, false),
            (false, Scope::UserPersonal, true),
            (true, Scope::User, true),
            (true, Scope::UserPersonal, false),
        ] {
            let rules = AlertRules::new(vec![100], all_keys).expect("percentages");
            assert_eq!(!rules.reached(scope, &budget, Usd::ZERO, usd("1")).is_empty(), told, "{all_keys} {scope:?}");
        }
    }

    #[test]
    fn thresholds_are_percentages() {
        let rules = AlertRules::new(vec![80], false).expect("percentages");
        assert_eq!(rules.thresholds, [80, 100], "a budget that is spent is always told of");
        for (thresholds, fits) in
            [(vec![], true), (vec![100, 1], true), (vec![0], false), (vec![101], false), (vec![5, 5], false)]
        {
            assert_eq!(AlertRules::new(thresholds.clone(), false).is_ok(), fits, "{thresholds:?}");
        }
    }

    #[test]
    fn an_alert_is_read_as_it_was_written() {
        let account = AccountId::user_personal(&crate::domain::ids::UserId::stored("u1"));
        let budget = Budget::new(Some(usd("2")), Some(usd("1")), "1d".parse().ok(), Timestamp::EPOCH.plus_seconds(1));
        let window = Window { start: budget.anchor, end: Some(budget.anchor.plus_seconds(60)) };
        let level = Level { kind: AlertKind::SoftBudgetCrossed, threshold: 0, spend: usd("1") };
        let alert = BudgetAlert::new(&account, &budget, window, level, usd("1.5"));
        assert_eq!((alert.scope, alert.threshold), (Scope::User, None));
        let text = serde_json::to_string(&alert).expect("text");
        assert_eq!(serde_json::from_str::<BudgetAlert>(&text).expect("an alert"), alert);
    }
}
