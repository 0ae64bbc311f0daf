//! Loading: what must be read from the database before it is judged, and what was.

use std::collections::HashMap;

use super::super::ask::Missing;
use super::super::{LedgerRules, MissingWindow};
use super::{Books, Place};
use crate::domain::account::AccountId;
use crate::domain::clock::Timestamp;
use crate::gate::standing::BudgetStanding;
use crate::store::{Balance, BalanceKey, Lease};

/// Who reads a window, and the newest balance that was committed meanwhile.
#[derive(Default)]
pub(super) struct Loading {
    readers: u32,
    pub(super) newest: Balance,
}

impl Books {
    /// What must be read before it can be judged: of some lines their money, of
    /// all of them their rates.
    pub(super) fn missing(
        &mut self,
        with_money: &[Place<'_>],
        places: &[Place<'_>],
        rules: &LedgerRules,
        now: Timestamp,
    ) -> Missing {
        let mut missing = Missing::default();
        for Place { line, index } in with_money {
            let account = &mut self.accounts[*index];
            let window = account.current_window(line.budget, &rules.calendar, now);
            if account.window(window.start).is_none_or(|state| state.stale) {
                missing.windows.push((line.account.clone(), window));
            }
        }
        for Place { line, index } in places {
            if line.rates_bind && self.accounts[*index].rates.wants_day(line.rates, now) {
                missing.days.push(line.account.clone());
            }
        }
        missing
    }

    /// The windows that have room for a call but for what other runs held when this
    /// one last heard of it.
    pub(super) fn refused_by_others(
        &mut self,
        with_money: &[Place<'_>],
        rules: &LedgerRules,
        now: Timestamp,
    ) -> Missing {
        let mut doubtful = Missing::default();
        for Place { line, index } in with_money {
            let account = &mut self.accounts[*index];
            let window = account.current_window(line.budget, &rules.calendar, now);
            let Some(state) = account.window_mut(window.start) else { continue };
            let standing = |reserved| BudgetStanding::new(line, window, state.balance.spent, reserved);
            if standing(state.all_reserved(now)).denies()
                && !standing(state.reserved).denies()
                && state.claim_asking(now)
            {
                doubtful.windows.push((line.account.clone(), window));
            }
        }
        doubtful
    }

    pub(in crate::gate::ledger) fn take_days(&mut self, tokens: &[(AccountId, i64)], now: Timestamp) {
        for (account, tokens) in tokens {
            let index = self.index_of(account);
            self.accounts[index].rates.take_day(*tokens, now);
        }
    }

    pub(in crate::gate::ledger) fn begin_load(&mut self, missing: &[MissingWindow]) {
        for (account, window) in missing {
            self.loading.entry((account.clone(), window.start)).or_default().readers += 1;
        }
    }

    pub(in crate::gate::ledger) fn end_load(
        &mut self,
        missing: &[MissingWindow],
        balances: &HashMap<BalanceKey, Balance>,
        mut leases: HashMap<BalanceKey, Vec<Lease>>,
        now: Timestamp,
    ) {
        for (account, window) in missing {
            let key = (account.clone(), window.start);
            let read = balances.get(&key).copied().unwrap_or_default();
            let newest = self.loading.get(&key).map_or(read, |loading| loading.newest);
            let balance = if newest.revision > read.revision { newest } else { read };
            let others = leases.remove(&key).unwrap_or_default();
            let index = self.index_of(account);
            let account = &mut self.accounts[index];
            account.drop_finished(now);
            account.put_window(*window, balance, others);
        }
        self.abandon_load(missing);
    }

    pub(in crate::gate::ledger) fn abandon_load(&mut self, missing: &[MissingWindow]) {
        for (account, window) in missing {
            let key = (account.clone(), window.start);
            if let Some(loading) = self.loading.get_mut(&key) {
                loading.readers -= 1;
                if loading.readers == 0 {
                    self.loading.remove(&key);
                }
            }
        }
    }
}
