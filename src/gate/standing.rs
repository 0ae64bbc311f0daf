//! Standings: how much of each budget and rate limit is left, at one instant.

use crate::domain::account::AccountId;
use crate::domain::clock::Timestamp;
use crate::domain::limit::Budget;
use crate::domain::money::Usd;
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
}

impl BudgetStanding {
    /// What is left; `None` is unlimited.
    #[must_use]
    pub fn remaining(&self) -> Option<Usd> {
        self.budget.max.map(|max| max.saturating_less(self.spent).saturating_less(self.reserved))
    }

    /// Whether a call of this cost fits. Without an estimate a call fits as
    /// long as anything is left; an estimate may fill the rest exactly.
    #[must_use]
    pub fn fits(&self, estimate: Usd) -> bool {
        let Some(max) = self.budget.max else { return true };
        let taken = self.spent.saturating_add(self.reserved);
        taken < max && taken.checked_add(estimate).is_some_and(|needed| needed <= max)
    }

    /// What is wrong, for people.
    #[must_use]
    pub fn in_words(&self, estimate: Usd) -> String {
        let Self { account, spent, reserved, .. } = self;
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

/// What a rate limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RateKind {
    /// Reserved calls in flight.
    Parallel,
    /// Calls in a minute.
    Requests,
    /// Tokens in a minute.
    Tokens,
}

impl RateKind {
    /// Its name in explanations.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Parallel => "parallel",
            Self::Requests => "requests",
            Self::Tokens => "tokens",
        }
    }

    const fn in_words(self) -> &'static str {
        match self {
            Self::Parallel => "calls in flight",
            Self::Requests => "calls a minute",
            Self::Tokens => "tokens a minute",
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
    /// When the minute ends.
    pub resets_at: Option<Timestamp>,
}

impl RateStanding {
    /// What is wrong, for people.
    #[must_use]
    pub fn in_words(&self) -> String {
        let Self { account, kind, limit, remaining, resets_at } = self;
        let reset = resets_at.map(|at| format!("; the minute ends at {at}")).unwrap_or_default();
        format!("the limit of {limit} {} of {account} is reached, {remaining} left{reset}", kind.in_words())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::UserId;

    fn standing(max: Option<i64>, spent: i64, reserved: i64) -> BudgetStanding {
        BudgetStanding {
            account: AccountId::user(&UserId::stored("u")),
            budget: Budget { max: max.map(Usd::from_nanos), ..Budget::default() },
            window: Window::LIFETIME,
            spent: Usd::from_nanos(spent),
            reserved: Usd::from_nanos(reserved),
        }
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
            let standing = standing(max, spent, reserved);
            assert_eq!(standing.fits(Usd::from_nanos(estimate)), fits, "{max:?} {spent} {reserved} {estimate}");
        }
    }

    #[test]
    fn what_remains_is_never_negative() {
        assert_eq!(standing(Some(10), 8, 5).remaining(), Some(Usd::ZERO));
        assert_eq!(standing(Some(10), 3, 5).remaining(), Some(Usd::from_nanos(2)));
        assert_eq!(standing(None, 3, 5).remaining(), None);
    }
}
