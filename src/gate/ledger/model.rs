//! The protocol of leases, tried exhaustively: two runs of the server, one window of
//! one account, the database between them; every order of asking, committing,
//! answering, settling, failing, crashing, standing still and setting a clock, up to
//! a bound. What decides is the real code: [`WindowState`] in memory,
//! [`HoldWrite::fit`] in the database. `docs/leases.md` says in words what this
//! shows.

mod run;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::BuildHasher;

use foldhash::fast::FixedState;

use self::run::{LIMIT, Promise, Run, usd};
use crate::domain::clock::Timestamp;
use crate::domain::money::Usd;
use crate::store::{Balance, Lease};

/// How often each of these may still happen.
#[derive(Clone, Hash)]
struct Left {
    /// Of calls that cost one of these.
    amounts: &'static [i64],
    asks: u8,
    seconds: u8,
    failures: u8,
    crashes: u8,
    steps: u8,
    /// Calls that are settled by another run than the one that reserved for them.
    elsewhere: u8,
}

/// Everything.
#[derive(Clone, Hash)]
struct World {
    now: Timestamp,
    balance: Balance,
    leases: BTreeMap<i64, (Usd, Timestamp)>,
    booked: BTreeSet<u8>,
    /// What was booked after its promise had ended.
    late: i64,
    runs: [Run; 2],
    /// What crashed runs had granted: their clients go on.
    orphans: Vec<Promise>,
    /// What runs are yet to hear of: who, and which call was settled elsewhere.
    closings: Vec<(i64, u8)>,
    next_id: u8,
    next_holder: i64,
    left: Left,
}

fn seconds(count: i64) -> Timestamp {
    Timestamp::EPOCH.plus_seconds(1_000 + count)
}

impl World {
    fn new(left: Left) -> Self {
        let run = |holder| Run::new(holder, Balance::default(), Vec::new());
        Self {
            now: seconds(0),
            balance: Balance::default(),
            leases: BTreeMap::new(),
            booked: BTreeSet::new(),
            late: 0,
            runs: [run(1), run(2)],
            orphans: Vec::new(),
            closings: Vec::new(),
            next_id: 0,
            next_holder: 3,
            left,
        }
    }

    /// The leases of others that are alive, in the time of a run.
    fn others(&self, holder: i64, ahead: i64) -> Vec<Lease> {
        let alive = self.leases.iter().filter(|(of, (_, ends_at))| **of != holder && *ends_at > self.now);
        let lease = |(of, (held, ends_at)): (&i64, &(Usd, Timestamp))| Lease {
            holder: *of,
            held: *held,
            expires_at: ends_at.plus_seconds(ahead),
        };
        alive.map(lease).collect()
    }

    /// As `Store::commit_batch`, with its statements under the balance's lock.
    fn commit(&mut self, at: usize) {
        let run = &self.runs[at];
        let Some(mut batch) = run.batch.clone() else { return };
        if let Some(settled) = &batch.settles
            && self.booked.insert(settled.id)
        {
            self.book(&settled.clone());
        }
        // By the clock that it was planned by.
        let (holder, ahead) = (self.runs[at].holder, batch.ahead);
        let held = batch.hold.as_ref().map(|hold| {
            let others = self.others(holder, ahead);
            let taken = others.iter().fold(self.balance.spent, |sum, lease| sum.saturating_add(lease.held));
            let is_alive = self.leases.get(&holder).is_some_and(|(_, ends_at)| *ends_at > self.now);
            let kept = if is_alive { hold.held } else { Usd::ZERO };
            let settled = batch.settles.as_ref().map_or(Usd::ZERO, |promise| usd(promise.amount));
            let held = hold.fit(kept, settled, usd(LIMIT).saturating_less(taken));
            self.leases.insert(holder, (held, hold.expires_at.plus_seconds(-ahead)));
            (Lease { holder, held, expires_at: hold.expires_at }, others)
        });
        batch.committed = Some((self.balance, held));
        self.runs[at].batch = Some(batch);
    }

