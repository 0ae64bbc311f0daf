//! The ledger without a database: what is granted from memory is held by every
//! lease that a batch on its way may bring.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use super::*;
use crate::domain::identity::{KeyFacts, Principal};
use crate::domain::ids::KeyId;
use crate::domain::limit::{Budget, Rates};
use crate::domain::models::ModelList;
use crate::domain::shared_counts::Counting;
use crate::gate::rates::TokenNeed;

const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);
const RULES: LedgerRules = LedgerRules {
    calendar: Calendar::UTC,
    // So short that leases are renewed all the time.
    lease_seconds: 10,
    reservation_seconds: 600,
    counted_tokens: CountedTokens::Total,
    max_parallel: None,
};

/// A ledger with one key, whose limit is 100 nano-dollars.
struct OneKey {
    ledger: Ledger,
    key: Arc<KeyFacts>,
    account: AccountId,
    budget: Budget,
}

impl OneKey {
    fn new() -> Self {
        let key = KeyFacts::of_principal(Principal::default(), ModelList::default());
        let account = AccountId::key(KeyId(Uuid::from_u128(1)));
        let budget = Budget { max: Some(Usd::from_nanos(100)), ..Budget::default() };
        let one = Self { ledger: Ledger::new(RULES, Clock::from_fn(|| NOW)), key: Arc::new(key), account, budget };
        let missing = [(one.account.clone(), Window::LIFETIME)];
        let mut books = one.ledger.books.lock();
        books.begin_load(&missing);
        books.end_load(&missing, &HashMap::new(), HashMap::new(), NOW);
        drop(books);
        one
    }

    /// Asks for a call; says whether it is granted at once, and by which id.
    fn ask(&self, id: u128, nanos: i64, now: Timestamp) -> (Uuid, Grant) {
        let rates = Rates::default();
        let account = &self.account;
        let line = Line { estimate: Usd::from_nanos(nanos), ..Line::new(account, &self.budget, &rates) };
        let asked = NewReservation {
            exhausted_providers: Box::default(),
            id: Uuid::from_u128(id),
            caller: 0,
            request_id: id.to_string().into(),
            payload: 0,
            key: Arc::clone(&self.key),
            model: "m".into(),
            model_group: "m".into(),
            customer_id: Box::default(),
        };
        let ask = Ask {
            lines: &[line],
            budgets_apply: true,
            tokens: TokenNeed::default(),
            reserve: Some(&Arc::new(asked)),
            counting: Counting::Alone,
        };
        match self.ledger.ask(&ask, now) {
            Answer::Allowed { reservation: Some((reservation, grant)), .. } => (reservation.asked.id, grant),
            other => panic!("not allowed: {other:?}"),
        }
    }

    /// What the database then holds, if it holds what a batch asks for.
    fn commit(&self, holds: &[HoldWrite], held: i64, tentative: &[Uuid]) {
        let lease = |hold: &HoldWrite| Lease { holder: 1, held: Usd::from_nanos(held), expires_at: hold.expires_at };
        let holds = holds.iter().map(|hold| (hold.key.clone(), lease(hold), Vec::new())).collect();
        let outcome = BatchOutcome { holds, ..BatchOutcome::default() };
        let planned = Planned { holds: Vec::new(), now: NOW, shifts: self.ledger.books.lock().shifts };
        assert!(self.ledger.apply(&outcome, &planned, tentative, &[]).is_empty());
    }

    /// What a batch must hold for reservations that wait, and those that are settled.
    fn plan_holds(&self, tentative: &[Uuid], settling: &[(Uuid, &str)], now: Timestamp) -> Vec<HoldWrite> {
        self.ledger.plan(&Batching { tentative, settling, ..Batching::default() }, now).holds
    }

    /// What is tended, with nothing else in the batch.
    fn plan_upkeep(&self, now: Timestamp) -> Vec<HoldWrite> {
        self.ledger.plan(&Batching { upkeep: true, ..Batching::default() }, now).holds
    }

    /// What the last batch gives back.
    fn plan_return(&self, now: Timestamp) -> Vec<HoldWrite> {
        self.ledger.plan(&Batching { last: true, ..Batching::default() }, now).holds
    }

