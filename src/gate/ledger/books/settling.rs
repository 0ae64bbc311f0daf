//! Settling and releasing: how reservations end that are in memory.

use std::sync::Arc;

use uuid::Uuid;

use super::super::ask::Settling;
use super::super::reservation::{Reservation, State};
use super::Books;
use crate::domain::clock::Timestamp;
use crate::domain::identity::KeyFacts;
use crate::domain::money::Usd;

impl Books {
    /// The key of a reservation that is in memory.
    pub(in crate::gate::ledger) fn key_of(&mut self, id: Uuid, now: Timestamp) -> Option<Arc<KeyFacts>> {
        self.expire(now);
        self.reservations.get(&id).map(|reservation| Arc::clone(&reservation.asked.key))
    }

    pub(in crate::gate::ledger) fn begin_settle(&mut self, id: Uuid, cost: Usd, now: Timestamp) -> Settling {
        self.expire(now);
        let Some(reservation) = self.reservations.get_mut(&id) else { return Settling::Gone };
        let more = cost.saturating_less(reservation.amount);
        let before = if let State::Settling(before) = reservation.state { before } else { Usd::ZERO };
        reservation.state = State::Settling(before.saturating_add(more));
        let key = Arc::clone(&reservation.asked.key);
        let windows = reservation.lines.iter().map(|line| (line.account.clone(), line.window)).collect();
        if more > Usd::ZERO {
            // Until it is committed, the real cost must already keep others out.
            let part = Reservation { amount: more, ..reservation.clone() };
            reservation.amount = cost;
            self.for_money_windows(&part, |window, more| window.reserved = window.reserved.saturating_add(more));
        }
        Settling::Live { key, windows }
    }

    pub(in crate::gate::ledger) fn abort_settle(&mut self, id: Uuid) {
        let Some(reservation) = self.reservations.get_mut(&id) else { return };
        let State::Settling(more) = reservation.state else { return };
        let part = Reservation { amount: more, ..reservation.clone() };
        reservation.state = State::Live;
        reservation.amount = reservation.amount.saturating_less(more);
        self.expiries.insert((reservation.expires_at, id));
        self.for_money_windows(&part, |window, more| window.reserved = window.reserved.saturating_less(more));
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
}
