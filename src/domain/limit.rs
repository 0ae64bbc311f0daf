//! Limits: how much money and how many calls an account allows.

use std::collections::{BTreeMap, BTreeSet};

use chrono_tz::Tz;
use serde::{Deserialize, Serialize};
use strum::EnumString;

use super::clock::Timestamp;
use super::fault::{Refusal, Violation};
use super::money::Usd;
use super::patch::Patch;
use super::reason::Reason;
use super::window::{self, Calendar, Length, Window};

/// A limit on the money of an account, and the windows in which it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// What may be spent in a window; `None` is unlimited.
    #[serde(rename = "max_budget")]
    pub max: Option<Usd>,
    /// From where on the budget shows as nearly spent.
    #[serde(rename = "soft_budget")]
    pub soft: Option<Usd>,
    /// How long a window is; `None` is for life.
    #[serde(rename = "budget_duration")]
    pub duration: Option<Length>,
    /// When the duration was set: the start of the first window.
    /// [`Timestamp::EPOCH`] for an account that never had a duration, whose
    /// one window is its whole life.
    #[serde(rename = "budget_anchor_at")]
    pub anchor: Timestamp,
    /// The time zone of its windows; `None` is that of the setting.
    #[serde(rename = "time_zone", default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<Tz>,
}

impl Default for Budget {
    fn default() -> Self {
        Self::NONE
    }
}

impl Budget {
    /// No limit, and one window for life.
    pub const NONE: Self = Self { max: None, soft: None, duration: None, anchor: Timestamp::EPOCH, zone: None };

    /// The budget of a new account.
    #[must_use]
    pub fn new(max: Option<Usd>, soft: Option<Usd>, duration: Option<Length>, now: Timestamp) -> Self {
        let anchor = if duration.is_some() { now } else { Timestamp::EPOCH };
        Self { max, soft, duration, anchor, zone: None }
    }

    /// The window that is open at an instant.
    #[must_use]
    pub fn window(&self, calendar: &Calendar, now: Timestamp) -> Window {
        let calendar = Calendar { zone: self.zone.unwrap_or(calendar.zone), ..*calendar };
        window::current(self.duration, self.anchor, &calendar, now)
    }

    /// Whether there is a budget, hard or soft.
    #[must_use]
    pub const fn limits_money(&self) -> bool {
        self.max.is_some() || self.soft.is_some()
    }

    /// Whether it limits anything, and has this window.
    #[must_use]
    pub fn has_window(&self, window: &Window, calendar: &Calendar) -> bool {
        self.limits_money() && self.window(calendar, window.start).start == window.start
    }

    /// Changes the duration. A different one starts a new window now, at zero;
    /// the same one changes nothing; none leaves the current window open for
    /// ever, with its spend.
    pub fn set_duration(&mut self, patch: Patch<Length>, calendar: &Calendar, now: Timestamp) {
        match patch {
            Patch::Set(length) if self.duration != Some(length) => {
                self.duration = Some(length);
                self.anchor = now;
            }
            Patch::Clear if self.duration.is_some() => {
                self.anchor = self.window(calendar, now).start;
                self.duration = None;
            }
            _ => {}
        }
    }

    /// Changes the time zone of the windows, if there are any. A different one
    /// starts a new window now, at zero.
    pub fn set_zone(&mut self, zone: Option<Tz>, now: Timestamp) {
        if self.zone != zone && self.duration.is_some() {
            self.anchor = now;
        }
        self.zone = zone;
    }

    /// Whether the soft budget lies below the hard one, as it must.
    #[must_use]
    pub fn soft_is_below_max(&self) -> bool {
        match (self.soft, self.max) {
            (Some(soft), Some(max)) => soft < max,
            _ => true,
        }
    }

    /// Reports a soft budget that is not below the hard one in a request that
    /// holds both.
    pub fn check_new(&self, prefix: &str, violations: &mut Vec<Violation>) {
        if !self.soft_is_below_max() {
            let field = format!("{prefix}soft_budget");
            violations.push(Violation::named(field, Reason::SoftBudgetNotBelowMax, self.soft_rule()));
        }
    }

    /// Reports a soft budget that is not below the hard one after an update of
    /// one of the two.
    ///
    /// # Errors
    /// A precondition, because the other value is a stored one.
    pub fn check_updated(&self) -> Result<(), Refusal> {
        if self.soft_is_below_max() {
            return Ok(());
        }
        let message = format!("soft_budget {}", self.soft_rule());
        let refusal = Refusal::precondition(Reason::SoftBudgetNotBelowMax, message);
        Err(refusal.with("soft_budget", self.soft.unwrap_or_default()).with("max_budget", self.max.unwrap_or_default()))
    }

    fn soft_rule(&self) -> String {
        let (soft, max) = (self.soft.unwrap_or_default(), self.max.unwrap_or_default());
        format!("must be below max_budget: {soft} is not below {max}")
    }
}

/// Limits on the calls of an account. `None` is unlimited, 0 is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rates {
    /// Tokens a minute.
    #[serde(rename = "tpm_limit")]
    pub tpm: Option<i64>,
    /// Calls a minute.
    #[serde(rename = "rpm_limit")]
    pub rpm: Option<i64>,
    /// Reserved calls in flight.
    #[serde(rename = "max_parallel_requests")]
    pub parallel: Option<i64>,
    /// Tokens a day of UTC: of keys and teams.
    #[serde(rename = "tpd_limit", default, skip_serializing_if = "Option::is_none")]
    pub tpd: Option<i64>,
}

