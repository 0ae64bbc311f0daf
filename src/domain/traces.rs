//! Traces: where they are sent, and how many of them.

use std::str::FromStr;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

/// Where spans are sent, and of how many calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceRules {
    /// The collector's address.
    pub endpoint: String,
    /// Of how many calls that come without a trace.
    pub share: Share,
}

/// A share of all, from nothing to everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share(Decimal);

impl Share {
    /// Everything.
    pub const ALL: Self = Self(Decimal::ONE);

    /// The share as samplers take it.
    #[must_use]
    #[expect(clippy::disallowed_types, reason = "OpenTelemetry measures in these; no money is")]
    pub fn to_ratio(self) -> f64 {
        self.0.to_f64().unwrap_or(0.0)
    }
}

/// Text that is no share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a number from 0 to 1, such as \"0.1\"")]
pub struct ParseShareError;

impl FromStr for Share {
    type Err = ParseShareError;

    fn from_str(text: &str) -> Result<Self, ParseShareError> {
        let share: Decimal = text.parse().map_err(|_| ParseShareError)?;
        if (Decimal::ZERO..=Decimal::ONE).contains(&share) { Ok(Self(share)) } else { Err(ParseShareError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_between_nothing_and_everything() {
        for (text, good) in
            [("0", true), ("1", true), ("0.05", true), ("1.01", false), ("-0.1", false), ("10%", false), ("", false)]
        {
            assert_eq!(text.parse::<Share>().is_ok(), good, "{text:?}");
        }
    }
}
