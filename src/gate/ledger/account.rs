//! One account in memory: its windows and its rates.

use crate::domain::clock::Timestamp;
use crate::domain::limit::Budget;
use crate::domain::money::Usd;
use crate::domain::window::{Calendar, Window};
use crate::gate::rates::RateCounts;
use crate::store::{Balance, HoldWrite, Lease};

/// Within how many seconds a second need for more room is taken as demand.
const DEMAND_SECONDS: i64 = 10;

/// For how long a call is refused by what others held when they were last asked.
const OTHERS_MICROS: i64 = 250_000;

/// The largest share of what is left that is held in advance.
const ADVANCE_SHARE: u32 = 4;

/// An account in memory.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// The windows that are open or still have calls in flight; the one asked
    /// for last comes first.
    windows: Vec<WindowState>,
    pub(super) rates: RateCounts,
    pub(super) last_used_at: Timestamp,
    /// The window found last, and what it was found for.
    current: Option<(Budget, Window)>,
}

/// One window of an account.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct WindowState {
    pub(super) window: Window,
    /// What is committed.
    pub(super) balance: Balance,
    /// Whether the committed numbers may be out of date and must be read again.
    pub(super) stale: bool,
    /// What reservations set aside, tentative ones included.
    pub(super) reserved: Usd,
    /// What tentative reservations set aside.
    pub(super) tentative: Usd,
    /// How many reservations there are, those of nothing included.
    reservations: u32,
    /// When the last of them expires, or one that was there before.
    reserved_until: Timestamp,
    /// The limit that was last asked about.
    pub(super) limit: Option<Usd>,
    /// What this run holds in the database.
    held: Usd,
    held_until: Timestamp,
    /// Whether the database holds more for it, which is to be given back.
    holds_too_much: bool,
    /// What other runs hold.
    pub(super) others: Vec<Lease>,
    /// When it was last asked what they hold, as a call was refused by it.
    others_asked_at: Timestamp,
    demand: Demand,
}

/// How much room is taken in advance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Demand {
    last_raise_at: Timestamp,
    advance: Usd,
}

impl Account {
    /// The window that is open now. Worked out anew only when the budget or
    /// the window has changed.
    pub(super) fn current_window(&mut self, budget: &Budget, calendar: &Calendar, now: Timestamp) -> Window {
        if let Some((known, window)) = &self.current
            && (known.duration, known.anchor, known.zone) == (budget.duration, budget.anchor, budget.zone)
            && window.contains(now)
        {
            return *window;
        }
        let window = budget.window(calendar, now);
        self.current = Some((*budget, window));
        window
    }

    pub(super) fn window(&self, start: Timestamp) -> Option<&WindowState> {
        self.windows.iter().find(|state| state.window.start == start)
    }

    pub(super) fn window_mut(&mut self, start: Timestamp) -> Option<&mut WindowState> {
        self.windows.iter_mut().find(|state| state.window.start == start)
    }

    pub(super) fn window_starts(&self) -> impl Iterator<Item = Timestamp> {
        self.windows.iter().map(|state| state.window.start)
    }

    /// Takes over what was read of a window.
    pub(super) fn put_window(&mut self, window: Window, balance: Balance, others: Vec<Lease>) {
        match self.window_mut(window.start) {
            Some(state) => state.read_again(balance, others),
            None => self.windows.insert(0, WindowState::new(window, balance, others)),
        }
    }

    /// What was spent may not be what is committed: it must be read again.
    pub(super) fn read_again(&mut self) {
        self.windows.iter_mut().for_each(|state| state.stale = true);
    }

    pub(super) fn for_windows(&mut self, act: impl FnMut(&mut WindowState)) {
        self.windows.iter_mut().for_each(act);
    }

    /// Drops windows that are over and have nothing in flight.
    pub(super) fn drop_finished(&mut self, now: Timestamp) {
        self.windows.retain(|state| state.window.contains(now) || state.reservations > 0);
    }

    /// Whether nothing would be lost by forgetting it.
    pub(super) fn is_idle(&self, now: Timestamp) -> bool {
        self.rates.is_idle(now) && self.windows.iter().all(|state| state.reservations == 0)
    }
}