    /// Asks for more, under a budget of so many nano-dollars.
    fn extend(&self, first: Uuid, id: u128, nanos: i64, (until, now): (Timestamp, Timestamp), max: i64) -> Extending {
        let budget = Budget { max: Some(Usd::from_nanos(max)), ..Budget::default() };
        let (id, more) = (Uuid::from_u128(id), Usd::from_nanos(nanos));
        let lines = [Line::of_money(&self.account, &budget)];
        let extension = Extension { reservation: first, id, more, until, lines: &lines };
        self.ledger.extend(&extension, now)
    }

    /// A ledger where 5 are reserved and held, or nothing for a call that costs
    /// nothing.
    fn with_reserved(nanos: i64) -> (Self, Uuid) {
        let one = Self::new();
        let (first, _) = one.ask(1, nanos, NOW);
        one.commit(&one.plan_holds(&[first], &[], NOW), nanos, &[first]);
        (one, first)
    }

    /// Adds to a reservation, and commits that.
    fn extended(&self, first: Uuid, id: u128, nanos: i64, until: Timestamp, held: i64) {
        let added = self.extend(first, id, nanos, (until, NOW), 100);
        assert!(matches!(added, Extending::Added(Grant::Tentative)), "{added:?}");
        let part = Uuid::from_u128(id);
        self.commit(&self.plan_holds(&[part], &[], NOW), held, &[part]);
        assert!(self.ledger.join(first, part, NOW).is_some());
    }

    /// What is set aside.
    fn reserved(&self, now: Timestamp) -> i64 {
        let lines = [Line::of_money(&self.account, &self.budget)];
        self.ledger.standings(&lines, Counting::Alone, now).expect("in memory").0[0].reserved.nanos()
    }

    /// A ledger that holds 15, of which 5 are reserved.
    fn with_surplus() -> (Self, Uuid) {
        let one = Self::new();
        let (kept, grant) = one.ask(1, 5, NOW);
        let (gone, _) = one.ask(2, 10, NOW);
        assert_eq!(grant, Grant::Tentative, "nothing is held yet");
        let holds = one.plan_holds(&[kept, gone], &[], NOW);
        one.commit(&holds, 15, &[kept, gone]);
        assert!(one.ledger.release(gone, NOW));
        (one, kept)
    }
}

#[test]
fn surplus_is_granted_at_once() {
    let (one, _) = OneKey::with_surplus();
    assert_eq!(one.ask(3, 10, NOW).1, Grant::Held);
    assert_eq!(one.ask(4, 1, NOW).1, Grant::Tentative);
}

#[test]
fn room_in_advance_that_nobody_uses_is_given_up_however_short_leases_are() {
    let one = OneKey::new();
    // Two needs within ten seconds: from the second one on some is held in advance.
    for id in [1, 2] {
        let (asked, grant) = one.ask(id, 4, NOW);
        assert_eq!(grant, Grant::Tentative);
        let holds = one.plan_holds(&[asked], &[], NOW);
        one.commit(&holds, (holds[0].reserved.nanos() + holds[0].advance.nanos()).max(4), &[asked]);
    }
    let mut held = 0;
    for second in 1..=60 {
        for hold in one.plan_upkeep(NOW.plus_seconds(second)) {
            held = (hold.reserved.nanos() + hold.advance.nanos()).max(hold.held.nanos());
            one.commit(std::slice::from_ref(&hold), held, &[]);
        }
    }
    assert_eq!(held, 8, "what is reserved, and nothing in advance");
}

#[test]
fn nothing_is_granted_on_surplus_that_is_being_given_back() {
    let later = NOW.plus_seconds(12);
    let (one, _) = OneKey::with_surplus();
    let holds = one.plan_upkeep(later);
    assert_eq!((holds.len(), holds[0].reserved.nanos(), holds[0].held.nanos()), (1, 5, 5));
    assert_eq!(one.ask(3, 10, later).1, Grant::Tentative);
    let (one, _) = OneKey::with_surplus();
    assert_eq!(one.plan_return(NOW).len(), 1);
    assert_eq!(one.ask(3, 10, NOW).1, Grant::Tentative);
}

