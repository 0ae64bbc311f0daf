//! Counts that instances share: where they stand, and how each counts meanwhile.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use http::Uri;

/// Where instances share their counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedCountRules {
    /// The server.
    pub url: RedisUrl,
    /// What all names begin with there.
    pub prefix: String,
}

/// The address of a Redis or Valkey, perhaps with a password, which is shown to
/// nobody.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl(String);

impl RedisUrl {
    /// The address as whoever connects needs it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedisUrl(..)")
    }
}

/// Text that is no such address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an address such as redis://127.0.0.1:6379, or rediss://user:password@host:6379/0 for TLS")]
pub struct ParseRedisUrlError;

impl FromStr for RedisUrl {
    type Err = ParseRedisUrlError;

    fn from_str(text: &str) -> Result<Self, ParseRedisUrlError> {
        let uri: Uri = text.parse().map_err(|_| ParseRedisUrlError)?;
        let is_address = matches!(uri.scheme_str(), Some("redis" | "rediss"))
            && uri.host().is_some_and(|host| !host.is_empty())
            && uri.query().is_none()
            && uri.path().trim_matches('/').chars().all(|digit| digit.is_ascii_digit());
        if is_address { Ok(Self(text.to_owned())) } else { Err(ParseRedisUrlError) }
    }
}

/// How an instance counts calls, tokens of a minute and calls in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Counting {
    /// By itself, as there is nobody else, or each counts by itself.
    #[default]
    Alone,
    /// With all others: what it counts itself decides nothing.
    Together,
    /// By itself for now, with a share of each limit: one of so many.
    Share(NonZeroU32),
}

impl Counting {
    /// What this instance has of a limit: of what allows something, at least one.
    #[must_use]
    pub fn part_of(self, limit: i64) -> i64 {
        match self {
            Self::Share(of) => (limit / i64::from(of.get())).max(limit.min(1)),
            Self::Alone | Self::Together => limit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_part_of_the_limit_and_never_nothing_of_something() {
        let share = |of| Counting::Share(NonZeroU32::new(of).expect("not zero"));
        for (counting, limit, part) in [
            (Counting::Alone, 10, 10),
            (Counting::Together, 10, 10),
            (share(1), 10, 10),
            (share(3), 10, 3),
            (share(3), 2, 1),
            (share(3), 0, 0),
            (share(50), i64::MAX, i64::MAX / 50),
        ] {
            assert_eq!(counting.part_of(limit), part, "{counting:?} of {limit}");
        }
    }

    #[test]
    fn addresses_are_those_of_redis() {
        for (text, is_one) in [
            ("redis://127.0.0.1:6379", true),
            ("redis://cache", true),
            ("rediss://user:pass%40word@cache.example:6380/3", true),
            ("redis://[::1]:6379/", true),
            ("http://127.0.0.1:6379", false),
            ("redis://", false),
            ("redis://host/name", false),
            ("redis://host/0?protocol=resp3", false),
            ("127.0.0.1:6379", false),
            ("", false),
        ] {
            assert_eq!(text.parse::<RedisUrl>().is_ok(), is_one, "{text}");
        }
        let shown = format!("{:?}", "redis://:secret@host".parse::<RedisUrl>());
        assert!(!shown.contains("secret"), "{shown}");
    }
}
