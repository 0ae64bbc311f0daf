//! Rates: calls, tokens and calls in flight of one account.
//!
//! Minutes are fixed and aligned to UTC: at most the limit in each minute, so
//! at most twice the limit in any sixty seconds.

mod day;
mod denial;

use self::day::{CountedDay, DayCount};
pub(super) use self::denial::{RateDenial, deny_by_rates};
use super::standing::{RateKind, RateStanding};
use crate::domain::account::{Line, Scope};
use crate::domain::clock::Timestamp;
use crate::domain::limit::Rates;
use crate::domain::shared_counts::Counting;

/// Output tokens that are expected of a call that names no maximum.
const EXPECTED_OUTPUT: i64 = 1_024;

/// The order in which scopes are checked.
pub(super) const fn rank(scope: Scope) -> u8 {
    match scope {
        Scope::Key | Scope::KeyWindow => 0,
        Scope::KeyModel => 1,
        Scope::User | Scope::UserPersonal => 2,
        Scope::UserModel => 3,
        Scope::Team => 4,
        Scope::TeamModel => 5,
        Scope::TeamMember => 6,
        Scope::Customer => 7,
        Scope::CustomerModel => 8,
        Scope::Organization => 9,
        Scope::OrganizationModel => 10,
        Scope::OrganizationMember => 11,
        Scope::Tag | Scope::Provider | Scope::Model | Scope::Global => 12,
    }
}

/// What an account used up in the current minute, and what is in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RateCounts {
    minute: i64,
    requests: i64,
    tokens: i64,
    parallel: i64,
    day: DayCount,
}

/// What a call is expected to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenNeed {
    /// Input tokens.
    pub input: i64,
    /// The most output tokens, if the caller names it.
    pub output: Option<i64>,
}

impl TokenNeed {
    /// The tokens that are set aside under a limit: at least one, and at most
    /// the limit itself, so that a large call is admitted in an empty minute.
    pub(super) fn under(self, limit: i64) -> i64 {
        let output = self.output.unwrap_or_else(|| EXPECTED_OUTPUT.min(limit / 4));
        self.input.saturating_add(output).clamp(1, limit.max(1))
    }
}

impl RateCounts {
    /// Forgets a minute that is over, and a day.
    pub(super) fn turn(&mut self, now: Timestamp) {
        let minute = now.utc_minute();
        // What was begun before the minute turned must not turn it back; a clock
        // that was set back must.
        if minute > self.minute || minute + 1 < self.minute {
            *self = Self { minute, parallel: self.parallel, day: self.day, ..Self::default() };
        }
        self.day.turn(now);
    }

    /// Whether the tokens of the day must be read before these limits are judged:
    /// if they are known and old, whoever asks first is to read them.
    pub(super) fn wants_day(&mut self, rates: &Rates, now: Timestamp) -> bool {
        rates.tpd.is_some() && self.day.claim_reading(now)
    }

    /// Takes over the tokens that the database counted on the day of an instant.
    pub(super) fn take_day(&mut self, tokens: i64, now: Timestamp) {
        self.day.take(tokens, now);
    }

    /// Adds how the limits stand, in the order in which they are checked.
    pub(super) fn add_standings(&self, line: &Line<'_>, counting: Counting, standings: &mut Vec<RateStanding>) {
        let Line { account, rates, relaxed, .. } = *line;
        if rates.is_unlimited() {
            return;
        }
        let minute_end = Timestamp::of_utc_minute(self.minute + 1);
        let standing = |kind, limit: Option<i64>, used: i64, resets_at| {
            limit.map(|limit| {
                // The database adds up days for all instances.
                let limit = if kind == RateKind::TokensPerDay { limit } else { counting.part_of(limit) };
                RateStanding {
                    account: account.clone(),
                    kind,
                    limit,
                    remaining: limit.saturating_sub(used).max(0),
                    resets_at,
                    relaxed: match kind {
                        RateKind::Tokens => relaxed.tokens,
                        RateKind::Requests => relaxed.requests,
                        RateKind::Parallel | RateKind::TokensPerDay => false,
                    },
                    counting,
                }
            })
        };
        let limits = [
            standing(RateKind::Parallel, rates.parallel, self.parallel, None),
            standing(RateKind::Requests, rates.rpm, self.requests, Some(minute_end)),
            standing(RateKind::Tokens, rates.tpm, self.tokens, Some(minute_end)),
            standing(RateKind::TokensPerDay, rates.tpd, self.day.taken(), Some(self.day.end())),
        ];
        standings.extend(limits.into_iter().flatten());
    }

    /// Whether a limit that stands like this lets one more call through, as far as
    /// this instance decides about it.
    pub(super) fn admits(standing: &RateStanding, need: TokenNeed, reserve: bool) -> bool {
        standing.is_shared() || Self::fits(standing, need, reserve)
    }