impl WindowState {
    pub(super) fn new(window: Window, balance: Balance, others: Vec<Lease>) -> Self {
        Self {
            window,
            balance,
            stale: false,
            reserved: Usd::ZERO,
            tentative: Usd::ZERO,
            reservations: 0,
            reserved_until: Timestamp::EPOCH,
            limit: None,
            held: Usd::ZERO,
            held_until: Timestamp::EPOCH,
            holds_too_much: false,
            others,
            others_asked_at: Timestamp::EPOCH,
            demand: Demand::default(),
        }
    }

    /// The clock is set by so many microseconds. What this run holds ends no later
    /// than it did; what others hold, by the clock of the database, when it did.
    pub(super) fn shift(&mut self, micros: i64) {
        self.reserved_until = self.reserved_until.plus_micros(micros);
        self.held_until = self.held_until.plus_micros(micros.min(0));
        self.demand.last_raise_at = self.demand.last_raise_at.plus_micros(micros);
        self.others_asked_at = self.others_asked_at.plus_micros(micros);
        for lease in &mut self.others {
            lease.expires_at = lease.expires_at.plus_micros(micros);
        }
    }

    /// Takes over what was read.
    pub(super) fn read_again(&mut self, balance: Balance, others: Vec<Lease>) {
        self.take_balance(balance);
        self.others = others;
        self.stale = false;
    }

    /// Takes over a balance, unless a newer one is known.
    pub(super) fn take_balance(&mut self, balance: Balance) {
        if balance.revision > self.balance.revision {
            self.balance = balance;
        }
    }

    /// Sets aside for a reservation.
    pub(super) fn begin_reservation(&mut self, amount: Usd, until: Timestamp) {
        self.reserved = self.reserved.saturating_add(amount);
        self.reservations += 1;
        self.reserved_until = self.reserved_until.max(until);
    }

    /// Frees what a reservation set aside.
    pub(super) fn end_reservation(&mut self, amount: Usd) {
        self.reserved = self.reserved.saturating_less(amount);
        self.reservations = self.reservations.saturating_sub(1);
    }

    /// What was set aside for a call has moved to the balance by another run, or may
    /// have: nothing more is granted on it.
    pub(super) fn moved_elsewhere(&mut self, amount: Usd) {
        self.held = self.held.saturating_less(amount);
        self.holds_too_much = true;
    }

    /// A reservation is a part of another one from now on.
    pub(super) fn join_reservations(&mut self) {
        self.reservations = self.reservations.saturating_sub(1);
    }

    /// Until when room must be held at least, whatever the database was last
    /// asked for.
    fn needed_until(&self) -> Timestamp {
        if self.reservations > 0 { self.reserved_until } else { Timestamp::EPOCH }
    }

    /// What is set aside by this run and held by others.
    pub(super) fn all_reserved(&self, now: Timestamp) -> Usd {
        let live = self.others.iter().filter(|lease| lease.expires_at > now);
        live.fold(self.reserved, |sum, lease| sum.saturating_add(lease.held))
    }

    /// Whether it is to be asked what others hold, of whom any did: they may have given
    /// it back. Whoever asks first does; who comes meanwhile goes by what is known.
    pub(super) fn claim_asking(&mut self, now: Timestamp) -> bool {
        let is_held = self.others.iter().any(|lease| lease.held > Usd::ZERO && lease.expires_at > now);
        let asks = is_held && now.micros_since(self.others_asked_at) >= OTHERS_MICROS;
        if asks {
            self.others_asked_at = now;
        }
        asks
    }

    /// Whether everything that is set aside is held in the database for long
    /// enough.
    pub(super) fn covers(&self, until: Timestamp) -> bool {
        self.reserved <= self.held && until <= self.held_until
    }

    /// What is held in the database is not known any more.
    pub(super) fn distrust(&mut self) {
        self.stale = true;
        self.held = Usd::ZERO;
        self.held_until = Timestamp::EPOCH;
    }

    pub(super) fn take_lease(&mut self, lease: &Lease, others: Vec<Lease>) {
        self.held = lease.held;
        self.held_until = lease.expires_at;
        self.holds_too_much = false;
        self.others = others;
    }

