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
use crate::gate::rates::TokenNeed;

const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);
const RULES: LedgerRules = LedgerRules { calendar: Calendar::UTC, lease_seconds: 30, reservation_seconds: 600 };

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
        let one = Self { ledger: Ledger::new(RULES), key: Arc::new(key), account, budget };
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
        let line = Line { account, budget: &self.budget, rates: &rates, budget_binds: true, rates_bind: true };
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
            cost: Usd::from_nanos(nanos),
            budgets_apply: true,
            tokens: TokenNeed::default(),
            reserve: Some(&Arc::new(asked)),
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
        assert!(self.ledger.apply(&outcome, tentative, &[], NOW).is_empty());
    }

    /// A ledger that holds 15, of which 5 are reserved.
    fn with_surplus() -> (Self, Uuid) {
        let one = Self::new();
        let (kept, grant) = one.ask(1, 5, NOW);
        let (gone, _) = one.ask(2, 10, NOW);
        assert_eq!(grant, Grant::Tentative, "nothing is held yet");
        let holds = one.ledger.plan_holds(&[kept, gone], &[], NOW);
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
fn nothing_is_granted_on_surplus_that_is_being_given_back() {
    let later = NOW.plus_seconds(12);
    let (one, _) = OneKey::with_surplus();
    let holds = one.ledger.plan_upkeep(later);
    assert_eq!((holds.len(), holds[0].reserved.nanos(), holds[0].held.nanos()), (1, 5, 5));
    assert_eq!(one.ask(3, 10, later).1, Grant::Tentative);
    let (one, _) = OneKey::with_surplus();
    assert_eq!(one.ledger.plan_return(NOW).len(), 1);
    assert_eq!(one.ask(3, 10, NOW).1, Grant::Tentative);
}

#[test]
fn a_batch_keeps_what_calls_are_granted_on_meanwhile() {
    let (one, kept) = OneKey::with_surplus();
    let Settling::Live { .. } = one.ledger.begin_settle(kept, Usd::from_nanos(5), NOW) else { panic!("it is live") };
    // Sent twice: the second is counted once.
    let holds = one.ledger.plan_holds(&[], &[(kept, "a"), (kept, "b")], NOW);
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