impl Rates {
    /// No limits: members of organizations, and what calls of all keys share,
    /// have none.
    pub const NONE: Self = Self { tpm: None, rpm: None, parallel: None, tpd: None };

    /// Whether nothing is limited.
    #[must_use]
    pub const fn is_unlimited(&self) -> bool {
        self.tpm.is_none() && self.rpm.is_none() && self.parallel.is_none() && self.tpd.is_none()
    }
}

/// Which limits on calls hold only while the model that is called has trouble.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dynamic {
    /// Tokens a minute.
    pub tokens: bool,
    /// Calls a minute.
    pub requests: bool,
}

impl Dynamic {
    /// None of them: all hold.
    pub const NONE: Self = Self { tokens: false, requests: false };
}

/// Which tokens of a call rate limits count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum CountedTokens {
    /// Those of the prompt and of the answer.
    #[default]
    Total,
    /// Those of the prompt.
    Input,
    /// Those of the answer.
    Output,
}

impl CountedTokens {
    /// So many count of a call.
    #[must_use]
    pub const fn of(self, input: i64, output: i64) -> i64 {
        match self {
            Self::Total => input.saturating_add(output),
            Self::Input => input,
            Self::Output => output,
        }
    }
}

/// Limits on the calls of an account by model.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelRates {
    /// Tokens a minute.
    #[serde(rename = "model_tpm_limit")]
    pub tpm: BTreeMap<String, i64>,
    /// Calls a minute.
    #[serde(rename = "model_rpm_limit")]
    pub rpm: BTreeMap<String, i64>,
}

impl ModelRates {
    /// The models that have limits, in order.
    pub fn models(&self) -> impl Iterator<Item = &str> {
        let names: BTreeSet<&str> = self.tpm.keys().chain(self.rpm.keys()).map(String::as_str).collect();
        names.into_iter()
    }

    /// The limits of a model.
    #[must_use]
    pub fn of(&self, model: &str) -> Rates {
        Rates { tpm: self.tpm.get(model).copied(), rpm: self.rpm.get(model).copied(), ..Rates::NONE }
    }
}

/// Whether a limit is looser than another: absent is the loosest.
pub fn is_raised<T: PartialOrd>(before: Option<&T>, after: Option<&T>) -> bool {
    match (before, after) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(before), Some(after)) => after > before,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_736_937_015_000_000);

    fn day() -> Length {
        "1d".parse().expect("a length")
    }

    #[test]
    fn a_new_duration_starts_a_new_window_now() {
        let mut budget = Budget::default();
        assert_eq!(budget.window(&Calendar::UTC, NOW), Window::LIFETIME);
        budget.set_duration(Patch::Set(day()), &Calendar::UTC, NOW);
        assert_eq!(budget.window(&Calendar::UTC, NOW).start, NOW);
    }

    #[test]
    fn a_budget_knows_its_own_windows() {
        let daily = Budget::new(Some(Usd::ZERO), None, Some(day()), NOW);
        let later = daily.window(&Calendar::UTC, NOW.plus_seconds(5 * 86_400));
        for (budget, window, expected) in [
            (daily, daily.window(&Calendar::UTC, NOW), true),
            (daily, later, true),
            (daily, Window::LIFETIME, false),
            (Budget::new(Some(Usd::ZERO), None, None, NOW), Window::LIFETIME, true),
            (Budget { anchor: later.start, duration: None, ..daily }, later, true),
            (Budget { max: None, ..daily }, later, false),
        ] {
            assert_eq!(budget.has_window(&window, &Calendar::UTC), expected, "{budget:?} {window:?}");
        }
    }

    #[test]
    fn the_same_duration_changes_nothing() {
        let mut budget = Budget::new(None, None, Some(day()), NOW);
        let before = budget;
        budget.set_duration(Patch::Set(day()), &Calendar::UTC, NOW.plus_seconds(60));
        assert_eq!(budget, before);
    }

    #[test]
    fn a_cleared_duration_keeps_the_window_and_its_spend() {
        let mut budget = Budget::new(None, None, Some(day()), NOW);
        let later = NOW.plus_seconds(3 * 86_400);
        let window = budget.window(&Calendar::UTC, later);
        budget.set_duration(Patch::Clear, &Calendar::UTC, later);
        assert_eq!(budget.window(&Calendar::UTC, later), Window { end: None, ..window });
        let lifelong = Budget::default();
        let mut cleared = lifelong;
        cleared.set_duration(Patch::Clear, &Calendar::UTC, later);
        assert_eq!(cleared, lifelong, "there was nothing to clear");
    }

    #[test]
    fn soft_must_be_below_max() {
        let usd = |nanos| Some(Usd::from_nanos(nanos));
        for (soft, max, fits) in [
            (None, None, true),
            (usd(5), None, true),
            (None, usd(0), true),
            (usd(4), usd(5), true),
            (usd(5), usd(5), false),
            (usd(6), usd(5), false),
        ] {
            assert_eq!(Budget::new(max, soft, None, NOW).soft_is_below_max(), fits, "{soft:?} {max:?}");
        }
    }

    #[test]
    fn no_limit_is_the_loosest_limit() {
        assert!(is_raised(Some(&1), None) && is_raised(Some(&1), Some(&2)));
        assert!(!is_raised(None, Some(&1)) && !is_raised(Some(&2), Some(&1)) && !is_raised(Some(&1), Some(&1)));
    }
}
