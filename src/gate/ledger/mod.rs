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

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use uuid::Uuid;

pub(super) use self::ask::{Answer, Ask, Extending, Extension, Grant, Missing, Settling};
use self::books::Books;
pub(super) use self::reservation::{NewReservation, Reservation};
use super::standing::{BudgetStanding, RateStanding};
use crate::domain::account::{AccountId, Line};
use crate::domain::clock::Timestamp;
use crate::domain::identity::KeyFacts;
use crate::domain::limit::CountedTokens;
use crate::domain::money::Usd;
use crate::domain::shared_counts::Counting;
use crate::domain::window::{Calendar, Window};
use crate::store::{Balance, BalanceKey, BatchOutcome, HoldWrite, Lease, Store, StoreError};

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
    books: Mutex<Books>,
}

impl Ledger {
    /// An empty ledger: accounts are read when they are first needed.
    pub fn new(rules: LedgerRules) -> Self {
        Self { rules, books: Mutex::new(Books::default()) }
    }

    /// Asks for a call: checks every budget, then every rate limit, and sets
    /// the cost aside, all or nothing.
    pub fn ask(&self, ask: &Ask<'_>, now: Timestamp) -> Answer {
        self.books.lock().ask(ask, &self.rules, now)
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
        self.books.lock().standings(lines, counting, &self.rules, now)
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
        self.books.lock().begin_load(windows);
        let read = read(windows, store, holder, now).await;
        let mut books = self.books.lock();
        match read {
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
        self.books.lock().key_of(reservation, now)
    }

    /// Begins to settle a live reservation: it stays counted, with its real
    /// cost if that is larger, until the batch is committed.
    pub fn begin_settle(&self, reservation: Uuid, cost: Usd, now: Timestamp) -> Settling {
        self.books.lock().begin_settle(reservation, cost, now)
    }

    /// Undoes [`Ledger::begin_settle`] after a batch that failed.
    pub fn abort_settle(&self, reservation: Uuid) {
        self.books.lock().abort_settle(reservation);
    }

    /// What a live reservation of this run was asked for.
    pub fn asked(&self, reservation: Uuid, now: Timestamp) -> Option<Arc<NewReservation>> {
        self.books.lock().asked(reservation, now)
    }

    /// Sets more aside for a live reservation, all or nothing.
    pub fn extend(&self, extension: &Extension<'_>, now: Timestamp) -> Extending {
        self.books.lock().extend(extension, now)
    }

    /// Makes what was added, and may be relied on, a part of its reservation;
    /// returns when that expires. `None`: it is no longer live, and nothing is
    /// added.
    pub fn join(&self, reservation: Uuid, part: Uuid, now: Timestamp) -> Option<Timestamp> {
        self.books.lock().join(reservation, part, now)
    }

    /// Frees a reservation of a call that was not made. Says whether it was
    /// live.
    pub fn release(&self, reservation: Uuid, now: Timestamp) -> bool {
        self.books.lock().release(reservation, now)
    }

    /// What a batch must hold: enough for the tentative reservations in it, and
    /// no more than needed for the accounts that it settles.
    pub fn plan_holds(&self, tentative: &[Uuid], settling: &[(Uuid, &str)], now: Timestamp) -> Vec<HoldWrite> {
        self.books.lock().plan_holds(tentative, settling, &self.rules, now)
    }

    /// What is held and no longer needed, and what will run short soon.
    pub fn plan_upkeep(&self, now: Timestamp) -> Vec<HoldWrite> {
        self.books.lock().plan_upkeep(&self.rules, now)
    }

    /// What is held beyond what live reservations need: to be given back when
    /// this run ends.
    pub fn plan_return(&self, now: Timestamp) -> Vec<HoldWrite> {
        self.books.lock().plan_return(now)
    }

    /// Takes over what a batch committed. Returns the tentative reservations
    /// that could not be held and are gone.
    pub fn apply(
        &self,
        outcome: &BatchOutcome,
        tentative: &[Uuid],
        settled: &[(Uuid, i64)],
        now: Timestamp,
    ) -> Vec<Uuid> {
        self.books.lock().apply(outcome, tentative, settled, now)
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
        self.books.lock().add_if_room(lines, counting, tokens, &self.rules, now)
    }

    /// Adds tokens that were used without a reservation.
    pub fn add_tokens(&self, accounts: &[AccountId], tokens: i64, now: Timestamp) {
        self.books.lock().add_tokens(accounts, tokens, now);
    }

    /// The clock is about to be set by so many microseconds: what is reserved lives
    /// as long as it would have.
    pub fn shift(&self, micros: i64) {
        self.books.lock().shift(micros);
    }

    /// Forgets accounts that nobody has asked about for a while.
    pub fn forget_idle(&self, now: Timestamp) {
        self.books.lock().forget_idle(now);
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
