//! Reservations: money and calls set aside for one model call.

use std::sync::Arc;

use uuid::Uuid;

use super::super::rates::CountedCall;
use crate::domain::account::AccountId;
use crate::domain::clock::Timestamp;
use crate::domain::identity::KeyFacts;
use crate::domain::money::Usd;
use crate::domain::window::Window;

/// What a caller wants to reserve.
#[derive(Clone, Debug)]
pub struct NewReservation {
    /// Its id.
    pub id: Uuid,
    /// Who may settle it.
    pub caller: u64,
    /// The caller's own id for the request.
    pub request_id: Arc<str>,
    /// A hash of the request, for telling repeats from reuse.
    pub payload: u64,
    /// The key that calls.
    pub key: Arc<KeyFacts>,
    /// The model after aliases.
    pub model: Box<str>,
    /// The model that was asked for.
    pub model_group: Box<str>,
    /// The end user on whose behalf, or nothing.
    pub customer_id: Box<str>,
    /// Its providers whose budgets had no room.
    pub exhausted_providers: Box<[Box<str>]>,
}

/// What is set aside for one call.
#[derive(Clone, Debug)]
pub struct Reservation {
    /// What was asked for.
    pub asked: Arc<NewReservation>,
    /// When the call was authorised.
    pub authorized_at: Timestamp,
    /// From when on it no longer counts.
    pub expires_at: Timestamp,
    /// The accounts that the call touches.
    pub(super) lines: Arc<[ReservedLine]>,
    /// The same as they were before it began to settle, if it costs more: that is
    /// set aside meanwhile.
    pub(super) before: Option<Arc<[ReservedLine]>>,
    pub(super) state: State,
}

impl Reservation {
    /// The accounts that hold money for it, and how much.
    pub fn holds(&self) -> impl Iterator<Item = (&AccountId, Usd)> {
        self.lines.iter().filter_map(|line| Some((&line.account, line.amount?)))
    }

    /// The same reservation with other amounts.
    pub(super) fn with_amounts(&self, amount: impl Fn(&ReservedLine) -> Option<Usd>) -> Self {
        let lines = self.lines.iter().map(|line| ReservedLine { amount: amount(line), ..line.clone() }).collect();
        Self { lines, ..self.clone() }
    }
}

/// An account that a reserved call touches.
#[derive(Clone, Debug)]
pub(super) struct ReservedLine {
    pub(super) account: AccountId,
    /// The window in which it was authorised, where its cost belongs.
    pub(super) window: Window,
    /// What is set aside here, if anything is; and the limit that it must keep.
    pub(super) amount: Option<Usd>,
    pub(super) limit: Option<Usd>,
    /// What the call was counted as, where its rates bind.
    pub(super) counted: Option<CountedCall>,
}

/// How far a reservation has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It waits for the batcher to hold room for it.
    Tentative,
    /// It was granted.
    Live,
    /// Its cost is on the way to the database.
    Settling,
}

impl State {
    /// Whether the cost is on the way to the database.
    pub(super) const fn is_settling(self) -> bool {
        matches!(self, Self::Settling)
    }
}