    fn book(&mut self, promise: &Promise) {
        self.balance.spent = self.balance.spent.saturating_add(usd(promise.amount));
        self.balance.revision += 1;
        if promise.promised_until <= self.now {
            self.late += promise.amount;
        }
    }

    /// Every world that may come next.
    fn next(&self) -> Vec<Self> {
        let mut all = Vec::new();
        for at in 0..self.runs.len() {
            self.steps_of(at, &mut all);
        }
        if self.left.seconds > 0 {
            let mut next = self.clone();
            next.left.seconds -= 1;
            next.now = next.now.plus_seconds(1);
            all.push(next);
        }
        if let Some(orphan) = self.orphans.first() {
            let mut next = self.clone();
            next.orphans.remove(0);
            if next.booked.insert(orphan.id) {
                next.book(orphan);
            }
            all.push(next);
        }
        all
    }

    fn steps_of(&self, at: usize, all: &mut Vec<Self>) {
        let mut then = |act: &dyn Fn(&mut Self) -> bool| {
            let mut next = self.clone();
            if act(&mut next) {
                all.push(next);
            }
        };
        if let Some(since) = self.runs[at].frozen_at {
            // Its clock stood still with it, until it is set right.
            then(&|next| {
                let lag = next.now.micros_since(since) / 1_000_000;
                next.runs[at].frozen_at = None;
                next.runs[at].shift(lag);
                true
            });
            return;
        }
        if self.left.asks > 0 {
            for &amount in self.left.amounts {
                then(&|next| {
                    next.left.asks -= 1;
                    let (id, now) = (next.next_id, next.now);
                    next.next_id += 1;
                    if next.runs[at].window.stale {
                        let others = next.others(next.runs[at].holder, next.runs[at].ahead);
                        next.runs[at].window.read_again(next.balance, others);
                    }
                    next.runs[at].ask(id, amount, now);
                    true
                });
            }
        }
        match &self.runs[at].batch {
            None => {
                for settles in [false, true] {
                    then(&|next| {
                        let run = &next.runs[at];
                        let has_work = if settles { !run.granted.is_empty() } else { !run.tentative.is_empty() };
                        let now = next.now;
                        if has_work {
                            next.runs[at].begin_batch(settles, now);
                        }
                        has_work
                    });
                }
                then(&|next| next.runs[at].begin_upkeep(next.now));
            }
            Some(batch) => {
                if batch.committed.is_none() {
                    then(&|next| {
                        next.commit(at);
                        true
                    });
                } else {
                    then(&|next| {
                        let now = next.now;
                        next.runs[at].batch.take().inspect(|batch| next.runs[at].apply(batch, now));
                        true
                    });
                }
                if self.left.failures > 0 {
                    then(&|next| {
                        next.left.failures -= 1;
                        next.runs[at].batch.take().inspect(|batch| next.runs[at].fail(batch));
                        true
                    });
                }
            }
        }
        self.elsewhere(at, all);
        self.ends_of(at, all);
    }

    /// Another run settles a call; this one hears of it, between its batches.
    fn elsewhere(&self, at: usize, all: &mut Vec<Self>) {
        let holder = self.runs[at].holder;
        if self.left.elsewhere > 0
            && let Some(promise) = self.runs[at].granted.first()
            && promise.promised_until > self.now
        {
            let mut next = self.clone();
            next.left.elsewhere -= 1;
            if next.booked.insert(promise.id) {
                next.book(promise);
                next.closings.push((holder, promise.id));
            }
            all.push(next);
        }
        if let Some(place) = self.closings.iter().position(|(of, _)| *of == holder)
            && self.runs[at].batch.is_none()
        {
            let mut next = self.clone();
            let (_, id) = next.closings.remove(place);
            next.runs[at].hear(id, next.now);
            all.push(next);
        }
    }