#[test]
fn a_batch_keeps_what_calls_are_granted_on_meanwhile() {
    let (one, kept) = OneKey::with_surplus();
    let Settling::Live { .. } = one.ledger.begin_settle(kept, Usd::from_nanos(5), NOW) else { panic!("it is live") };
    // Sent twice: the second is counted once.
    let holds = one.plan_holds(&[], &[(kept, "a"), (kept, "b")], NOW);
    assert_eq!(holds[0].settling, [("a".to_owned(), Usd::from_nanos(5))]);
    assert_eq!((holds[0].reserved.nanos(), holds[0].held.nanos()), (5, 15));
    assert_eq!(one.ask(3, 10, NOW).1, Grant::Held);
}

#[test]
fn a_second_asker_does_not_free_what_the_first_was_granted() {
    let (one, kept) = OneKey::with_surplus();
    one.ledger.cancel_tentative(kept);
    assert_eq!(one.ledger.live_reservations(), 1);
    let (waits, grant) = one.ask(3, 50, NOW);
    assert_eq!(grant, Grant::Tentative);
    one.ledger.cancel_tentative(waits);
    assert_eq!(one.ledger.live_reservations(), 1);
}

#[test]
fn room_is_held_for_as_long_as_an_extended_reservation_lives() {
    let day = NOW.plus_seconds(86_400);
    let (one, first) = OneKey::with_reserved(5);
    one.extended(first, 2, 0, day, 5);
    // Nobody knows any more what the database holds.
    one.ledger.distrust(&[(one.account.clone(), Timestamp::EPOCH)]);
    let missing = [(one.account.clone(), Window::LIFETIME)];
    let mut books = one.ledger.books.lock();
    books.begin_load(&missing);
    books.end_load(&missing, &HashMap::new(), HashMap::new(), NOW);
    drop(books);
    let (next, _) = one.ask(3, 5, NOW);
    assert!(one.plan_holds(&[next], &[], NOW)[0].expires_at >= day);
}

#[test]
fn what_is_added_to_a_reservation_of_nothing_is_set_aside() {
    let (one, first) = OneKey::with_reserved(0);
    one.extended(first, 2, 0, NOW.plus_seconds(7_200), 0);
    let later = NOW.plus_seconds(3_600);
    one.ledger.forget_idle(later);
    let added = one.extend(first, 3, 10, (later, later), 100);
    assert!(matches!(added, Extending::Added(Grant::Tentative)), "{added:?}");
    assert_eq!(one.reserved(later), 10);
    assert!(matches!(one.extend(first, 4, 91, (later, later), 100), Extending::Denied { .. }));
}

#[test]
fn a_reservation_is_extended_by_what_is_known_of_its_budget() {
    let (one, first) = OneKey::with_reserved(5);
    one.ledger.read_again([&one.account].into_iter());
    let Extending::Missing(missing) = one.extend(first, 2, 10, (NOW, NOW), 100) else { panic!("it is out of date") };
    assert_eq!(missing.windows, [(one.account.clone(), Window::LIFETIME)]);
}

#[test]
fn a_reservation_ends_no_earlier_however_parts_come() {
    let hour = NOW.plus_seconds(3_600);
    let (one, first) = OneKey::with_reserved(5);
    for (id, nanos, until) in [(2, 10, NOW), (3, 0, hour)] {
        assert!(matches!(one.extend(first, id, nanos, (until, NOW), 100), Extending::Added(_)));
    }
    let parts = [2, 3].map(Uuid::from_u128);
    one.commit(&one.plan_holds(&parts, &[], NOW), 15, &parts);
    assert_eq!(one.ledger.join(first, parts[1], NOW), Some(hour));
    assert_eq!(one.ledger.join(first, parts[0], NOW), Some(hour));
    assert_eq!(one.ledger.open_reservations(), [(first, hour)]);
    assert!(one.ledger.release(first, NOW));
    assert_eq!(one.reserved(NOW), 0);
}

