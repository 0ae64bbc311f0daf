//! The books: every account and reservation in memory, without the lock.

mod extending;
mod holding;
mod loading;
mod settling;
mod shifting;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;
use indexmap::IndexMap;
use uuid::Uuid;

use self::loading::Loading;
use super::LedgerRules;
use super::account::{Account, WindowState};
use super::ask::{Answer, Ask, Grant, Missing};
use super::reservation::{Reservation, ReservedLine, State};
use crate::domain::account::{AccountId, Line};
use crate::domain::clock::Timestamp;
use crate::domain::decision::{Denial, DenyReason};
use crate::domain::money::Usd;
use crate::domain::shared_counts::Counting;
use crate::gate::exhausted::latest;
use crate::gate::rates::{RateCounts, RateDenial, deny_by_rates, rank};
use crate::gate::standing::{BudgetStanding, RateKind, RateStanding};
use crate::store::{Balance, BalanceKey};

/// After how many seconds an account that nobody asks about is forgotten.
const IDLE_SECONDS: i64 = 600;

/// How many accounts are looked at when idle ones are sought: few, because
/// everybody waits meanwhile.
const IDLE_SLICE: usize = 2_000;

/// Every account and reservation in memory.
#[derive(Default)]
pub(super) struct Books {
    accounts: IndexMap<AccountId, Account, RandomState>,
    reservations: HashMap<Uuid, Reservation, RandomState>,
    by_request: HashMap<(u64, Arc<str>), Uuid, RandomState>,
    expiries: BTreeSet<(Timestamp, Uuid)>,
    /// Windows that are being read, and the newest balance that was committed
    /// meanwhile.
    loading: HashMap<BalanceKey, Loading, RandomState>,
    /// Windows of which room is held in the database.
    holding: HashSet<BalanceKey, RandomState>,
    /// Where the search for idle accounts goes on.
    idle_cursor: usize,
    /// How often the clock was set: what was read before is of another time.
    pub(super) shifts: u64,
}

impl Books {
    pub(super) fn ask(&mut self, ask: &Ask<'_>, rules: &LedgerRules, now: Timestamp) -> Answer {
        self.expire(now);
        if let Some(asked) = ask.reserve
            && let Some(id) = self.by_request.get(&(asked.caller, asked.request_id.clone()))
        {
            let Some(reservation) = self.reservations.get(id).cloned() else { return Answer::RequestIdReused };
            if reservation.asked.payload != asked.payload {
                return Answer::RequestIdReused;
            }
            return self.repeat(ask, reservation, rules, now);
        }
        let places = self.places(ask.lines);
        let limited = limited(&places, ask);
        let missing = self.missing(&limited, &places, rules, now);
        if !missing.is_empty() {
            return Answer::Missing(missing);
        }
        let mut budgets = self.budget_standings(&limited, rules, now);
        let mut rates = self.rate_standings(&places, ask.counting, rules, now);
        let admits = |standing: &RateStanding| RateCounts::admits(standing, ask.tokens, ask.reserve.is_some());
        if let Some(failing) = budgets.iter().find(|standing| standing.denies()) {
            let doubtful = self.refused_by_others(&limited, rules, now);
            if !doubtful.windows.is_empty() {
                return Answer::Missing(doubtful);
            }
            let denial = deny(DenyReason::BudgetExceeded, &failing.account, failing.in_words());
            let failing = budgets.iter().filter(|standing| standing.denies());
            let retry_at = latest(failing.map(|standing| standing.window.end));
            budgets.sort_by_key(|standing| !standing.denies());
            return Answer::Denied { denial, budgets, rates, retry_at };
        }
        if let Some(RateDenial { denial, retry_at }) = deny_by_rates(&mut rates, admits, now) {
            return Answer::Denied { denial, budgets, rates, retry_at };
        }
        let (reservation, runs_short) = self.admit(ask, &places, rules, now);
        if reservation.is_some() {
            for standing in &mut budgets {
                standing.reserved = standing.reserved.saturating_add(standing.estimate);
            }
        }
        for standing in &mut rates {
            RateCounts::show_counted(standing, ask.tokens, ask.reserve.is_some());
        }
        Answer::Allowed { budgets, rates, reservation, runs_short }
    }

