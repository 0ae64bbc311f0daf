//! Batches: what is written together, by kind, and the rows that come of it.

use std::collections::HashMap;

use uuid::Uuid;

use super::{Asker, Booking, Item, Waiting};
use crate::domain::clock::Timestamp;
use crate::domain::limit::Budget;
use crate::domain::usage::{Event, Posting};
use crate::domain::window::Calendar;
use crate::store::{ClosedReservation, Closing, Counted, EventRows, LedgerBatch};

/// The items of a batch by kind.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) bookings: Vec<Waiting>,
    /// The bookings that stand for themselves, by their ids.
    pub(super) firsts: HashMap<String, usize>,
    /// The rows of those.
    pub(super) rows: Option<EventRows>,
    pub(super) holds: Vec<(Uuid, Asker)>,
    pub(super) closes: Vec<(Box<ClosedReservation>, Asker)>,
    /// What became of reservations of this run elsewhere.
    pub(super) heard: Vec<Closing>,
    pub(super) upkeep: bool,
    pub(super) stop: bool,
    /// The last batch: what is held and not needed is given back.
    pub(super) last: bool,
}

impl Batch {
    pub(super) fn of(items: &mut Vec<Item>) -> Self {
        let mut batch = Self::default();
        for item in items.drain(..) {
            match item {
                Item::Book(booking, answer) => batch.bookings.push((booking, answer)),
                Item::Hold(reservation, answer) => batch.holds.push((reservation, answer)),
                Item::Close(closed, answer) => batch.closes.push((closed, answer)),
                Item::Hear(closings) => {
                    batch.heard.extend(closings);
                    batch.upkeep = true;
                }
                Item::Upkeep => batch.upkeep = true,
                Item::Stop => batch.stop = true,
            }
        }
        batch
    }

    /// Works out the postings of each event and its row; and which events stand
    /// for themselves: a repeat within the batch follows the first of its id.
    pub(super) fn prepare(mut self, calendar: &Calendar, now: Timestamp) -> Self {
        for (index, (booking, _)) in self.bookings.iter_mut().enumerate() {
            booking.event.recorded_at = now;
            let Booking { event, accounts, windows, .. } = booking.as_mut();
            event.postings = accounts
                .iter_mut()
                .map(|(account, budget)| {
                    let reserved = windows.iter().find(|(reserved, _)| reserved == account).map(|(_, window)| *window);
                    let window = reserved.unwrap_or_else(|| budget.window(calendar, now));
                    if reserved.is_some() && !budget.has_window(&window, calendar) {
                        // The budget has other windows by now: it says nothing of this one.
                        *budget = Budget::NONE;
                    }
                    if reserved.is_none() {
                        windows.push((account.clone(), window));
                    }
                    Posting { account: account.clone(), window_start: window.start }
                })
                .collect();
            self.firsts.entry(event.usage.request_id.clone()).or_insert(index);
        }
        // If a value can't be stored, writing will tell.
        let events: Vec<&Event> = self.first_bookings().map(|booking| &booking.event).collect();
        self.rows = EventRows::new(&events).ok();
        self
    }

    /// The bookings that stand for themselves.
    pub(super) fn first_bookings(&self) -> impl Iterator<Item = &Booking> {
        let bookings = self.bookings.iter().enumerate();
        let firsts = bookings.filter(|(index, (booking, _))| {
            let id = &booking.event.usage.request_id;
            self.firsts.get(id) == Some(index)
        });
        firsts.map(|(_, (booking, _))| booking.as_ref())
    }

    /// What is written for its bookings.
    pub(super) fn assemble(&self) -> LedgerBatch<'_> {
        let mut batch = LedgerBatch::default();
        for booking in self.first_bookings() {
            for (account, window) in &booking.windows {
                // Only of accounts that the event moves: others it was held in.
                if let Some((_, budget)) = booking.accounts.iter().find(|(of, _)| of == account) {
                    let counted = Counted { window: *window, budget: *budget };
                    let known = batch.windows.entry((account.clone(), window.start)).or_insert(counted);
                    if budget.limits_money() {
                        known.budget = *budget;
                    }
                }
            }
            let id = || Some(booking.event.usage.request_id.clone());
            batch.closed.extend(booking.closes.iter().map(|closed| (id(), closed.clone())));
            batch.new_customers.extend(booking.introduces.then_some(booking.event.usage.customer_id.as_str()));
            batch.events.push(&booking.event);
        }
        batch
    }
}
