//! Standings: how much of each budget and rate limit is left, at one instant.

use crate::domain::account::{AccountId, Line};
use crate::domain::budget_mode::Mode;
use crate::domain::clock::Timestamp;
use crate::domain::limit::Budget;
use crate::domain::money::Usd;
use crate::domain::shared_counts::Counting;
use crate::domain::window::Window;

/// How a budget stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetStanding {
    /// Whose it is.
    pub account: AccountId,
    /// Its limits; without a maximum where it does not bind.
    pub budget: Budget,
    /// The window that is open.
    pub window: Window,
    /// What was spent in it.
    pub spent: Usd,
    /// What is set aside for calls in flight.
    pub reserved: Usd,
    /// How it is applied.
    pub mode: Mode,
    /// What the call that is asked about is thought to cost.
    pub estimate: Usd,
    /// Whether there is room for it.
    pub fits: bool,
}

impl BudgetStanding {
    /// How the budget of an account stands that spent and set aside so much.
    #[must_use]
    pub fn new(line: &Line<'_>, window: Window, spent: Usd, reserved: Usd) -> Self {
        let Line { account, budget, mode, estimate, .. } = *line;
        let fits = has_room(budget.max, spent.saturating_add(reserved), estimate);
        Self { account: account.clone(), budget: *budget, window, spent, reserved, mode, estimate, fits }
    }

    /// Whether it denies the call.
    #[must_use]
    pub const fn denies(&self) -> bool {
        !self.fits && !self.mode.shadow
    }

    /// Whether it would deny the call if it were enforced.
    #[must_use]
    pub const fn would_deny(&self) -> bool {
        !self.fits && self.mode.shadow
    }

    /// What is left; `None` is unlimited.
    #[must_use]
    pub fn remaining(&self) -> Option<Usd> {
        self.budget.max.map(|max| max.saturating_less(self.spent).saturating_less(self.reserved))
    }

    /// What is wrong, for people: whoever holds the key reads it in the end.
    #[must_use]
    pub fn in_words(&self) -> String {
        let Self { account, spent, reserved, estimate, .. } = self;
        if !account.scope().is_told_in_words() {
            return format!("the budget of {account} has no room for the call");
        }
        let max = self.budget.max.unwrap_or_default();
        let taken = spent.saturating_add(*reserved);
        let reset = self.window.end.map(|end| format!("; it resets at {end}")).unwrap_or_default();
        if taken >= max {
            return format!(
                "the budget of {account} is spent: {spent} USD spent and {reserved} reserved of {max}{reset}"
            );
        }
        let left = max.saturating_less(taken);
        format!(
            "the budget of {account} has {left} USD left of {max} ({spent} spent, {reserved} reserved), \
             less than the estimated {estimate}{reset}"
        )
    }
}

/// Whether a call of this cost fits. Without an estimate a call fits as long as
/// anything is left; an estimate may fill the rest exactly.
fn has_room(max: Option<Usd>, taken: Usd, estimate: Usd) -> bool {
    let Some(max) = max else { return true };
    taken < max && taken.checked_add(estimate).is_some_and(|needed| needed <= max)
}

/// What a rate limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RateKind {
    /// Reserved calls in flight.
    Parallel,
    /// Calls in a minute.
    Requests,
    /// Tokens in a minute.
    Tokens,
    /// Tokens in a day of UTC.
    TokensPerDay,
}

impl RateKind {
    /// Its name in explanations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Parallel => "parallel",
            Self::Requests => "requests",
            Self::Tokens => "tokens",
            Self::TokensPerDay => "tokens_per_day",
        }
    }

    const fn in_words(self) -> &'static str {
        match self {
            Self::Parallel => "calls in flight",
            Self::Requests => "calls a minute",
            Self::Tokens => "tokens a minute",
            Self::TokensPerDay => "tokens a day",
        }
    }
}

/// How a rate limit stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateStanding {
    /// Whose it is.
    pub account: AccountId,
    /// What it counts.
    pub kind: RateKind,
    /// How many are allowed.
    pub limit: i64,
    /// How many are left.
    pub remaining: i64,
    /// When the minute ends, or the day.
    pub resets_at: Option<Timestamp>,
    /// It is counted, and does not hold now.
    pub relaxed: bool,
    /// By whom it is counted. Of one that instances count together, what remains
    /// is known only once they were asked.
    pub counting: Counting,
}

impl RateStanding {
    /// Whether instances count it together.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.counting == Counting::Together && self.kind != RateKind::TokensPerDay
    }

    /// Whether it is a part of the limit, as the others can't be asked.
    #[must_use]
    pub const fn is_share(&self) -> bool {
        matches!(self.counting, Counting::Share(_)) && !matches!(self.kind, RateKind::TokensPerDay)
    }

    /// What is wrong, for people: whoever holds the key reads it in the end.
    #[must_use]
    pub fn in_words(&self) -> String {
        let Self { account, kind, limit, remaining, resets_at, .. } = self;
        if !account.scope().is_told_in_words() {
            return format!("the limit of {} of {account} is reached", kind.in_words());
        }
        let reset = resets_at.map(|at| format!("; the minute ends at {at}")).unwrap_or_default();
        format!("the limit of {limit} {} of {account} is reached, {remaining} left{reset}", kind.in_words())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::UserId;

    fn standing(max: Option<i64>, spent: i64, reserved: i64, estimate: i64, shadow: bool) -> BudgetStanding {
        let account = AccountId::user(&UserId::stored("u"));
        let budget = Budget { max: max.map(Usd::from_nanos), ..Budget::default() };
        let (mode, estimate) = (Mode { shadow, ..Mode::ENFORCED }, Usd::from_nanos(estimate));
        let line = Line { mode, estimate, ..Line::of_money(&account, &budget) };
        BudgetStanding::new(&line, Window::LIFETIME, Usd::from_nanos(spent), Usd::from_nanos(reserved))
    }

    /// The rule of every scope: at the limit is over, filling it is not.
    #[test]
    fn a_call_fits_if_something_is_left_and_its_estimate_does_not_pass_the_limit() {
        for (max, spent, reserved, estimate, fits) in [
            (None, 100, 100, 100, true),
            (Some(0), 0, 0, 0, false),
            (Some(10), 9, 0, 0, true),
            (Some(10), 10, 0, 0, false),
            (Some(10), 5, 5, 0, false),
            (Some(10), 5, 2, 3, true),
            (Some(10), 5, 2, 4, false),
            (Some(10), 11, 0, 0, false),
            (Some(i64::MAX), i64::MAX - 1, 0, i64::MAX, false),
        ] {
            let standing = |shadow| standing(max, spent, reserved, estimate, shadow);
            let (enforced, shadow) = (standing(false), standing(true));
            let found = (enforced.denies(), enforced.would_deny(), shadow.denies(), shadow.would_deny());
            assert_eq!(found, (!fits, false, false, !fits), "{max:?} {spent} {reserved} {estimate}");
        }
    }

    #[test]
    fn what_remains_is_never_negative() {
        for (max, spent, left) in [(Some(10), 8, Some(0)), (Some(10), 3, Some(2)), (None, 3, None)] {
            assert_eq!(standing(max, spent, 5, 0, false).remaining(), left.map(Usd::from_nanos));
        }
    }
}