    /// The answer to a request that was made before.
    fn repeat(&mut self, ask: &Ask<'_>, reservation: Reservation, rules: &LedgerRules, now: Timestamp) -> Answer {
        let places = self.places(ask.lines);
        let limited = limited(&places, ask);
        let missing = self.missing(&limited, &places, rules, now);
        if !missing.is_empty() {
            return Answer::Missing(missing);
        }
        let grant = if reservation.state == State::Tentative { Grant::Tentative } else { Grant::Held };
        Answer::Allowed {
            reservation: Some((reservation, grant)),
            budgets: self.budget_standings(&limited, rules, now),
            rates: self.rate_standings(&places, ask.counting, rules, now),
            runs_short: false,
        }
    }

    /// Counts a call and, if asked for, reserves for it.
    fn admit(
        &mut self,
        ask: &Ask<'_>,
        places: &[Place<'_>],
        rules: &LedgerRules,
        now: Timestamp,
    ) -> (Option<(Reservation, Grant)>, bool) {
        let expires_at = now.plus_seconds(rules.reservation_seconds);
        let soon = now.plus_seconds(rules.reservation_seconds + rules.lease_seconds / 2);
        let (mut grant, mut runs_short) = (Grant::Held, false);
        let mut count = |Place { line, index }: &Place<'_>| {
            let account = &mut self.accounts[*index];
            account.last_used_at = now;
            let counted = line
                .rates_bind
                .then(|| account.rates.count(line.rates, ask.counting, ask.tokens, ask.reserve.is_some()));
            let window = account.current_window(line.budget, &rules.calendar, now);
            let holds_money = ask.budgets_apply && line.limits_money() && ask.reserve.is_some();
            if holds_money && let Some(state) = account.window_mut(window.start) {
                state.begin_reservation(line.estimate, expires_at);
                if state.covers(expires_at) {
                    runs_short |= state.runs_short(soon);
                } else {
                    state.plan_raise(line.hard_max(), line.estimate, now);
                    grant = Grant::Tentative;
                }
            }
            let (amount, limit) = (holds_money.then_some(line.estimate), line.hard_max());
            ReservedLine { account: line.account.clone(), window, amount, limit, counted }
        };
        let lines: Arc<[ReservedLine]> = places.iter().map(&mut count).collect();
        let reservation = ask.reserve.map(|asked| {
            let state = if grant == Grant::Held { State::Live } else { State::Tentative };
            let reservation =
                Reservation { asked: Arc::clone(asked), authorized_at: now, expires_at, lines, before: None, state };
            if state == State::Tentative {
                self.for_money_windows(&reservation, |window, amount| {
                    window.tentative = window.tentative.saturating_add(amount);
                });
            }
            self.by_request.insert((asked.caller, asked.request_id.clone()), asked.id);
            self.expiries.insert((expires_at, asked.id));
            self.reservations.insert(asked.id, reservation.clone());
            (reservation, grant)
        });
        (reservation, runs_short)
    }

