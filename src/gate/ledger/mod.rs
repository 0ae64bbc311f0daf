//! The ledger in memory: what accounts spent and hold, behind one lock.
//!
//! Every number here is either committed (`spent`, a copy of the database with
//! its revision) or promised (`reserved`, what calls in flight may cost). A
//! reservation is granted from memory while this run *holds* enough room in the
//! database, in a lease that outlives a crash; if not, it is tentative until
//! the batcher has widened the lease. So the sum of spent and reserved keeps
//! every limit across crashes and across instances.
//!
//! The lock is held for a few map operations, never across a wait.

mod account;
mod ask;
mod books;
#[cfg(test)]
mod model;
mod reservation;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use uuid::Uuid;

pub(super) use self::ask::{Answer, Ask, Extending, Extension, Grant, Missing, Settling};
use self::books::Books;
pub(super) use self::reservation::{NewReservation, Reservation};
use super::standing::{BudgetStanding, RateStanding};
use crate::domain::account::{AccountId, Line};
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::identity::KeyFacts;
use crate::domain::limit::CountedTokens;
use crate::domain::money::Usd;
use crate::domain::shared_counts::Counting;
use crate::domain::window::{Calendar, Window};
use crate::store::{Balance, BalanceKey, BatchOutcome, Closing, HoldWrite, Lease, Store, StoreError};

/// A window that is not in memory.
pub(super) type MissingWindow = (AccountId, Window);

/// The rules that the ledger keeps.
#[derive(Clone, Copy, Debug)]
pub struct LedgerRules {
    /// The calendar that windows follow.
    pub calendar: Calendar,
    /// How long room that is held in advance may be used, in seconds.
    pub lease_seconds: i64,
    /// How long a reservation lives, in seconds.
    pub reservation_seconds: i64,
    /// The tokens that rate limits count.
    pub counted_tokens: CountedTokens,
    /// How many reserved calls may be in flight at once.
    pub max_parallel: Option<i64>,
}

/// The accounts in memory.
pub struct Ledger {
    rules: LedgerRules,
    clock: Clock,
    books: Mutex<Books>,
}

/// What a batch is to hold, and when that was planned.
#[derive(Debug)]
pub struct Planned {
    /// What is held.
    pub holds: Vec<HoldWrite>,
    /// The instant that all of them count from.
    pub now: Timestamp,
    /// How often the clock had been set by then.
    shifts: u64,
}

/// What a batch does that is planned.
#[derive(Clone, Copy, Debug, Default)]
pub struct Batching<'a> {
    /// The reservations that wait for room.
    pub tentative: &'a [Uuid],
    /// Those that are settled, each by the event with an id.
    pub settling: &'a [(Uuid, &'a str)],
    /// Whether it also tends what is held.
    pub upkeep: bool,
    /// Whether it is the last of the run, and gives back what is held.
    pub last: bool,
}

impl Ledger {
    /// An empty ledger: accounts are read when they are first needed.
    pub fn new(rules: LedgerRules, clock: Clock) -> Self {
        Self { rules, clock, books: Mutex::new(Books::default()) }
    }

    /// The books, and the instant by the clock that they keep. A machine's clock may
    /// have been set since a caller read it, and what is promised moved along: it is
    /// read again while nobody can set it.
    fn open(&self, now: Timestamp) -> (MutexGuard<'_, Books>, Timestamp) {
        let books = self.books.lock();
        let now = if self.clock.is_of_machine() { self.clock.now() } else { now };
        (books, now)
    }

    /// Moves the clock along by so many microseconds, with all that is promised, if
    /// it was set.
    pub fn follow_clock(&self, micros: i64) {
        let mut books = self.books.lock();
        if Clock::is_step(micros) {
            books.shift(micros);
        }
        self.clock.follow(micros);
    }

    /// Asks for a call: checks every budget, then every rate limit, and sets
    /// the cost aside, all or nothing.
    pub fn ask(&self, ask: &Ask<'_>, now: Timestamp) -> Answer {
        let (mut books, now) = self.open(now);
        books.ask(ask, &self.rules, now)
    }

