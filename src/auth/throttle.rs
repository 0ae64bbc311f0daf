//! Throttling: after so many failures nothing is tried any more for a while, be
//! it right or wrong; or, of credentials, what is wrong is not told any more; or
//! so many requests of one caller are all that it gets.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use quick_cache::sync::Cache;

use crate::domain::clock::Timestamp;
use crate::domain::reason::Reason;
use crate::error::Error;

/// How many tries are allowed, in so many seconds, and what is told of one more.
#[derive(Clone, Copy, Debug)]
pub struct Allowance {
    tries: usize,
    seconds: i64,
    reason: Reason,
    message: &'static str,
}

impl Allowance {
    /// Of wrong passwords and invitations.
    pub const SIGN_IN: Self = Self {
        tries: 10,
        seconds: 900,
        reason: Reason::TooManyFailures,
        message: "too many failures; try again later",
    };

    /// Of so many wrong credentials a minute, by whoever sends them from one
    /// address: setting `auth_failure_rate`.
    #[must_use]
    pub const fn credentials(a_minute: usize) -> Self {
        Self { tries: a_minute, seconds: 60, ..Self::SIGN_IN }
    }

    /// Of so many requests a minute of one caller: setting `management_rate`.
    #[must_use]
    pub const fn requests(a_minute: usize) -> Self {
        Self {
            tries: a_minute,
            seconds: 60,
            reason: Reason::TooManyRequests,
            message: "you sent too many requests in a minute (setting management_rate); try again later",
        }
    }
}

/// How many subjects are remembered, the most active of them.
const CAPACITY: usize = 100_000;

/// Whose tries are counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// The account that is tried, by its e-mail address or id.
    Account(String),
    /// Where the caller is.
    Address(IpAddr),
    /// Who the caller is, by its name in the audit log.
    Caller(String),
}

/// When the tries of one subject were.
type Tries = Arc<Mutex<VecDeque<Timestamp>>>;

/// Counts tries in memory.
pub struct Throttle {
    allowed: Allowance,
    tried: Cache<Subject, Tries>,
}

/// A guess that counts as a failure until it is known to be right: so that a
/// thousand guesses at once are not a thousand tries.
#[must_use]
pub struct Attempt {
    at: Timestamp,
    counted: Vec<Tries>,
}

impl Throttle {
    /// Allows so many tries.
    #[must_use]
    pub fn new(allowed: Allowance) -> Self {
        Self { allowed, tried: Cache::new(CAPACITY) }
    }

    /// Counts a failure that was found out at once, and says what is told of it:
    /// that there were too many, or what it was. Who shows what is right is not
    /// kept out by the failures of others behind the same address.
    pub fn blame(&self, address: Option<IpAddr>, error: Error, now: Timestamp) -> Error {
        match self.begin(address.map(Subject::Address), now) {
            // Not known to be right, so it counts.
            Ok(_) => error,
            Err(too_many) => too_many,
        }
    }

    /// Begins a guess.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` if one of the subjects failed, or tried, too often.
    pub fn begin(&self, subjects: impl IntoIterator<Item = Subject>, now: Timestamp) -> Result<Attempt, Error> {
        let mut attempt = Attempt { at: now, counted: Vec::new() };
        for subject in subjects {
            let tries = self.of(&subject);
            let full_since = {
                let mut times = tries.lock();
                let since = now.plus_seconds(-self.allowed.seconds);
                while times.front().is_some_and(|at| *at <= since) {
                    times.pop_front();
                }
                let oldest = times.front().copied().filter(|_| times.len() >= self.allowed.tries);
                if oldest.is_none() {
                    times.push_back(now);
                }
                oldest
            };
            if let Some(oldest) = full_since {
                attempt.succeeded();
                let micros = oldest.plus_seconds(self.allowed.seconds).micros_since(now).max(1_000_000);
                return Err(Error::Exhausted {
                    reason: self.allowed.reason,
                    message: self.allowed.message,
                    retry: Duration::from_micros(micros.unsigned_abs()),
                });
            }
            attempt.counted.push(tries);
        }
        Ok(attempt)
    }

    fn of(&self, subject: &Subject) -> Tries {
        let fresh = || -> Result<Tries, std::convert::Infallible> { Ok(Tries::default()) };
        match self.tried.get_or_insert_with(subject, fresh) {
            Ok(tries) => tries,
            Err(never) => match never {},
        }
    }
}

impl Attempt {
    /// The guess was right, and does not count.
    pub fn succeeded(self) {
        for tries in self.counted {
            let mut times = tries.lock();
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
        let throttle = Throttle::new(Allowance::SIGN_IN);
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
    fn bad_credentials_are_told_a_hundred_times_a_minute() {
        let throttle = Throttle::new(Allowance::credentials(100));
        let wrong = || Error::Unauthenticated { reason: Reason::KeyUnknown, message: "wrong", metadata: Vec::new() };
        let blame = |address: u8, seconds: i64| {
            let address = Some(IpAddr::from([127, 0, 0, address]));
            match throttle.blame(address, wrong(), Timestamp::EPOCH.plus_seconds(seconds)) {
                Error::Exhausted { retry, .. } => Some(retry.as_secs()),
                _ => None,
            }
        };
        for _ in 0..100 {
            assert_eq!(blame(1, 0), None);
        }
        assert_eq!((blame(1, 1), blame(2, 1)), (Some(59), None));
        assert_eq!(blame(1, 60), None, "a minute later they are forgotten");
        // Nobody knows where it came from: it is told.
        for _ in 0..200 {
            assert!(matches!(throttle.blame(None, wrong(), Timestamp::EPOCH), Error::Unauthenticated { .. }));
        }
    }

    #[test]
    fn what_succeeds_does_not_count() {
        let throttle = Throttle::new(Allowance::SIGN_IN);
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
