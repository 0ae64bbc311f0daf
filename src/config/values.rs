//! Kinds of values that settings have.

use std::time::Duration;

use http::HeaderName;

use crate::domain::window::Length;

/// A length of time in a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period(Length);

impl std::str::FromStr for Period {
    type Err = crate::domain::window::ParseLengthError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl Period {
    /// Its seconds.
    pub const fn seconds(self) -> i64 {
        self.0.nominal_seconds()
    }

    /// The period as the standard library has it.
    pub fn duration(self) -> Duration {
        Duration::from_secs(self.seconds().unsigned_abs())
    }
}

/// So many a minute: 1-100,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PerMinute(usize);

impl PerMinute {
    /// How many.
    pub const fn get(self) -> usize {
        self.0
    }
}

impl std::str::FromStr for PerMinute {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = text.parse().ok().filter(|number| (1..=100_000).contains(number));
        number.map(Self).ok_or("must be a whole number, 1-100000")
    }
}

/// Metadata that means something else.
const TAKEN: [&str; 6] = ["authorization", "content-type", "te", "traceparent", "tracestate", "x-request-id"];

/// What the names of such metadata begin with.
const TAKEN_PREFIXES: [&str; 2] = ["grpc-", "bursar-"];

/// The name of the metadata that holds a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataName(HeaderName);

impl MetadataName {
    /// The name.
    pub const fn get(&self) -> &HeaderName {
        &self.0
    }
}

impl std::str::FromStr for MetadataName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.parse().ok().filter(|name: &HeaderName| {
            let name = name.as_str();
            let is_taken = TAKEN.contains(&name) || TAKEN_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
            !is_taken && !name.ends_with("-bin")
        });
        name.map(Self)
            .ok_or("must be the name of metadata that holds text, and not one that gRPC, HTTP or Bursar uses itself")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_names_of_metadata_have_bounds() {
        for (text, fits) in
            [("1", true), ("100000", true), ("0", false), ("100001", false), ("-1", false), ("x", false)]
        {
            assert_eq!(text.parse::<PerMinute>().is_ok(), fits, "{text}");
        }
        for (text, fits) in [
            ("x-key", true),
            ("X-Key", true),
            ("authorization", false),
            ("grpc-timeout", false),
            ("x-request-id", false),
            ("bursar-team-id", false),
            ("traceparent", false),
            ("key-bin", false),
            ("a b", false),
            ("", false),
        ] {
            assert_eq!(text.parse::<MetadataName>().is_ok(), fits, "{text}");
        }
    }
}