#[test]
fn more_is_held_up_to_the_limit_that_there_is_now() {
    let (one, first) = OneKey::with_reserved(5);
    assert!(matches!(one.extend(first, 2, 150, (NOW, NOW), 200), Extending::Added(Grant::Tentative)));
    assert_eq!(one.plan_holds(&[Uuid::from_u128(2)], &[], NOW)[0].limit, Some(Usd::from_nanos(200)));
}

#[test]
fn time_is_added_when_other_calls_took_the_room() {
    let hour = NOW.plus_seconds(3_600);
    let (one, first) = OneKey::with_reserved(5);
    assert!(matches!(one.extend(first, 2, 0, (hour, NOW), 100), Extending::Added(Grant::Tentative)));
    let part = Uuid::from_u128(2);
    // Of the 5 that are set aside, only 2 can be held.
    one.commit(&one.plan_holds(&[part], &[], NOW), 2, &[part]);
    assert_eq!(one.ledger.join(first, part, NOW), Some(hour));
}

const HOUR_MICROS: i64 = 3_600_000_000;

#[test]
fn what_others_hold_ends_when_it_did_though_the_clock_is_set() {
    for micros in [-HOUR_MICROS, HOUR_MICROS] {
        let one = OneKey::new();
        let key = (one.account.clone(), Timestamp::EPOCH);
        let lease = Lease { holder: 2, held: Usd::from_nanos(60), expires_at: NOW.plus_seconds(10) };
        let missing = [(one.account.clone(), Window::LIFETIME)];
        let mut books = one.ledger.books.lock();
        books.distrust(std::slice::from_ref(&key));
        books.begin_load(&missing);
        books.end_load(&missing, &HashMap::new(), HashMap::from([(key, vec![lease])]), NOW);
        drop(books);
        assert_eq!(one.reserved(NOW), 60);
        one.ledger.follow_clock(micros);
        let now = NOW.plus_micros(micros);
        assert_eq!((one.reserved(now.plus_seconds(9)), one.reserved(now.plus_seconds(10))), (60, 0));
    }
}

#[test]
fn a_lease_that_was_planned_before_the_clock_was_set_is_not_relied_on() {
    let one = OneKey::new();
    let (first, _) = one.ask(1, 5, NOW);
    let planned = one.ledger.plan(&Batching { tentative: &[first], ..Batching::default() }, NOW);
    one.ledger.follow_clock(-HOUR_MICROS);
    let hold = &planned.holds[0];
    let lease = Lease { holder: 1, held: Usd::from_nanos(15), expires_at: hold.expires_at };
    let outcome = BatchOutcome { holds: vec![(hold.key.clone(), lease, Vec::new())], ..BatchOutcome::default() };
    assert!(one.ledger.apply(&outcome, &planned, &[first], &[]).is_empty(), "the database holds it");
    let later = NOW.plus_micros(-HOUR_MICROS);
    let lines = [Line::of_money(&one.account, &one.budget)];
    let missing = one.ledger.standings(&lines, Counting::Alone, later).expect_err("it must be read again");
    assert_eq!(missing.windows, [(one.account.clone(), Window::LIFETIME)]);
}

/// It is in the balance, of which this run may not have heard.
#[test]
fn what_another_run_settled_is_not_lent_again() {
    let one = OneKey::new();
    let (first, second) = (one.ask(1, 40, NOW).0, one.ask(2, 40, NOW).0);
    one.commit(&one.plan_holds(&[first, second], &[], NOW), 80, &[first, second]);
    one.ledger.hear(&[Closing { reservation: first, tokens: Some(1) }], NOW);
    assert_eq!(one.reserved(NOW), 40);
    let given_back: Vec<i64> = one.plan_upkeep(NOW).iter().map(|hold| hold.held.nanos()).collect();
    assert_eq!(given_back, [40], "the database holds 80");
    assert_eq!(one.ask(3, 40, NOW).1, Grant::Tentative);
    // What expires may have been settled a moment ago, too.
    let later = NOW.plus_seconds(601);
    let (fourth, _) = one.ask(4, 40, later);
    assert_eq!(one.plan_holds(&[fourth], &[], later)[0].held, Usd::ZERO);
}
