//! Rate limits that hold over all instances: what this one asks of the counts
//! that they share, and how the limits stand by them.

use std::sync::Arc;

use super::Gate;
use super::ledger::{NewReservation, Reservation};
use super::rates::{RateCounts, RateDenial, TokenNeed, deny_by_rates};
use super::standing::{RateKind, RateStanding};
use crate::domain::account::AccountId;
use crate::domain::clock::Timestamp;
use crate::domain::shared_counts::Counting;
use crate::shared_counts::{Counter, Counts, InFlight, SharedCounts, Take, Told};
use crate::traces::span;

/// What became of a call whose limits are counted together.
pub(super) enum Together {
    /// It may be made.
    Admitted,
    /// It may not.
    Refused(RateDenial),
    /// Nobody knows: the counts are away.
    Away,
}

/// A call whose limits are counted together.
#[derive(Clone, Copy)]
pub(super) struct Counted<'a> {
    /// The tokens that it needs.
    pub(super) need: TokenNeed,
    /// What was to be reserved.
    pub(super) asked: Option<&'a Arc<NewReservation>>,
    /// What is.
    pub(super) reservation: Option<&'a Reservation>,
}

impl Counted<'_> {
    /// Whether the caller asks once more about a call that was counted.
    fn is_repeat(&self) -> bool {
        let is_of = |found: &Reservation| self.asked.is_some_and(|asked| Arc::ptr_eq(asked, &found.asked));
        self.reservation.is_some_and(|found| !is_of(found))
    }
}

/// How much is asked of each limit.
#[derive(Clone, Copy)]
enum Asking {
    /// Nothing: how do they stand?
    Look,
    /// What a call needs.
    Call { need: TokenNeed, reserve: bool },
    /// Tokens without a call.
    Tokens(i64),
}

impl Asking {
    fn of(self, kind: RateKind, limit: i64) -> Counter {
        let limited = |need, add| Counter { limit: Some(limit), need, add };
        match (self, kind) {
            (Self::Look, _) | (_, RateKind::TokensPerDay) => limited(0, 0),
            (Self::Call { .. }, RateKind::Requests) => limited(1, 1),
            (Self::Call { need, reserve: true }, RateKind::Tokens) => limited(need.under(limit), need.under(limit)),
            (Self::Call { reserve, .. }, RateKind::Parallel) => limited(1, i64::from(reserve)),
            (Self::Call { .. }, RateKind::Tokens) | (Self::Tokens(_), RateKind::Requests | RateKind::Parallel) => {
                limited(1, 0)
            }
            (Self::Tokens(tokens), RateKind::Tokens) => limited(tokens.max(1), tokens),
        }
    }
}

impl Gate {
    /// How calls are counted now.
    pub(super) fn counting(&self) -> Counting {
        self.shared.as_ref().map_or(Counting::Alone, |shared| shared.counting())
    }

    /// How a call is counted that is decided about now.
    pub(super) fn counting_of_call(&self) -> Counting {
        self.shared.as_ref().map_or(Counting::Alone, |shared| shared.counting_of_call())
    }

    /// How a call is counted of which the others did not hear.
    pub(super) fn counting_alone(&self) -> Counting {
        self.shared.as_ref().map_or(Counting::Alone, |shared| shared.counting_alone())
    }

    /// Takes what an allowed call needs of the limits that instances share, and
    /// says how these stand then. Nothing is reserved any more for a call that is
    /// not admitted.
    pub(super) async fn count_together(
        &self,
        rates: &mut [RateStanding],
        call: Counted<'_>,
        now: Timestamp,
    ) -> Together {
        if call.is_repeat() {
            self.look_together(rates, now).await;
            return Together::Admitted;
        }
        let (need, reserve) = (call.need, call.reservation.is_some());
        let in_flight = call.reservation.map(|of| InFlight { id: of.asked.id, expires_at: of.expires_at });
        let answer = self.ask_together(rates, Asking::Call { need, reserve }, in_flight, now).await;
        if answer == Some(true) {
            return Together::Admitted;
        }
        if let Some(reservation) = call.reservation {
            self.ledger.release(reservation.asked.id, now);
            // It may have been counted, and only the answer be lost.
            tell(self.shared.as_ref(), || Told::Released { id: reservation.asked.id });
        }
        let admits = |standing: &RateStanding| RateCounts::fits(standing, need, reserve);
        match answer.and_then(|_| deny_by_rates(rates, admits, now)) {
            Some(denial) => Together::Refused(denial),
            None => Together::Away,
        }
    }

    /// Takes tokens of the limits that instances share, if there is room, and says
    /// how these stand then. `None`: the counts are away.
    pub(super) async fn meter_together(&self, rates: &mut [RateStanding], tokens: i64, now: Timestamp) -> Option<bool> {
        self.ask_together(rates, Asking::Tokens(tokens), None, now).await
    }

