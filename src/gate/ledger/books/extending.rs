//! Extending: a live reservation becomes larger, or lives longer. What is added
//! is set aside like a reservation of its own, in the same windows, and becomes a
//! part of the first one once it may be relied on; till then the first one is as
//! it was.

use std::sync::Arc;

use uuid::Uuid;

use super::super::ask::{Extending, Extension};
use super::super::reservation::{NewReservation, Reservation, ReservedLine, State};
use super::{Books, Grant, deny};
use crate::domain::account::AccountId;
use crate::domain::clock::Timestamp;
use crate::domain::decision::DenyReason;
use crate::domain::limit::Budget;
use crate::domain::money::Usd;
use crate::gate::exhausted::latest;
use crate::gate::standing::BudgetStanding;

impl Books {
    /// What a live reservation was asked for.
    pub(in crate::gate::ledger) fn asked(&mut self, id: Uuid, now: Timestamp) -> Option<Arc<NewReservation>> {
        self.expire(now);
        let reservation = self.reservations.get(&id).filter(|reservation| reservation.state == State::Live);
        reservation.map(|reservation| Arc::clone(&reservation.asked))
    }

    pub(in crate::gate::ledger) fn extend(&mut self, extension: &Extension<'_>, now: Timestamp) -> Extending {
        self.expire(now);
        let Extension { reservation, id, more, until, budgets } = *extension;
        let found = self.reservations.get(&reservation).filter(|found| found.state == State::Live);
        let Some(first) = found.cloned() else { return Extending::Gone };
        let holding: Vec<&ReservedLine> = first.lines.iter().filter(|line| line.holds_money).collect();
        let mut standings: Vec<BudgetStanding> =
            holding.iter().filter_map(|line| self.standing_in(line, budgets, now)).collect();
        // Of time alone there is as much as anybody wants.
        let fits = |standing: &BudgetStanding| more == Usd::ZERO || standing.fits(more);
        if let Some(failing) = standings.iter().find(|standing| !fits(standing)) {
            let denial = deny(DenyReason::BudgetExceeded, &failing.account, failing.in_words(more));
            let failing = standings.iter().filter(|standing| !fits(standing));
            let retry_at = latest(failing.map(|standing| standing.window.end));
            standings.sort_by_key(fits);
            return Extending::Denied { denial, budgets: standings, retry_at };
        }
        let until = until.max(first.expires_at);
        let mut grant = Grant::Held;
        for line in &holding {
            let account = self.accounts.get_mut(&line.account);
            let Some(window) = account.and_then(|account| account.window_mut(line.window.start)) else { continue };
            window.reserved = window.reserved.saturating_add(more);
            if !window.covers(until) {
                window.plan_raise(line.limit, more, now);
                grant = Grant::Tentative;
            }
        }
        let lines = holding.into_iter().map(|line| ReservedLine { counted: None, ..line.clone() }).collect();
        let asked = NewReservation { id, request_id: id.to_string().into(), ..NewReservation::clone(&first.asked) };
        let part = Reservation {
            asked: Arc::new(asked),
            amount: more,
            authorized_at: first.authorized_at,
            expires_at: until,
            lines,
            state: if grant == Grant::Held { State::Live } else { State::Tentative },
        };
        if grant == Grant::Tentative {
            self.for_money_windows(&part, |window, more| window.tentative = window.tentative.saturating_add(more));
        }
        self.by_request.insert((part.asked.caller, part.asked.request_id.clone()), id);
        self.expiries.insert((until, id));
        self.reservations.insert(id, part);
        Extending::Added(grant)
    }

    /// Makes what was added a part of its reservation; returns when that expires.
    /// If it is no longer live, what was added is freed.
    pub(in crate::gate::ledger) fn join(&mut self, first: Uuid, part: Uuid, now: Timestamp) -> Option<Timestamp> {
        self.expire(now);
        let is_live = self.reservations.get(&first).is_some_and(|first| first.state == State::Live);
        if !is_live {
            self.remove(part);
            return None;
        }
        let part = self.reservations.remove(&part)?;
        self.expiries.remove(&(part.expires_at, part.asked.id));
        self.by_request.remove(&(part.asked.caller, part.asked.request_id.clone()));
        let reservation = self.reservations.get_mut(&first)?;
        self.expiries.remove(&(reservation.expires_at, first));
        reservation.amount = reservation.amount.saturating_add(part.amount);
        reservation.expires_at = part.expires_at;
        self.expiries.insert((part.expires_at, first));
        Some(part.expires_at)
    }

    /// How the budget of an account stands in the window of a reservation, by its
    /// limit as it is now.
    fn standing_in(
        &self,
        line: &ReservedLine,
        budgets: &[(&AccountId, &Budget)],
        now: Timestamp,
    ) -> Option<BudgetStanding> {
        let window = self.accounts.get(&line.account)?.window(line.window.start)?;
        let budget = budgets.iter().find(|(account, _)| **account == line.account).map(|(_, budget)| **budget);
        Some(BudgetStanding {
            account: line.account.clone(),
            budget: budget.unwrap_or(Budget { max: line.limit, ..Budget::default() }),
            window: line.window,
            spent: window.balance.spent,
            reserved: window.all_reserved(now),
        })
    }
}
