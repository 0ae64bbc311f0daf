//! Throttling of guesses: after so many failures nothing is tried any more for
//! a while, be it right or wrong.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use quick_cache::sync::Cache;

use crate::domain::clock::Timestamp;
use crate::domain::reason::Reason;
use crate::error::Error;

/// How many failures are allowed …
const FAILURES: usize = 10;
/// … in so many seconds.
const WINDOW_SECONDS: i64 = 900;
/// How many subjects are remembered, the most active of them.
const CAPACITY: usize = 100_000;

/// Whose failures are counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// The account that is tried, by its e-mail address or id.
    Account(String),
    /// Where the caller is.
    Address(IpAddr),
}

/// When the failures of one subject were.
type Failures = Arc<Mutex<VecDeque<Timestamp>>>;

/// Counts failures in memory.
pub struct Throttle(Cache<Subject, Failures>);

impl Default for Throttle {
    fn default() -> Self {
        Self(Cache::new(CAPACITY))
    }
}

/// A guess that counts as a failure until it is known to be right: so that a
/// thousand guesses at once are not a thousand tries.
#[must_use]
pub struct Attempt {
    at: Timestamp,
    counted: Vec<Failures>,
}

impl Throttle {
    /// Begins a guess.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` if one of the subjects failed too often.
    pub fn begin(&self, subjects: impl IntoIterator<Item = Subject>, now: Timestamp) -> Result<Attempt, Error> {
        let mut attempt = Attempt { at: now, counted: Vec::new() };
        for subject in subjects {
            let failures = self.of(&subject);
            let full_since = {
                let mut times = failures.lock();
                let since = now.plus_seconds(-WINDOW_SECONDS);
                while times.front().is_some_and(|at| *at <= since) {
                    times.pop_front();
                }
                let oldest = times.front().copied().filter(|_| times.len() >= FAILURES);
                if oldest.is_none() {
                    times.push_back(now);
                }
                oldest
            };
            if let Some(oldest) = full_since {
                attempt.succeeded();
                let micros = oldest.plus_seconds(WINDOW_SECONDS).micros_since(now).max(1_000_000);
                return Err(Error::Exhausted {
                    reason: Reason::TooManyFailures,
                    message: "too many failures; try again later",
                    retry: Duration::from_micros(micros.unsigned_abs()),
                });
            }
            attempt.counted.push(failures);
        }
        Ok(attempt)
    }

    fn of(&self, subject: &Subject) -> Failures {
        let fresh = || -> Result<Failures, std::convert::Infallible> { Ok(Failures::default()) };
        match self.0.get_or_insert_with(subject, fresh) {
            Ok(failures) => failures,
            Err(never) => match never {},
        }
    }
}

impl Attempt {
    /// The guess was right, and does not count.
    pub fn succeeded(self) {
        for failures in self.counted {
            let mut times = failures.lock();
            if let Some(index) = times.iter().rposition(|at| *at == self.at) {
                times.remove(index);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> [Subject; 1] {
        [Subject::Account("a@b.c".to_owned())]
    }

    fn retry_after(result: Result<Attempt, Error>) -> Option<u64> {
        match result {
            Err(Error::Exhausted { retry, .. }) => Some(retry.as_secs()),
            _ => None,
        }
    }

    #[test]
    fn the_eleventh_failure_in_a_quarter_of_an_hour_is_not_tried() {
        let throttle = Throttle::default();
        let at = |seconds: i64| Timestamp::EPOCH.plus_seconds(seconds);
        for second in 0..10 {
            let _ = throttle.begin(account(), at(second)).expect("allowed");
        }
        assert_eq!(retry_after(throttle.begin(account(), at(100))), Some(800), "until the first is forgotten");
        let other = [Subject::Account("other".to_owned())];
        assert_eq!(retry_after(throttle.begin(other, at(100))), None);
        assert_eq!(retry_after(throttle.begin(account(), at(899))), Some(1));
        assert_eq!(retry_after(throttle.begin(account(), at(900))), None);
        assert_eq!(retry_after(throttle.begin(account(), at(900))), Some(1), "one was forgotten, not ten");
    }

    #[test]
    fn what_succeeds_does_not_count() {
        let throttle = Throttle::default();
        for _ in 0..100 {
            throttle.begin(account(), Timestamp::EPOCH).expect("allowed").succeeded();
        }
        let address = Subject::Address(IpAddr::from([127, 0, 0, 1]));
        for _ in 0..10 {
            let _ = throttle.begin([address.clone()], Timestamp::EPOCH).expect("allowed");
        }
        // A refusal by the address does not count against the account.
        for _ in 0..100 {
            let both = account().into_iter().chain([address.clone()]);
            assert!(retry_after(throttle.begin(both, Timestamp::EPOCH)).is_some());
        }
        assert!(throttle.begin(account(), Timestamp::EPOCH).is_ok());
    }
}