    /// Says how the limits stand that instances share.
    pub(super) async fn look_together(&self, rates: &mut [RateStanding], now: Timestamp) {
        if rates.iter().any(RateStanding::is_shared) {
            // What is away is shown as this instance sees it.
            let _ = self.ask_together(rates, Asking::Look, None, now).await;
        }
    }

    async fn ask_together(
        &self,
        rates: &mut [RateStanding],
        asking: Asking,
        call: Option<InFlight>,
        now: Timestamp,
    ) -> Option<bool> {
        let Some(shared) = &self.shared else { return Some(true) };
        let takes = takes(rates, asking);
        if takes.is_empty() {
            return Some(true);
        }
        let answer = span("redis.take", shared.take(&takes, call, now)).await?;
        let counts: Vec<(AccountId, Counts)> =
            takes.iter().zip(answer.counts).map(|(take, counts)| (take.account.clone(), counts)).collect();
        for standing in rates.iter_mut().filter(|standing| standing.is_shared()) {
            if let Some((_, counts)) = counts.iter().find(|(account, _)| *account == standing.account) {
                standing.remaining = standing.limit.saturating_sub(count_of(counts, standing.kind)).max(0);
            }
        }
        Some(answer.fits)
    }
}

/// What is asked of each account that has limits which instances share.
fn takes(rates: &[RateStanding], asking: Asking) -> Vec<Take<'_>> {
    let mut takes: Vec<Take<'_>> = Vec::new();
    for standing in rates.iter().filter(|standing| standing.is_shared()) {
        let index = takes.iter().position(|take| *take.account == standing.account).unwrap_or_else(|| {
            let nothing = Counter::default();
            takes.push(Take { account: &standing.account, requests: nothing, tokens: nothing, parallel: nothing });
            takes.len() - 1
        });
        let asked = asking.of(standing.kind, standing.limit);
        // What is relaxed is counted, and limits nothing.
        let counter = if standing.relaxed { Counter { limit: None, ..asked } } else { asked };
        match standing.kind {
            RateKind::Requests => takes[index].requests = counter,
            RateKind::Tokens => takes[index].tokens = counter,
            RateKind::Parallel => takes[index].parallel = counter,
            RateKind::TokensPerDay => {}
        }
    }
    takes
}

const fn count_of(counts: &Counts, kind: RateKind) -> i64 {
    match kind {
        RateKind::Requests => counts.requests,
        RateKind::Tokens => counts.tokens,
        RateKind::Parallel | RateKind::TokensPerDay => counts.parallel,
    }
}

/// Tells the counts that instances share what became of a call, if there are any.
pub(super) fn tell(shared: Option<&Arc<SharedCounts>>, told: impl FnOnce() -> Told) {
    if let Some(shared) = shared {
        shared.tell(told());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{TeamId, UserId};

    fn standing(account: &AccountId, kind: RateKind, limit: i64) -> RateStanding {
        let counting = Counting::Together;
        RateStanding {
            account: account.clone(),
            kind,
            limit,
            remaining: limit,
            resets_at: None,
            relaxed: false,
            counting,
        }
    }

    /// What each kind of question asks of each kind of limit of 100.
    #[test]
    fn a_call_asks_for_what_it_needs() {
        let need = TokenNeed { input: 30, output: Some(20) };
        let call = |reserve| Asking::Call { need, reserve };
        for (asking, kind, asked, added) in [
            (Asking::Look, RateKind::Requests, 0, 0),
            (call(true), RateKind::Requests, 1, 1),
            (call(true), RateKind::Tokens, 50, 50),
            (call(true), RateKind::Parallel, 1, 1),
            (call(false), RateKind::Requests, 1, 1),
            (call(false), RateKind::Tokens, 1, 0),
            (call(false), RateKind::Parallel, 1, 0),
            (Asking::Tokens(7), RateKind::Tokens, 7, 7),
            (Asking::Tokens(0), RateKind::Tokens, 1, 0),
            (Asking::Tokens(7), RateKind::Requests, 1, 0),
        ] {
            assert_eq!(asking.of(kind, 100), Counter { limit: Some(100), need: asked, add: added }, "{kind:?}");
        }
    }

    #[test]
    fn an_account_is_asked_once_and_only_for_what_is_shared() {
        let (user, team) = (AccountId::user(&UserId::stored("u")), AccountId::team(&TeamId::stored("t")));
        let mut relaxed = standing(&team, RateKind::Requests, 5);
        relaxed.relaxed = true;
        let rates = [
            standing(&user, RateKind::Parallel, 2),
            standing(&user, RateKind::Requests, 3),
            standing(&user, RateKind::TokensPerDay, 4),
            relaxed,
        ];
        let asking = Asking::Call { need: TokenNeed::default(), reserve: true };
        let takes = takes(&rates, asking);
        let found: Vec<_> = takes.iter().map(|take| (take.account, take.requests.limit, take.parallel.limit)).collect();
        assert_eq!(found, [(&user, Some(3), Some(2)), (&team, None, None)]);
        assert_eq!((takes[1].requests.add, takes[0].tokens), (1, Counter::default()), "counted, and not limited");
    }
}
