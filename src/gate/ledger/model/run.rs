//! A run of the server: what it promises from memory, and what it has on its way to
//! the database.

use crate::domain::account::{AccountId, Line};
use crate::domain::clock::Timestamp;
use crate::domain::ids::TeamId;
use crate::domain::limit::Budget;
use crate::domain::money::Usd;
use crate::domain::window::Window;
use crate::gate::ledger::account::WindowState;
use crate::gate::standing::BudgetStanding;
use crate::store::{Balance, HoldWrite, Lease};

/// The limit, in nano-dollars: enough that room is held in advance.
pub(super) const LIMIT: i64 = 6;
/// How long a reservation lives, and how much longer a lease, in seconds.
const RESERVATION: i64 = 2;
const LEASE: i64 = 1;

/// A reservation, and until when whoever asked for it may count on it.
#[derive(Clone, Hash)]
pub(super) struct Promise {
    pub(super) id: u8,
    pub(super) amount: i64,
    /// When it expires, by the clock of its run.
    pub(super) expires_at: Timestamp,
    /// When it would have expired if nobody had touched a clock.
    pub(super) promised_until: Timestamp,
}

/// What is on its way to the database.
#[derive(Clone, Hash)]
pub(super) struct Batch {
    pub(super) hold: Option<HoldWrite>,
    pub(super) confirms: Vec<u8>,
    pub(super) settles: Option<Promise>,
    /// By how much the clock was ahead when it was planned, and how often it had
    /// been set by then.
    pub(super) ahead: i64,
    pub(super) shifts: u8,
    pub(super) committed: Option<Committed>,
}

/// What the database answered: the balance, and the lease with those of others.
type Committed = (Balance, Option<(Lease, Vec<Lease>)>);

/// A run of the server.
#[derive(Clone, Hash)]
pub(super) struct Run {
    pub(super) holder: i64,
    /// By how much its clock is ahead of the database's, in seconds.
    pub(super) ahead: i64,
    /// How often its clock was set.
    pub(super) shifts: u8,
    /// Since when its machine stands still.
    pub(super) frozen_at: Option<Timestamp>,
    pub(super) window: WindowState,
    pub(super) granted: Vec<Promise>,
    pub(super) tentative: Vec<Promise>,
    pub(super) batch: Option<Batch>,
}

pub(super) fn usd(nanos: i64) -> Usd {
    Usd::from_nanos(nanos)
}

impl Run {
    pub(super) fn new(holder: i64, balance: Balance, others: Vec<Lease>) -> Self {
        let window = WindowState::new(Window::LIFETIME, balance, others);
        Self {
            holder,
            ahead: 0,
            shifts: 0,
            frozen_at: None,
            window,
            granted: Vec::new(),
            tentative: Vec::new(),
            batch: None,
        }
    }

    pub(super) fn now(&self, world_now: Timestamp) -> Timestamp {
        world_now.plus_seconds(self.ahead)
    }

    /// As `Books::expire`: what is being settled stays until that is decided.
    pub(super) fn expire(&mut self, now: Timestamp) {
        let settling = self.batch.as_ref().and_then(|batch| batch.settles.as_ref()).map(|promise| promise.id);
        let window = &mut self.window;
        self.granted.retain(|promise| {
            let stays = promise.expires_at > now || Some(promise.id) == settling;
            if !stays {
                window.end_reservation(usd(promise.amount));
                window.moved_elsewhere(usd(promise.amount));
            }
            stays
        });
        self.tentative.retain(|promise| {
            let stays = promise.expires_at > now;
            if !stays {
                window.end_reservation(usd(promise.amount));
                window.tentative = window.tentative.saturating_less(usd(promise.amount));
            }
            stays
        });
    }

    /// As `Books::ask`.
    pub(super) fn ask(&mut self, id: u8, amount: i64, world_now: Timestamp) {
        let now = self.now(world_now);
        self.expire(now);
        let account = AccountId::team(&TeamId::stored("t"));
        let budget = Budget { max: Some(usd(LIMIT)), ..Budget::default() };
        let line = Line { estimate: usd(amount), ..Line::of_money(&account, &budget) };
        let (spent, reserved) = (self.window.balance.spent, self.window.all_reserved(now));
        if BudgetStanding::new(&line, Window::LIFETIME, spent, reserved).denies() {
            return;
        }
        let expires_at = now.plus_seconds(RESERVATION);
        let promise = Promise { id, amount, expires_at, promised_until: world_now.plus_seconds(RESERVATION) };
        self.window.begin_reservation(usd(amount), expires_at);
        if self.window.covers(expires_at) {
            self.granted.push(promise);
        } else {
            self.window.plan_raise(Some(usd(LIMIT)), usd(amount), now);
            self.window.tentative = self.window.tentative.saturating_add(usd(amount));
            self.tentative.push(promise);
        }
    }