    /// How budgets and rate limits stand, or what must be read first.
    ///
    /// # Errors
    /// What is not in memory.
    pub fn standings(
        &self,
        lines: &[Line<'_>],
        counting: Counting,
        now: Timestamp,
    ) -> Result<(Vec<BudgetStanding>, Vec<RateStanding>), Missing> {
        let (mut books, now) = self.open(now);
        books.standings(lines, counting, &self.rules, now)
    }

    /// Reads accounts into memory.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails; then they stay unknown.
    pub async fn load(&self, missing: &Missing, store: &Store, holder: i64, now: Timestamp) -> Result<(), StoreError> {
        let Missing { windows, days } = missing;
        if !days.is_empty() {
            let tokens = store.present()?.tokens_between(days, now.utc_day(), self.rules.counted_tokens).await?;
            self.books.lock().take_days(&tokens, now);
        }
        if windows.is_empty() {
            return Ok(());
        }
        let (now, shifts) = {
            let (mut books, now) = self.open(now);
            books.begin_load(windows);
            (now, books.shifts)
        };
        let read = read(windows, store, holder, now).await;
        let mut books = self.books.lock();
        match read {
            // The clock was set meanwhile: what others hold is read again.
            Ok(_) if books.shifts != shifts => {
                books.abandon_load(windows);
                Ok(())
            }
            Ok((balances, leases)) => {
                books.end_load(windows, &balances, leases, now);
                Ok(())
            }
            Err(error) => {
                books.abandon_load(windows);
                Err(error)
            }
        }
    }

    /// The windows that are open at an instant, for booking an event.
    pub fn windows<'a>(&self, lines: &'a [Line<'_>], now: Timestamp) -> Vec<(&'a AccountId, Window)> {
        lines.iter().map(|line| (line.account, line.budget.window(&self.rules.calendar, now))).collect()
    }

    /// The key that calls, of a reservation of this run.
    pub fn key_of(&self, reservation: Uuid, now: Timestamp) -> Option<Arc<KeyFacts>> {
        let (mut books, now) = self.open(now);
        books.key_of(reservation, now)
    }

    /// Begins to settle a live reservation: it stays counted, with its real
    /// cost if that is larger, until the batch is committed.
    pub fn begin_settle(&self, reservation: Uuid, cost: Usd, now: Timestamp) -> Settling {
        let (mut books, now) = self.open(now);
        books.begin_settle(reservation, cost, now)
    }

    /// Undoes [`Ledger::begin_settle`] after a batch that failed.
    pub fn abort_settle(&self, reservation: Uuid) {
        self.books.lock().abort_settle(reservation);
    }

    /// What a live reservation of this run was asked for.
    pub fn asked(&self, reservation: Uuid, now: Timestamp) -> Option<Arc<NewReservation>> {
        let (mut books, now) = self.open(now);
        books.asked(reservation, now)
    }

    /// Sets more aside for a live reservation, all or nothing.
    pub fn extend(&self, extension: &Extension<'_>, now: Timestamp) -> Extending {
        let (mut books, now) = self.open(now);
        books.extend(extension, now)
    }

    /// Makes what was added, and may be relied on, a part of its reservation;
    /// returns when that expires. `None`: it is no longer live, and nothing is
    /// added.
    pub fn join(&self, reservation: Uuid, part: Uuid, now: Timestamp) -> Option<Timestamp> {
        let (mut books, now) = self.open(now);
        books.join(reservation, part, now)
    }

    /// Frees a reservation of a call that was not made. Says whether it was
    /// live.
    pub fn release(&self, reservation: Uuid, now: Timestamp) -> bool {
        let (mut books, now) = self.open(now);
        books.release(reservation, now)
    }

    /// Ends reservations that were settled or released by another run. Not while a
    /// batch is on its way: the lease that it comes back with would be relied on for
    /// what has moved to the balance.
    pub fn hear(&self, closings: &[Closing], now: Timestamp) {
        if !closings.is_empty() {
            let (mut books, now) = self.open(now);
            books.hear(closings, now);
        }
    }

    /// What a batch must hold: enough for the tentative reservations in it, and no
    /// more than needed for the accounts that it settles; with upkeep also what is
    /// held and no longer needed, and what will run short soon. The last one holds
    /// what live reservations need, and no more.
    pub fn plan(&self, batching: &Batching<'_>, now: Timestamp) -> Planned {
        let (mut books, now) = self.open(now);
        let shifts = books.shifts;
        if batching.last {
            return Planned { holds: books.plan_return(now), now, shifts };
        }
        let mut holds = books.plan_holds(batching.tentative, batching.settling, &self.rules, now);
        if batching.upkeep {
            let planned: HashSet<BalanceKey> = holds.iter().map(|hold| hold.key.clone()).collect();
            let upkeep = books.plan_upkeep(&self.rules, now);
            holds.extend(upkeep.into_iter().filter(|hold| !planned.contains(&hold.key)));
        }
        Planned { holds, now, shifts }
    }

    /// Takes over what a batch committed. Returns the tentative reservations
    /// that could not be held and are gone.
    pub fn apply(
        &self,
        outcome: &BatchOutcome,
        planned: &Planned,
        tentative: &[Uuid],
        settled: &[(Uuid, i64)],
    ) -> Vec<Uuid> {
        let (mut books, now) = self.open(planned.now);
        let refused = books.apply(outcome, tentative, settled, now);
        if books.shifts != planned.shifts {
            // The database knows until when it is held; here the clock was set since.
            let held: Vec<BalanceKey> = outcome.holds.iter().map(|(key, ..)| key.clone()).collect();
            books.distrust(&held);
        }
        refused
    }

    /// Takes over balances that another transaction committed.
    pub fn apply_balances(&self, balances: &[(BalanceKey, Balance)]) {
        let mut books = self.books.lock();
        for (key, balance) in balances {
            books.take_balance(key, *balance);
        }
    }

    /// A batch failed, and nobody knows whether it was committed: what it
    /// touched must be read again.
    pub fn distrust(&self, keys: &[BalanceKey]) {
        self.books.lock().distrust(keys);
    }

    /// Somebody else may have corrected these accounts: they must be read again.
    pub fn read_again<'a>(&self, accounts: impl Iterator<Item = &'a AccountId>) {
        self.books.lock().read_again(accounts);
    }