    /// More room is needed than is held: asks for it and, if that happens
    /// often, for some in advance. The advance doubles with the demand and
    /// never takes more than a share of what is left, so that near a limit
    /// exactly what is needed is held.
    pub(super) fn plan_raise(&mut self, limit: Option<Usd>, estimate: Usd, now: Timestamp) {
        let recent = now.micros_since(self.demand.last_raise_at) < DEMAND_SECONDS * 1_000_000;
        let doubled = self.demand.advance.saturating_add(self.demand.advance).max(estimate);
        let taken = self.balance.spent.saturating_add(self.all_reserved(now));
        let left = limit.unwrap_or(Usd::MAX).saturating_less(taken).portion(ADVANCE_SHARE);
        self.demand.advance = if recent && left >= estimate { doubled.min(left) } else { Usd::ZERO };
        self.demand.last_raise_at = now;
        self.limit = limit;
    }

    /// What is held in advance runs short: more is asked for if it was used, and as
    /// much as before if it only grows old. That nobody calls is no demand.
    pub(super) fn plan_renewal(&mut self, now: Timestamp) {
        if self.is_nearly_used() {
            self.plan_raise(self.limit, Usd::ZERO, now);
        }
    }

    /// Takes nothing in advance any more once nobody needed it for a while.
    pub(super) fn forget_old_demand(&mut self, now: Timestamp) {
        if now.micros_since(self.demand.last_raise_at) >= DEMAND_SECONDS * 1_000_000 {
            self.demand.advance = Usd::ZERO;
        }
    }

    fn is_nearly_used(&self) -> bool {
        self.held.saturating_less(self.reserved) < self.demand.advance.portion(2)
    }

    /// What should be held once `settling` of what is reserved, by the events
    /// that settle it, has moved to the balance.
    pub(super) fn hold_write(
        &self,
        key: crate::store::BalanceKey,
        settling: Vec<(String, Usd)>,
        limit: Option<Usd>,
        until: Timestamp,
    ) -> HoldWrite {
        HoldWrite {
            key,
            window: self.window,
            reserved: self.reserved,
            settling,
            advance: self.demand.advance,
            held: self.held,
            limit,
            expires_at: self.held_until.max(self.needed_until()).max(until),
        }
    }

    /// Whether room is held in the database for a tentative reservation beside
    /// everything that was granted. Of time alone there is as much as anybody
    /// wants, also when other calls cost more than was set aside for them.
    pub(super) fn has_room_for_tentative(&self, amount: Usd, until: Timestamp) -> bool {
        let granted = self.reserved.saturating_less(self.tentative);
        (amount == Usd::ZERO || granted.saturating_add(amount) <= self.held) && until <= self.held_until
    }

    /// Whether room is taken in advance.
    pub(super) fn takes_advance(&self) -> bool {
        self.demand.advance > Usd::ZERO
    }

    /// Whether room is held in the database.
    pub(super) fn holds(&self) -> bool {
        self.held > Usd::ZERO
    }

    /// Gives up what is held beyond what is needed, once demand has ceased;
    /// from now on nothing is granted on it. Says whether there was any.
    pub(super) fn give_up_surplus(&mut self, now: Timestamp) -> bool {
        self.forget_old_demand(now);
        let needed = self.reserved.saturating_add(self.demand.advance);
        let has_surplus = self.holds_too_much || self.held > needed;
        self.held = self.held.min(needed);
        has_surplus
    }

    /// Takes nothing in advance any more, and gives up what was. Says whether
    /// there was any.
    pub(super) fn give_up_advance(&mut self) -> bool {
        self.demand.advance = Usd::ZERO;
        let has_surplus = !self.stale && (self.holds_too_much || self.held > self.reserved);
        self.held = self.held.min(self.reserved);
        has_surplus
    }

    /// Another run holds less than it did.
    pub(super) fn release_other(&mut self, holder: i64, amount: Usd) {
        for lease in self.others.iter_mut().filter(|lease| lease.holder == holder) {
            lease.held = lease.held.saturating_less(amount);
        }
    }

    /// Whether what is held in advance is nearly used up or will soon be too
    /// old: then it is renewed before a call must wait for it.
    pub(super) fn runs_short(&self, soon: Timestamp) -> bool {
        self.demand.advance > Usd::ZERO && (self.is_nearly_used() || self.held_until < soon)
    }
}