    /// A call is not made after all, and what may befall a machine.
    fn ends_of(&self, at: usize, all: &mut Vec<Self>) {
        let mut then = |act: &dyn Fn(&mut Self) -> bool| {
            let mut next = self.clone();
            if act(&mut next) {
                all.push(next);
            }
        };
        then(&|next| {
            let Some(released) = next.runs[at].granted.first().cloned() else { return false };
            let settling = next.runs[at].batch.as_ref().and_then(|batch| batch.settles.as_ref());
            // A call was made or not; nobody says both.
            if settling.is_some_and(|promise| promise.id == released.id) || next.booked.contains(&released.id) {
                return false;
            }
            next.runs[at].granted.remove(0);
            next.runs[at].window.end_reservation(usd(released.amount));
            true
        });
        if self.left.crashes > 0 {
            then(&|next| {
                next.left.crashes -= 1;
                let holder = next.next_holder;
                next.next_holder += 1;
                let fresh = Run::new(holder, next.balance, next.others(holder, 0));
                let gone = std::mem::replace(&mut next.runs[at], fresh);
                next.orphans.extend(gone.granted);
                true
            });
        }
        if self.left.steps > 0 {
            for by in [-2, 2] {
                then(&|next| {
                    next.left.steps -= 1;
                    next.runs[at].shift(by);
                    next.runs[at].ahead += by;
                    true
                });
            }
            then(&|next| {
                next.left.steps -= 1;
                next.runs[at].frozen_at = Some(next.now);
                true
            });
        }
    }

    /// What was spent in time, and what calls in flight were promised, keeps the
    /// limit.
    fn check(&self) {
        let in_flight = self.runs.iter().flat_map(|run| &run.granted).chain(&self.orphans);
        let promised: i64 = in_flight
            .filter(|promise| promise.promised_until > self.now && !self.booked.contains(&promise.id))
            .map(|promise| promise.amount)
            .sum();
        let spent = self.balance.spent.nanos();
        assert!(spent - self.late + promised <= LIMIT, "{spent} spent, {} late, {promised} promised", self.late);
    }

    /// When nobody calls any more, all that was not spent can be had again.
    fn check_that_room_comes_back(&self) {
        let mut world = self.clone();
        world.now = seconds(1_000);
        let left = (LIMIT - world.balance.spent.nanos()).max(0);
        if left == 0 {
            return;
        }
        world.runs[0] = Run::new(99, world.balance, world.others(99, 0));
        world.runs[0].ask(99, left, world.now);
        world.runs[0].begin_batch(false, world.now);
        world.commit(0);
        let batch = world.runs[0].batch.take();
        batch.inspect(|batch| world.runs[0].apply(batch, world.now));
        assert_eq!(world.runs[0].granted.len(), 1, "{left} is left, and can't be had");
    }
}

/// Tries every order; says how many worlds there are. Of each only a hash is kept.
fn explore(left: Left) -> usize {
    let hash = FixedState::default();
    let first = World::new(left);
    let mut seen = HashSet::from([hash.hash_one(&first)]);
    let mut open = vec![first];
    while let Some(world) = open.pop() {
        world.check();
        world.check_that_room_comes_back();
        open.extend(world.next().into_iter().filter(|next| seen.insert(hash.hash_one(next))));
    }
    seen.len()
}

/// All at once would be too many: each of these has a few things of every kind.
#[test]
fn no_order_of_events_passes_the_limit_or_loses_room() {
    let none = Left { amounts: &[4], asks: 0, seconds: 0, failures: 0, crashes: 0, steps: 0, elsewhere: 0 };
    let small: &[i64] = &[1, 4];
    for left in [
        Left { amounts: small, asks: 2, seconds: 2, ..none },
        Left { asks: 2, seconds: 1, failures: 1, ..none },
        Left { asks: 2, seconds: 2, crashes: 1, ..none },
        Left { asks: 3, seconds: 2, steps: 1, ..none },
        Left { amounts: &[2, 4], asks: 3, elsewhere: 1, ..none },
        Left { asks: 3, seconds: 1, elsewhere: 2, ..none },
        Left { asks: 2, seconds: 3, elsewhere: 1, ..none },
        Left { amounts: small, asks: 1, seconds: 3, failures: 1, crashes: 1, steps: 1, elsewhere: 1 },
    ] {
        let worlds = explore(left);
        assert!(worlds > 5_000, "{worlds} worlds: hardly anything happens");
    }
}