    /// Whether a limit that stands like this has room for one more call.
    pub(super) fn fits(standing: &RateStanding, need: TokenNeed, reserve: bool) -> bool {
        match standing.kind {
            _ if standing.relaxed => true,
            RateKind::Tokens | RateKind::TokensPerDay if reserve => standing.remaining >= need.under(standing.limit),
            // Without a reservation no tokens are set aside: any room will do.
            RateKind::Parallel | RateKind::Requests | RateKind::Tokens | RateKind::TokensPerDay => {
                standing.remaining >= 1
            }
        }
    }

    /// Shows a call as counted that was admitted under a limit that stood like this.
    pub(super) fn show_counted(standing: &mut RateStanding, need: TokenNeed, reserve: bool) {
        let taken = match standing.kind {
            RateKind::Requests => 1,
            RateKind::Parallel => i64::from(reserve),
            RateKind::Tokens | RateKind::TokensPerDay if reserve => need.under(standing.limit),
            RateKind::Tokens | RateKind::TokensPerDay => 0,
        };
        standing.remaining = standing.remaining.saturating_sub(taken).max(0);
    }

    /// Whether a limit that stands like this has room for some tokens without a
    /// call: for these, or for anything at all.
    pub(super) fn has_room(standing: &RateStanding, tokens: i64) -> bool {
        let need = match standing.kind {
            RateKind::Tokens | RateKind::TokensPerDay if tokens > 1 => tokens,
            RateKind::Parallel | RateKind::Requests | RateKind::Tokens | RateKind::TokensPerDay => 1,
        };
        standing.relaxed || standing.is_shared() || standing.remaining >= need
    }

    /// Counts a call that was admitted; returns what it was counted as.
    pub(super) fn count(&mut self, rates: &Rates, counting: Counting, need: TokenNeed, reserve: bool) -> CountedCall {
        let needed = |limit: Option<i64>| limit.filter(|_| reserve).map_or(0, |limit| need.under(limit));
        let tokens = needed(rates.tpm.map(|limit| counting.part_of(limit)));
        self.requests += 1;
        self.tokens = self.tokens.saturating_add(tokens);
        self.parallel += i64::from(reserve);
        CountedCall { minute: self.minute, tokens, day: self.day.reserve(needed(rates.tpd)) }
    }

    /// A reserved call ended and used these tokens: they replace those set
    /// aside, if the minute is still the same.
    pub(super) fn settle(&mut self, counted: CountedCall, used: i64) {
        self.parallel -= 1;
        if self.minute == counted.minute {
            self.tokens = self.tokens.saturating_sub(counted.tokens).saturating_add(used);
        }
        self.day.settle(counted.day, used);
    }

    /// A reserved call was not made.
    pub(super) fn release(&mut self, counted: CountedCall) {
        self.parallel -= 1;
        if self.minute == counted.minute {
            self.requests -= 1;
            self.tokens = self.tokens.saturating_sub(counted.tokens);
        }
        self.day.free(counted.day);
    }

    /// A reserved call was never heard of again: it counts as a call.
    pub(super) fn expire(&mut self, counted: CountedCall) {
        self.parallel -= 1;
        self.day.free(counted.day);
    }

    /// Tokens that were used without a reservation.
    pub(super) fn add_tokens(&mut self, used: i64) {
        self.tokens = self.tokens.saturating_add(used);
        self.day.add(used);
    }

    /// Whether there is nothing to remember.
    pub(super) fn is_idle(&self, now: Timestamp) -> bool {
        self.parallel == 0 && self.minute != now.utc_minute()
    }
}

