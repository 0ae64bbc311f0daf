//! Learned estimates: how many output tokens the calls of a key with a model
//! really use. A budget that learns sets that aside, where the most that a call
//! may use is more.
//!
//! It is known to this process alone, and begins anew with it: until enough calls
//! were seen, the most that a call may use is what counts.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use parking_lot::Mutex;

use crate::domain::clock::Timestamp;
use crate::domain::identity::Payer;

/// How many calls must have been seen before they are relied on.
const CALLS_MIN: u32 = 100;

/// When as many were seen, they count half: what was long ago fades.
const CALLS_MAX: u32 = 10_000;

/// So many of a thousand calls use no more than the estimate.
const PER_MILLE: u64 = 990;

/// Sizes are told apart as powers of two, each in so many steps.
const STEPS: u32 = 4;
/// Room for two to the 24th tokens and more.
const BUCKETS: usize = 24 * STEPS as usize;

/// The most pairs of a key and a model that are remembered.
const PAIRS_MAX: usize = 100_000;

/// A pair that was not seen for so many seconds is forgotten.
const IDLE_SECONDS: i64 = 86_400;

/// What a call used.
#[derive(Clone, Debug)]
pub(super) struct Used {
    /// Who made it.
    pub(super) payer: Payer,
    /// The model that was called.
    pub(super) model: Box<str>,
    /// The output tokens that it used.
    pub(super) tokens: i64,
}

type Pairs = HashMap<(Payer, Box<str>), Sketch, RandomState>;

/// What calls used, by whose they were and by model.
#[derive(Default)]
pub(super) struct Learned(Mutex<Pairs>);

impl Learned {
    /// A call was made.
    pub(super) fn observe(&self, call: Used, now: Timestamp) {
        let Used { payer, model, tokens } = call;
        let (mut pairs, pair) = (self.0.lock(), (payer, model));
        if pairs.len() < PAIRS_MAX || pairs.contains_key(&pair) {
            pairs.entry(pair).or_default().add(tokens, now);
        }
    }

    /// The output tokens that a call will hardly exceed; `None` before enough
    /// calls were seen.
    pub(super) fn high(&self, payer: Payer, model: &str) -> Option<i64> {
        self.0.lock().get(&(payer, Box::from(model)))?.high()
    }

    /// Forgets who has not called for a day.
    pub(super) fn forget_idle(&self, now: Timestamp) {
        let idle_before = now.plus_seconds(-IDLE_SECONDS);
        self.0.lock().retain(|_, sketch| sketch.seen_at >= idle_before);
    }
}

/// How many calls were of each size.
#[derive(Clone, Debug)]
struct Sketch {
    counts: [u32; BUCKETS],
    calls: u32,
    seen_at: Timestamp,
}

impl Default for Sketch {
    fn default() -> Self {
        Self { counts: [0; BUCKETS], calls: 0, seen_at: Timestamp::EPOCH }
    }
}

impl Sketch {
    fn add(&mut self, tokens: i64, now: Timestamp) {
        self.counts[bucket_of(tokens)] += 1;
        self.calls += 1;
        self.seen_at = now;
        if self.calls >= CALLS_MAX {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.calls = self.counts.iter().sum();
        }
    }

    fn high(&self) -> Option<i64> {
        if self.calls < CALLS_MIN {
            return None;
        }
        let enough = (u64::from(self.calls) * PER_MILLE).div_ceil(1_000);
        let mut seen = 0;
        let bucket = self.counts.iter().position(|count| {
            seen += u64::from(*count);
            seen >= enough
        });
        bucket.map(top_of)
    }
}

/// Where a number of tokens is counted: the first bucket whose top it does not
/// pass.
fn bucket_of(tokens: i64) -> usize {
    (0..BUCKETS - 1).find(|bucket| tokens <= top_of(*bucket)).unwrap_or(BUCKETS - 1)
}

/// The most tokens of a bucket: 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, …
fn top_of(bucket: usize) -> i64 {
    let bucket = i64::try_from(bucket).unwrap_or(i64::MAX);
    let steps = i64::from(STEPS);
    if bucket < steps {
        return bucket + 1;
    }
    let (octave, step) = (bucket / steps - 1, bucket % steps);
    (steps + step + 1) << octave
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::identity::Principal;

    const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

    fn payer() -> Payer {
        Payer::Principal(Principal::default())
    }

    fn used(tokens: i64) -> Used {
        Used { payer: payer(), model: "m".into(), tokens }
    }

    fn high_of(calls: &[(u32, i64)]) -> Option<i64> {
        let learned = Learned::default();
        for (times, tokens) in calls {
            (0..*times).for_each(|_| learned.observe(used(*tokens), NOW));
        }
        assert_eq!(learned.high(payer(), "another"), None);
        learned.high(payer(), "m")
    }

    #[test]
    fn an_estimate_is_what_nearly_all_calls_keep() {
        for (calls, high) in [
            (&[(99, 10)][..], None),
            (&[(100, 10)], Some(10)),
            (&[(100, 0)], Some(1)),
            (&[(100, 1_000)], Some(1_024)),
            (&[(990, 100), (10, 4_000)], Some(112)),
            (&[(980, 100), (20, 4_000)], Some(4_096)),
            (&[(100, i64::MAX)], Some(top_of(BUCKETS - 1))),
            // What was long ago fades.
            (&[(9_000, 4_000), (60_000, 100)], Some(112)),
        ] {
            assert_eq!(high_of(calls), high, "{calls:?}");
        }
    }

    #[test]
    fn buckets_have_no_gap_and_no_step_larger_than_a_quarter() {
        for bucket in 1..BUCKETS {
            let (below, top) = (top_of(bucket - 1), top_of(bucket));
            assert!(below < top && bucket_of(below + 1) == bucket && bucket_of(top) == bucket, "{bucket}");
            assert!(below < 4 || top * 4 <= below * 5, "{below} {top}");
        }
    }

    #[test]
    fn who_does_not_call_any_more_is_forgotten() {
        let learned = Learned::default();
        (0..CALLS_MIN).for_each(|_| learned.observe(used(10), NOW));
        learned.forget_idle(NOW.plus_seconds(IDLE_SECONDS));
        assert!(learned.high(payer(), "m").is_some());
        learned.forget_idle(NOW.plus_seconds(IDLE_SECONDS + 1));
        assert!(learned.high(payer(), "m").is_none());
    }
}