    pub(super) fn standings(
        &mut self,
        lines: &[Line<'_>],
        counting: Counting,
        rules: &LedgerRules,
        now: Timestamp,
    ) -> Result<(Vec<BudgetStanding>, Vec<RateStanding>), Missing> {
        self.expire(now);
        let places = self.places(lines);
        for place in &places {
            // Who is shown is asked about, and not to be read again for the next.
            self.accounts[place.index].last_used_at = now;
        }
        let missing = self.missing(&places, &places, rules, now);
        if !missing.is_empty() {
            return Err(missing);
        }
        Ok((self.budget_standings(&places, rules, now), self.rate_standings(&places, counting, rules, now)))
    }

    /// Where these lines' accounts are. Holds until one is forgotten.
    fn places<'a>(&mut self, lines: &'a [Line<'a>]) -> Vec<Place<'a>> {
        lines.iter().map(|line| Place { line, index: self.index_of(line.account) }).collect()
    }

    fn index_of(&mut self, id: &AccountId) -> usize {
        match self.accounts.get_index_of(id) {
            Some(index) => index,
            None => self.accounts.insert_full(id.clone(), Account::default()).0,
        }
    }

    fn budget_standings(&mut self, places: &[Place<'_>], rules: &LedgerRules, now: Timestamp) -> Vec<BudgetStanding> {
        let mut standings = Vec::with_capacity(places.len());
        for Place { line, index } in places {
            let account = &mut self.accounts[*index];
            let window = account.current_window(line.budget, &rules.calendar, now);
            if let Some(state) = account.window(window.start) {
                standings.push(BudgetStanding::new(line, window, state.balance.spent, state.all_reserved(now)));
            }
        }
        standings
    }

    /// The rate limits that bind, in the order in which they are checked.
    fn rate_standings(
        &mut self,
        places: &[Place<'_>],
        counting: Counting,
        rules: &LedgerRules,
        now: Timestamp,
    ) -> Vec<RateStanding> {
        let mut standings = Vec::new();
        for Place { line, index } in places.iter().filter(|place| place.line.rates_bind) {
            let rates = &mut self.accounts[*index].rates;
            rates.turn(now);
            rates.add_standings(line, counting, &mut standings);
        }
        standings.sort_by_key(|standing| rank(standing.account.scope()));
        standings.extend(rules.max_parallel.map(|limit| self.all_in_flight(limit, counting)));
        standings
    }

    /// How the limit of the reserved calls of all keys stands.
    fn all_in_flight(&self, limit: i64, counting: Counting) -> RateStanding {
        let limit = counting.part_of(limit);
        let in_flight = i64::try_from(self.reservations.len()).unwrap_or(i64::MAX);
        RateStanding {
            account: AccountId::everything(),
            kind: RateKind::Parallel,
            limit,
            remaining: limit.saturating_sub(in_flight).max(0),
            resets_at: None,
            relaxed: false,
            counting,
        }
    }

    /// Frees what expired by now. Reservations whose cost is on the way to the
    /// database are freed when it arrives.
    fn expire(&mut self, now: Timestamp) {
        while let Some((at, id)) = self.expiries.first().copied()
            && at <= now
        {
            self.expiries.pop_first();
            if self.reservations.get(&id).is_some_and(|reservation| !reservation.state.is_settling())
                && let Some(reservation) = self.remove(id)
            {
                if reservation.state == State::Live {
                    // Another run may have settled it, and this one not heard of it yet.
                    self.for_money_windows(&reservation, WindowState::moved_elsewhere);
                }
                self.for_counted_lines(&reservation, |rates, counted| {
                    rates.turn(now);
                    rates.expire(counted);
                });
            }
        }
    }

    /// Removes a reservation and frees its money.
    fn remove(&mut self, id: Uuid) -> Option<Reservation> {
        let reservation = self.reservations.remove(&id)?;
        self.expiries.remove(&(reservation.expires_at, id));
        self.by_request.remove(&(reservation.asked.caller, reservation.asked.request_id.clone()));
        let tentative = reservation.state == State::Tentative;
        self.for_money_windows(&reservation, |window, amount| {
            window.end_reservation(amount);
            if tentative {
                window.tentative = window.tentative.saturating_less(amount);
            }
        });
        Some(reservation)
    }

    fn for_money_windows(&mut self, reservation: &Reservation, mut act: impl FnMut(&mut WindowState, Usd)) {
        for line in reservation.lines.iter() {
            let account = self.accounts.get_mut(&line.account);
            let window = account.and_then(|account| account.window_mut(line.window.start));
            if let (Some(amount), Some(window)) = (line.amount, window) {
                act(window, amount);
            }
        }
    }

    fn for_counted_lines(
        &mut self,
        reservation: &Reservation,
        mut act: impl FnMut(&mut RateCounts, crate::gate::rates::CountedCall),
    ) {
        for line in reservation.lines.iter() {
            if let Some(counted) = line.counted
                && let Some(account) = self.accounts.get_mut(&line.account)
            {
                act(&mut account.rates, counted);
            }
        }
    }

    pub(super) fn take_balance(&mut self, key: &BalanceKey, balance: Balance) {
        let account = self.accounts.get_mut(&key.0);
        if let Some(window) = account.and_then(|account| account.window_mut(key.1)) {
            window.take_balance(balance);
        }
        if let Some(loading) = self.loading.get_mut(key)
            && balance.revision > loading.newest.revision
        {
            loading.newest = balance;
        }
    }

    pub(super) fn distrust(&mut self, keys: &[BalanceKey]) {
        for key in keys {
            if let Some(window) = self.accounts.get_mut(&key.0).and_then(|account| account.window_mut(key.1)) {
                window.distrust();
            }
        }
    }

    pub(super) fn read_again<'a>(&mut self, accounts: impl Iterator<Item = &'a AccountId>) {
        for id in accounts {
            if let Some(account) = self.accounts.get_mut(id) {
                account.read_again();
            }
        }
    }

    pub(super) fn add_tokens(&mut self, accounts: &[AccountId], tokens: i64, now: Timestamp) {
        for id in accounts {
            // An account that is not in memory has no minute to add to.
            if let Some(account) = self.accounts.get_mut(id) {
                account.rates.turn(now);
                account.rates.add_tokens(tokens);
            }
        }
    }

    pub(super) fn add_if_room(
        &mut self,
        lines: &[Line<'_>],
        counting: Counting,
        tokens: i64,
        rules: &LedgerRules,
        now: Timestamp,
    ) -> Result<(bool, Vec<RateStanding>), Missing> {
        let places = self.places(lines);
        let missing = self.missing(&[], &places, rules, now);
        if !missing.is_empty() {
            return Err(missing);
        }
        let standings = self.rate_standings(&places, counting, rules, now);
        if standings.iter().any(|standing| !RateCounts::has_room(standing, tokens)) {
            return Ok((false, standings));
        }
        for place in places.iter().filter(|place| place.line.rates_bind) {
            let account = &mut self.accounts[place.index];
            account.last_used_at = now;
            account.rates.add_tokens(tokens);
        }
        Ok((true, self.rate_standings(&places, counting, rules, now)))
    }

    pub(super) fn forget_idle(&mut self, now: Timestamp) {
        self.expire(now);
        let idle_before = now.plus_seconds(-IDLE_SECONDS);
        for _ in 0..IDLE_SLICE.min(self.accounts.len()) {
            if self.idle_cursor >= self.accounts.len() {
                self.idle_cursor = 0;
            }
            let index = self.idle_cursor;
            let idle = self
                .accounts
                .get_index(index)
                .is_some_and(|(_, account)| account.last_used_at < idle_before && account.is_idle(now));
            if idle && let Some((id, account)) = self.accounts.swap_remove_index(index) {
                for start in account.window_starts() {
                    self.holding.remove(&(id.clone(), start));
                }
            } else {
                self.idle_cursor += 1;
            }
        }
    }

    pub(super) fn cancel_tentative(&mut self, id: Uuid) {
        if self.reservations.get(&id).is_some_and(|reservation| reservation.state == State::Tentative)
            && let Some(reservation) = self.remove(id)
        {
            self.for_counted_lines(&reservation, RateCounts::release);
        }
    }

    pub(super) fn open_reservations(&self) -> Vec<(Uuid, Timestamp)> {
        self.reservations.iter().map(|(id, reservation)| (*id, reservation.expires_at)).collect()
    }

    pub(super) fn accounts(&self) -> usize {
        self.accounts.len()
    }

    pub(super) fn live_reservations(&self) -> usize {
        self.reservations.len()
    }
}

/// A line, and where its account is.
#[derive(Clone, Copy)]
struct Place<'a> {
    line: &'a Line<'a>,
    index: usize,
}

/// The lines whose budgets apply to a call.
fn limited<'a>(places: &[Place<'a>], ask: &Ask<'_>) -> Vec<Place<'a>> {
    places.iter().filter(|place| ask.budgets_apply && place.line.limits_money()).copied().collect()
}

fn deny(reason: DenyReason, account: &AccountId, message: String) -> Denial {
    Denial { reason, scope: Some(account.scope()), message }
}