    /// Adds tokens to these accounts, if every rate limit of theirs has room for
    /// them; says whether, and how the limits stand then.
    ///
    /// # Errors
    /// What must be read first.
    pub fn add_if_room(
        &self,
        lines: &[Line<'_>],
        counting: Counting,
        tokens: i64,
        now: Timestamp,
    ) -> Result<(bool, Vec<RateStanding>), Missing> {
        let (mut books, now) = self.open(now);
        books.add_if_room(lines, counting, tokens, &self.rules, now)
    }

    /// Adds tokens that were used without a reservation.
    pub fn add_tokens(&self, accounts: &[AccountId], tokens: i64, now: Timestamp) {
        let (mut books, now) = self.open(now);
        books.add_tokens(accounts, tokens, now);
    }

    /// Forgets accounts that nobody has asked about for a while.
    pub fn forget_idle(&self, now: Timestamp) {
        let (mut books, now) = self.open(now);
        books.forget_idle(now);
    }

    /// Removes a reservation that was never granted.
    pub fn cancel_tentative(&self, reservation: Uuid) {
        self.books.lock().cancel_tentative(reservation);
    }

    /// The reservations that are live, and when they expire.
    pub fn open_reservations(&self) -> Vec<(Uuid, Timestamp)> {
        self.books.lock().open_reservations()
    }

    /// How many accounts are in memory.
    pub fn accounts(&self) -> usize {
        self.books.lock().accounts()
    }

    /// How many reservations are live: for tests, and for whoever shuts down.
    pub fn live_reservations(&self) -> usize {
        self.books.lock().live_reservations()
    }
}

type Read = (HashMap<BalanceKey, Balance>, HashMap<BalanceKey, Vec<Lease>>);

async fn read(missing: &[MissingWindow], store: &Store, holder: i64, now: Timestamp) -> Result<Read, StoreError> {
    let view = store.present()?;
    let keys: Vec<BalanceKey> = missing.iter().map(|(account, window)| (account.clone(), window.start)).collect();
    // Leases first: what moves from a lease to the balance in between is then
    // counted twice for a moment, never lost.
    let mut others: HashMap<BalanceKey, Vec<Lease>> = HashMap::new();
    for (key, lease) in store.leases(&keys, now).await? {
        if lease.holder != holder {
            others.entry(key).or_default().push(lease);
        }
    }
    Ok((view.balances(&keys).await?, others))
}
