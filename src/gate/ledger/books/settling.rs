//! Settling and releasing: how reservations end that are in memory.

use std::sync::Arc;

use uuid::Uuid;

use super::super::account::WindowState;
use super::super::ask::Settling;
use super::super::reservation::State;
use super::Books;
use crate::domain::clock::Timestamp;
use crate::domain::identity::KeyFacts;
use crate::domain::money::Usd;
use crate::store::Closing;

impl Books {
    /// The key of a reservation that is in memory.
    pub(in crate::gate::ledger) fn key_of(&mut self, id: Uuid, now: Timestamp) -> Option<Arc<KeyFacts>> {
        self.expire(now);
        self.reservations.get(&id).map(|reservation| Arc::clone(&reservation.asked.key))
    }

    pub(in crate::gate::ledger) fn begin_settle(&mut self, id: Uuid, cost: Usd, now: Timestamp) -> Settling {
        self.expire(now);
        let Some(reservation) = self.reservations.get_mut(&id) else { return Settling::Gone };
        reservation.state = State::Settling;
        let key = Arc::clone(&reservation.asked.key);
        let first = reservation.before.as_ref().unwrap_or(&reservation.lines);
        let held = first.iter().filter_map(|line| line.amount).min();
        let windows = reservation.lines.iter().map(|line| (line.account.clone(), line.window)).collect();
        if reservation.lines.iter().any(|line| line.amount.is_some_and(|amount| amount < cost)) {
            // Until it is committed, the real cost must already keep others out.
            let raised = reservation.with_amounts(|line| line.amount.map(|amount| amount.max(cost)));
            let more = reservation.with_amounts(|line| line.amount.map(|amount| cost.saturating_less(amount)));
            reservation.before.get_or_insert(std::mem::replace(&mut reservation.lines, raised.lines));
            self.for_money_windows(&more, |window, more| window.reserved = window.reserved.saturating_add(more));
        }
        Settling::Live { key, held, windows }
    }

    pub(in crate::gate::ledger) fn abort_settle(&mut self, id: Uuid) {
        let Some(reservation) = self.reservations.get_mut(&id) else { return };
        if !reservation.state.is_settling() {
            return;
        }
        reservation.state = State::Live;
        let raised = reservation.clone();
        if let Some(before) = reservation.before.take() {
            reservation.lines = before;
        }
        let before = reservation.clone();
        self.expiries.insert((before.expires_at, id));
        self.for_money_windows(&raised, |window, amount| window.reserved = window.reserved.saturating_less(amount));
        self.for_money_windows(&before, |window, amount| window.reserved = window.reserved.saturating_add(amount));
    }

    pub(in crate::gate::ledger) fn release(&mut self, id: Uuid, now: Timestamp) -> bool {
        self.expire(now);
        // What is being settled is not released: it was made.
        if self.reservations.get(&id).is_none_or(|reservation| reservation.state.is_settling()) {
            return false;
        }
        let Some(reservation) = self.remove(id) else { return false };
        self.for_counted_lines(&reservation, |rates, counted| {
            rates.turn(now);
            rates.release(counted);
        });
        true
    }

    pub(in crate::gate::ledger) fn hear(&mut self, closings: &[Closing], now: Timestamp) {
        self.expire(now);
        for Closing { reservation: id, tokens } in closings {
            // What is being settled here, too, ends when that is decided.
            if self.reservations.get(id).is_none_or(|reservation| reservation.state != State::Live) {
                continue;
            }
            let Some(reservation) = self.remove(*id) else { continue };
            self.for_money_windows(&reservation, WindowState::moved_elsewhere);
            self.for_counted_lines(&reservation, |rates, counted| {
                rates.turn(now);
                match tokens {
                    Some(tokens) => rates.settle(counted, *tokens),
                    None => rates.release(counted),
                }
            });
        }
    }
}