    pub(super) fn hold(&self, settles: Option<&Promise>, until: Timestamp) -> HoldWrite {
        let key = (AccountId::team(&TeamId::stored("t")), Timestamp::EPOCH);
        let settling = settles.map(|promise| (promise.id.to_string(), usd(promise.amount)));
        self.window.hold_write(key, settling.into_iter().collect(), Some(usd(LIMIT)), until)
    }

    pub(super) fn batch(&self, hold: Option<HoldWrite>, confirms: Vec<u8>, settles: Option<Promise>) -> Batch {
        Batch { hold, confirms, settles, ahead: self.ahead, shifts: self.shifts, committed: None }
    }

    /// As `Books::plan_holds`.
    pub(super) fn begin_batch(&mut self, settles: bool, world_now: Timestamp) {
        let now = self.now(world_now);
        let settles = if settles { self.granted.first().cloned() } else { None };
        let confirms: Vec<u8> = self.tentative.iter().map(|promise| promise.id).collect();
        let last = self.tentative.iter().map(|promise| promise.expires_at).max();
        let until = now.plus_seconds(RESERVATION).max(last.unwrap_or_default());
        let until = if self.window.takes_advance() { until.plus_seconds(LEASE) } else { until };
        let hold = (!confirms.is_empty() || self.window.holds()).then(|| self.hold(settles.as_ref(), until));
        self.batch = Some(self.batch(hold, confirms, settles));
    }

    /// As `Books::plan_upkeep`; says whether there was anything to do.
    pub(super) fn begin_upkeep(&mut self, world_now: Timestamp) -> bool {
        let now = self.now(world_now);
        self.expire(now);
        if self.window.stale || self.window.tentative > Usd::ZERO {
            return false;
        }
        self.window.forget_old_demand(now);
        let hold = if self.window.runs_short(now.plus_seconds(RESERVATION)) {
            self.window.plan_renewal(now);
            self.hold(None, now.plus_seconds(RESERVATION + LEASE))
        } else if self.window.give_up_surplus(now) || self.window.give_up_advance() {
            self.hold(None, Timestamp::EPOCH)
        } else {
            return false;
        };
        self.batch = Some(self.batch(Some(hold), Vec::new(), None));
        true
    }

    /// As `Ledger::apply`: a lease that was planned by another clock is held, and
    /// until when is read again.
    pub(super) fn apply(&mut self, batch: &Batch, world_now: Timestamp) {
        let Some((balance, held)) = &batch.committed else { return };
        let now = self.now(world_now);
        self.window.take_balance(*balance);
        if let Some(settled) = &batch.settles
            && let Some(at) = self.granted.iter().position(|promise| promise.id == settled.id)
        {
            self.window.end_reservation(usd(self.granted.remove(at).amount));
        }
        if let Some((lease, others)) = held {
            self.window.take_lease(lease, others.clone());
        }
        self.expire(now);
        for id in &batch.confirms {
            let Some(at) = self.tentative.iter().position(|promise| promise.id == *id) else { continue };
            let promise = self.tentative.remove(at);
            let fits = self.window.has_room_for_tentative(usd(promise.amount), promise.expires_at);
            self.window.tentative = self.window.tentative.saturating_less(usd(promise.amount));
            if fits {
                self.granted.push(promise);
            } else {
                self.window.end_reservation(usd(promise.amount));
            }
        }
        if batch.shifts != self.shifts {
            self.window.distrust();
        }
    }

    /// As `Books::hear`.
    pub(super) fn hear(&mut self, id: u8, world_now: Timestamp) {
        self.expire(self.now(world_now));
        if let Some(at) = self.granted.iter().position(|promise| promise.id == id) {
            let amount = usd(self.granted.remove(at).amount);
            self.window.end_reservation(amount);
            self.window.moved_elsewhere(amount);
        }
    }

    /// As `Ledger::distrust`, and what the batcher tells its callers.
    pub(super) fn fail(&mut self, batch: &Batch) {
        self.window.distrust();
        for id in &batch.confirms {
            let Some(at) = self.tentative.iter().position(|promise| promise.id == *id) else { continue };
            let amount = usd(self.tentative.remove(at).amount);
            self.window.tentative = self.window.tentative.saturating_less(amount);
            self.window.end_reservation(amount);
        }
    }

    /// As `Books::shift`.
    pub(super) fn shift(&mut self, by: i64) {
        self.shifts += 1;
        self.window.shift(by * 1_000_000);
        for promise in self.granted.iter_mut().chain(&mut self.tentative) {
            promise.expires_at = promise.expires_at.plus_seconds(by);
        }
    }
}
