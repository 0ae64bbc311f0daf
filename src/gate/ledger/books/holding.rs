//! Holding: the room in the database that the reservations in memory rely on.
//! What a batch must hold, and what becomes of it when the batch is committed.

use std::collections::{BTreeMap, HashSet};

use uuid::Uuid;

use super::super::LedgerRules;
use super::super::reservation::State;
use super::Books;
use crate::domain::clock::Timestamp;
use crate::domain::money::Usd;
use crate::gate::rates::RateCounts;
use crate::store::{BalanceKey, BatchOutcome, HoldWrite};

impl Books {
    pub(in crate::gate::ledger) fn plan_holds(
        &mut self,
        tentative: &[Uuid],
        settling: &[(Uuid, &str)],
        rules: &LedgerRules,
        now: Timestamp,
    ) -> Vec<HoldWrite> {
        #[derive(Default)]
        struct Plan {
            settling: Vec<(String, Usd)>,
            limit: Option<Usd>,
            raise: bool,
            until: Timestamp,
        }
        let mut plans: BTreeMap<BalanceKey, Plan> = BTreeMap::new();
        let mut counted = HashSet::new();
        let settling = settling.iter().filter(|(id, _)| counted.insert(*id)).map(|(id, event)| (*id, Some(*event)));
        for (id, event) in settling.chain(tentative.iter().map(|id| (*id, None))) {
            let Some(reservation) = self.reservations.get(&id) else { continue };
            for line in reservation.lines.iter() {
                let Some(amount) = line.amount else { continue };
                let key = (line.account.clone(), line.window.start);
                let plan = plans.entry(key).or_insert(Plan { limit: line.limit, ..Plan::default() });
                // Some may have been made while the budget denied nothing.
                plan.limit = [plan.limit, line.limit].into_iter().flatten().min();
                if let Some(event) = event {
                    plan.settling.push((event.to_owned(), amount));
                } else {
                    plan.raise = true;
                    plan.until = plan.until.max(reservation.expires_at);
                }
            }
        }
        let until = now.plus_seconds(rules.reservation_seconds);
        let mut holds = Vec::with_capacity(plans.len());
        for (key, plan) in plans {
            let Some(window) = self.accounts.get(&key.0).and_then(|account| account.window(key.1)) else { continue };
            if plan.raise || window.holds() {
                let until = until.max(plan.until);
                let until = if window.takes_advance() { until.plus_seconds(rules.lease_seconds) } else { until };
                holds.push(window.hold_write(key, plan.settling, plan.limit, until));
            }
        }
        holds
    }

    pub(in crate::gate::ledger) fn plan_upkeep(&mut self, rules: &LedgerRules, now: Timestamp) -> Vec<HoldWrite> {
        self.expire(now);
        let soon = now.plus_seconds(rules.reservation_seconds + rules.lease_seconds / 2);
        let until = now.plus_seconds(rules.reservation_seconds + rules.lease_seconds);
        let mut holds = Vec::new();
        for key in &self.holding {
            let Some(window) = self.accounts.get_mut(&key.0).and_then(|account| account.window_mut(key.1)) else {
                continue;
            };
            if window.stale || window.tentative > Usd::ZERO {
                continue;
            }
            window.forget_old_demand(now);
            if window.runs_short(soon) {
                window.plan_renewal(now);
                holds.push(window.hold_write(key.clone(), Vec::new(), window.limit, until));
            } else if window.give_up_surplus(now) {
                holds.push(window.hold_write(key.clone(), Vec::new(), window.limit, Timestamp::EPOCH));
            }
        }
        holds
    }

    pub(in crate::gate::ledger) fn plan_return(&mut self, now: Timestamp) -> Vec<HoldWrite> {
        self.expire(now);
        let mut holds = Vec::new();
        for key in &self.holding {
            let account = self.accounts.get_mut(&key.0);
            if let Some(window) = account.and_then(|account| account.window_mut(key.1))
                && window.give_up_advance()
            {
                holds.push(window.hold_write(key.clone(), Vec::new(), window.limit, Timestamp::EPOCH));
            }
        }
        holds
    }

    pub(in crate::gate::ledger) fn apply(
        &mut self,
        outcome: &BatchOutcome,
        tentative: &[Uuid],
        settled: &[(Uuid, i64)],
        now: Timestamp,
    ) -> Vec<Uuid> {
        for (key, balance) in &outcome.balances {
            self.take_balance(key, *balance);
        }
        for (id, tokens) in settled {
            if let Some(reservation) = self.remove(*id) {
                self.for_counted_lines(&reservation, |rates, counted| {
                    rates.turn(now);
                    rates.settle(counted, *tokens);
                });
            }
        }
        for freed in &outcome.freed {
            let account = self.accounts.get_mut(&freed.key.0);
            if let Some(window) = account.and_then(|account| account.window_mut(freed.key.1)) {
                window.release_other(freed.holder, freed.amount);
            }
        }
        for (key, lease, others) in &outcome.holds {
            let account = self.accounts.get_mut(&key.0);
            if let Some(window) = account.and_then(|account| account.window_mut(key.1)) {
                window.take_lease(lease, others.clone());
            }
            if lease.held > Usd::ZERO {
                self.holding.insert(key.clone());
            } else {
                self.holding.remove(key);
            }
        }
        let mut refused = Vec::new();
        for id in tentative {
            if !self.confirm(*id) {
                refused.push(*id);
            }
        }
        refused
    }

    /// Grants a tentative reservation if room for it is held everywhere, else
    /// removes it. Says whether it may be relied on.
    fn confirm(&mut self, id: Uuid) -> bool {
        let Some(reservation) = self.reservations.get(&id).cloned() else { return false };
        if reservation.state != State::Tentative {
            return true;
        }
        let mut fits = true;
        self.for_money_windows(&reservation, |window, amount| {
            fits &= window.has_room_for_tentative(amount, reservation.expires_at);
        });
        if fits {
            self.for_money_windows(&reservation, |window, amount| {
                window.tentative = window.tentative.saturating_less(amount);
            });
            if let Some(reservation) = self.reservations.get_mut(&id) {
                reservation.state = State::Live;
            }
        } else {
            self.remove(id);
            self.for_counted_lines(&reservation, RateCounts::release);
        }
        fits
    }
}
