//! Exhausted providers: those of a model whose budgets have no room for a call.

use super::standing::BudgetStanding;
use crate::domain::account::Scope;
use crate::domain::clock::Timestamp;

/// The providers that a call can't go to.
#[derive(Default)]
pub(super) struct Exhausted {
    names: Vec<Box<str>>,
    standings: Vec<BudgetStanding>,
}

impl Exhausted {
    /// Adds one.
    pub(super) fn add(&mut self, full: BudgetStanding) {
        self.names.push(full.account.name().into());
        self.standings.push(full);
    }

    /// Their names.
    pub(super) fn names(&self) -> Box<[Box<str>]> {
        self.names.as_slice().into()
    }

    /// Puts them behind the budget that denied the call: all of them have no
    /// room. If that is the budget of the last provider, it is one of them.
    pub(super) fn show(&mut self, budgets: &mut Vec<BudgetStanding>, last_too: bool) {
        let denied_by = budgets.len().min(1);
        budgets.splice(denied_by..denied_by, self.standings.drain(..));
        if last_too && let Some(last) = budgets.first() {
            self.names.push(last.account.name().into());
        }
    }

    /// When it may be worth asking again a call that no provider has room for:
    /// once any of them may have, and every other budget that has none.
    pub(super) fn retry_at(&self, budgets: &[BudgetStanding]) -> Option<Timestamp> {
        let failing = budgets.iter().filter(|standing| standing.denies());
        let (last, others): (Vec<_>, Vec<_>) =
            failing.partition(|standing| standing.account.scope() == Scope::Provider);
        let soonest = self.standings.iter().chain(last).filter_map(|standing| standing.window.end).min();
        latest(std::iter::once(soonest).chain(others.into_iter().map(|standing| standing.window.end)))
    }
}

/// The last of some instants; `None` if one of them never comes.
pub(super) fn latest(ends: impl Iterator<Item = Option<Timestamp>>) -> Option<Timestamp> {
    ends.collect::<Option<Vec<Timestamp>>>()?.into_iter().max()
}