/// What a call was counted as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CountedCall {
    minute: i64,
    tokens: i64,
    day: CountedDay,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::account::AccountId;
    use crate::domain::ids::UserId;

    const NOW: Timestamp = Timestamp::from_micros(1_700_000_005_000_000);

    fn admits(counts: &RateCounts, rates: &Rates, need: TokenNeed) -> bool {
        let account = AccountId::user(&UserId::stored("u"));
        let mut standings = Vec::new();
        counts.add_standings(&Line::of_rates(&account, rates), Counting::Alone, &mut standings);
        standings.iter().all(|standing| RateCounts::admits(standing, need, true))
    }

    fn need(input: i64, output: i64) -> TokenNeed {
        TokenNeed { input, output: Some(output) }
    }

    #[test]
    fn as_many_calls_as_the_limit_are_admitted_in_a_minute() {
        let rates = Rates { rpm: Some(2), ..Rates::default() };
        let mut counts = RateCounts::default();
        for now in [NOW, NOW.plus_seconds(60)] {
            counts.turn(now);
            for _ in 0..2 {
                assert!(admits(&counts, &rates, need(1, 1)));
                counts.count(&rates, Counting::Alone, need(1, 1), true);
            }
            assert!(!admits(&counts, &rates, need(1, 1)));
        }
    }

    #[test]
    fn a_slot_is_free_again_when_its_call_ends() {
        let rates = Rates { parallel: Some(1), ..Rates::default() };
        let ends: [fn(&mut RateCounts, CountedCall); 2] = [RateCounts::expire, |counts, call| counts.settle(call, 0)];
        for end in ends {
            let mut counts = RateCounts::default();
            let call = counts.count(&rates, Counting::Alone, need(1, 1), true);
            assert!(!admits(&counts, &rates, need(1, 1)));
            end(&mut counts, call);
            assert!(admits(&counts, &rates, need(1, 1)));
        }
    }

    #[test]
    fn real_tokens_replace_the_expected_ones_in_the_same_minute_only() {
        let rates = Rates { tpm: Some(1_000), ..Rates::default() };
        let mut counts = RateCounts::default();
        counts.turn(NOW);
        let call = counts.count(&rates, Counting::Alone, need(300, 200), true);
        assert!(admits(&counts, &rates, need(300, 200)) && !admits(&counts, &rates, need(300, 201)));
        let mut later = counts;
        counts.settle(call, 100);
        assert!(admits(&counts, &rates, need(900, 0)) && !admits(&counts, &rates, need(901, 0)));
        later.turn(NOW.plus_seconds(60));
        later.settle(call, 100);
        assert!(admits(&later, &rates, need(1_000, 0)), "the next minute is untouched");
    }

    #[test]
    fn a_call_larger_than_the_limit_is_admitted_in_an_empty_minute() {
        let rates = Rates { tpm: Some(100), ..Rates::default() };
        let mut counts = RateCounts::default();
        counts.turn(NOW);
        assert!(admits(&counts, &rates, need(5_000, 5_000)));
        counts.count(&rates, Counting::Alone, need(5_000, 5_000), true);
        assert!(!admits(&counts, &rates, need(1, 0)));
    }

    #[test]
    fn zero_admits_nothing() {
        for rates in [
            Rates { rpm: Some(0), ..Rates::default() },
            Rates { tpm: Some(0), ..Rates::default() },
            Rates { parallel: Some(0), ..Rates::default() },
            Rates { tpd: Some(0), ..Rates::default() },
        ] {
            assert!(!admits(&RateCounts::default(), &rates, need(1, 1)), "{rates:?}");
        }
    }

    #[test]
    fn a_released_call_gives_everything_back() {
        let rates = Rates { rpm: Some(1), tpm: Some(10), parallel: Some(1), tpd: Some(10) };
        let mut counts = RateCounts::default();
        counts.turn(NOW);
        let before = counts;
        let call = counts.count(&rates, Counting::Alone, need(5, 5), true);
        counts.release(call);
        assert_eq!(counts, before);
    }

    #[test]
    fn tokens_of_a_day_count_until_it_ends() {
        let rates = Rates { tpd: Some(1_000), ..Rates::default() };
        let mut counts = RateCounts::default();
        counts.turn(NOW);
        assert!(counts.wants_day(&rates, NOW), "nobody knows what was used before");
        counts.take_day(300, NOW);
        let mut old = counts;
        assert!(!old.wants_day(&rates, NOW.plus_seconds(29)) && old.wants_day(&rates, NOW.plus_seconds(30)));
        assert!(!old.wants_day(&rates, NOW.plus_seconds(30)), "one is enough");
        let call = counts.count(&rates, Counting::Alone, need(100, 100), true);
        assert!(admits(&counts, &rates, need(500, 0)) && !admits(&counts, &rates, need(501, 0)));
        let (mut settled, mut expired, mut late) = (counts, counts, counts);
        settled.turn(NOW.plus_seconds(60));
        settled.settle(call, 50);
        assert!(admits(&settled, &rates, need(650, 0)) && !admits(&settled, &rates, need(651, 0)));
        // Read before this call was committed, and after.
        settled.take_day(300, NOW.plus_seconds(60));
        assert!(!admits(&settled, &rates, need(651, 0)));
        settled.take_day(400, NOW.plus_seconds(60));
        assert!(admits(&settled, &rates, need(600, 0)) && !admits(&settled, &rates, need(601, 0)));
        expired.expire(call);
        assert!(admits(&expired, &rates, need(700, 0)) && !admits(&expired, &rates, need(701, 0)));
        late.turn(NOW.plus_seconds(86_400));
        late.settle(call, 50);
        assert!(admits(&late, &rates, need(1_000, 0)), "the next day is untouched");
    }
}
