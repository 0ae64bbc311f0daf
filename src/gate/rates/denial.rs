//! What a call is told that rate limits deny.

use super::super::standing::{RateKind, RateStanding};
use crate::domain::clock::Timestamp;
use crate::domain::decision::{Denial, DenyReason};

/// How many seconds a caller should wait for a call in flight to end.
const PARALLEL_WAIT_SECONDS: i64 = 1;

/// A call that a rate limit denies.
#[derive(Debug)]
pub(in crate::gate) struct RateDenial {
    /// Why.
    pub denial: Denial,
    /// When it may be worth asking again: when the last of the limits that deny it
    /// lets calls through.
    pub retry_at: Option<Timestamp>,
}

/// Whether limits deny a call, and then puts those that do first.
pub(in crate::gate) fn deny_by_rates(
    rates: &mut [RateStanding],
    admits: impl Fn(&RateStanding) -> bool,
    now: Timestamp,
) -> Option<RateDenial> {
    let failing = rates.iter().find(|standing| !admits(standing))?;
    let scope = Some(failing.account.scope());
    let denial = Denial { reason: DenyReason::RateLimited, scope, message: failing.in_words() };
    let waits = rates.iter().filter(|standing| !admits(standing)).map(|standing| wait_for(standing, now));
    let retry_at = waits.max();
    rates.sort_by_key(admits);
    Some(RateDenial { denial, retry_at })
}

fn wait_for(standing: &RateStanding, now: Timestamp) -> Timestamp {
    match standing.kind {
        RateKind::Parallel => now.plus_seconds(PARALLEL_WAIT_SECONDS),
        RateKind::Requests | RateKind::Tokens | RateKind::TokensPerDay => standing.resets_at.unwrap_or(now),
    }
}
