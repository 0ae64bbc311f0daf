//! Extending: a live reservation becomes larger, or lives longer. What is added
//! is set aside like a reservation of its own, in the same windows, and becomes a
//! part of the first one once it may be relied on; till then the first one is as
//! it was.

use std::sync::Arc;

use uuid::Uuid;

use super::super::ask::{Extending, Extension, Missing};
use super::super::reservation::{NewReservation, Reservation, ReservedLine, State};
use super::{Books, Grant, deny};
use crate::domain::account::{AccountId, Line};
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
        let Extension { reservation, id, more, until, lines } = *extension;
        let found = self.reservations.get(&reservation).filter(|found| found.state == State::Live);
        let Some(first) = found.cloned() else { return Extending::Gone };
        let holding: Vec<&ReservedLine> = first.lines.iter().filter(|line| line.amount.is_some()).collect();
        let missing = self.windows_to_read(&holding);
        if !missing.is_empty() {
            return Extending::Missing(missing);
        }
        let mut standings: Vec<BudgetStanding> =
            holding.iter().filter_map(|line| self.standing_in(line, lines, more, now)).collect();
        if let Some(failing) = standings.iter().find(|standing| standing.denies()) {
            let denial = deny(DenyReason::BudgetExceeded, &failing.account, failing.in_words());
            let failing = standings.iter().filter(|standing| standing.denies());
            let retry_at = latest(failing.map(|standing| standing.window.end));
            standings.sort_by_key(|standing| !standing.denies());
            return Extending::Denied { denial, budgets: standings, retry_at };
        }
        let until = until.max(first.expires_at);
        let mut grant = Grant::Held;
        for line in &holding {
            let account = self.accounts.get_mut(&line.account);
            let Some(window) = account.and_then(|account| account.window_mut(line.window.start)) else { continue };
            window.begin_reservation(more, until);
            if !window.covers(until) {
                window.plan_raise(limit_now(line, lines), more, now);
                grant = Grant::Tentative;
            }
        }
        let part_of = |line: &ReservedLine| ReservedLine {
            amount: Some(more),
            limit: limit_now(line, lines),
            counted: None,
            ..line.clone()
        };
        let lines = holding.into_iter().map(part_of).collect();
        let asked = NewReservation { id, request_id: id.to_string().into(), ..NewReservation::clone(&first.asked) };
        let part = Reservation {
            asked: Arc::new(asked),
            authorized_at: first.authorized_at,
            expires_at: until,
            lines,
            before: None,
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
        self.for_money_windows(&part, |window, _| window.join_reservations());
        let reservation = self.reservations.get_mut(&first)?;
        self.expiries.remove(&(reservation.expires_at, first));
        let added = |account: &AccountId| part.holds().find(|(of, _)| *of == account).map(|(_, more)| more);
        let joined = reservation.with_amounts(|line| {
            line.amount.map(|amount| amount.saturating_add(added(&line.account).unwrap_or_default()))
        });
        reservation.lines = joined.lines;
        // Another part may have come first.
        reservation.expires_at = reservation.expires_at.max(part.expires_at);
        self.expiries.insert((reservation.expires_at, first));
        Some(reservation.expires_at)
    }

    /// The windows of a reservation that may be out of date.
    fn windows_to_read(&self, holding: &[&ReservedLine]) -> Missing {
        let is_known = |line: &ReservedLine| {
            let window = self.accounts.get(&line.account).and_then(|account| account.window(line.window.start));
            window.is_some_and(|window| !window.stale)
        };
        let unknown = holding.iter().filter(|line| !is_known(line));
        Missing { windows: unknown.map(|line| (line.account.clone(), line.window)).collect(), days: Vec::new() }
    }

    /// How the budget of an account stands in the window of a reservation, by its
    /// limit as it is now.
    fn standing_in(
        &self,
        line: &ReservedLine,
        lines: &[Line<'_>],
        more: Usd,
        now: Timestamp,
    ) -> Option<BudgetStanding> {
        let window = self.accounts.get(&line.account)?.window(line.window.start)?;
        // Of one that the call would not touch any more, the limit that it had.
        let before = Budget { max: line.limit, ..Budget::NONE };
        let found = line_now(line, lines).copied();
        let now_is = Line { estimate: more, ..found.unwrap_or(Line::of_money(&line.account, &before)) };
        let standing = BudgetStanding::new(&now_is, line.window, window.balance.spent, window.all_reserved(now));
        // Of time alone there is as much as anybody wants.
        Some(BudgetStanding { fits: standing.fits || more == Usd::ZERO, ..standing })
    }
}

/// The line of an account as it is now.
fn line_now<'a>(line: &ReservedLine, lines: &'a [Line<'a>]) -> Option<&'a Line<'a>> {
    lines.iter().find(|now| *now.account == line.account)
}

fn limit_now(line: &ReservedLine, lines: &[Line<'_>]) -> Option<Usd> {
    line_now(line, lines).map_or(line.limit, Line::hard_max)
}
