//! Money: an exact count of nano-dollars, parsed and printed here and nowhere else.

#![deny(clippy::arithmetic_side_effects)]

use std::fmt;
use std::str::FromStr;

use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};

/// Nano-dollars in one dollar.
const NANOS_PER_USD: i64 = 1_000_000_000;

/// Fractional digits that the wire and the store carry.
const FRACTION_DIGITS: u32 = 9;

/// An amount of US dollars, exact to 10⁻⁹. At most 9,223,372,036.854775807.
///
/// Limits, spend and reservations are never negative; only corrections of an
/// account are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Usd(i64);

impl Usd {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// The largest amount there is.
    pub const MAX: Self = Self(i64::MAX);

    /// An amount from its nano-dollars.
    #[must_use]
    pub const fn from_nanos(nanos: i64) -> Self {
        Self(nanos)
    }

    /// The amount in nano-dollars.
    #[must_use]
    pub const fn nanos(self) -> i64 {
        self.0
    }

    /// Rounds an exact cost half to even; `None` beyond the range. The one
    /// rounding of a usage event.
    #[must_use]
    pub fn round_half_even(exact: Decimal) -> Option<Self> {
        Self::round(exact, RoundingStrategy::MidpointNearestEven)
    }

    /// Rounds an exact cost up; `None` beyond the range. For reservations,
    /// which must never be too small.
    #[must_use]
    pub fn round_up(exact: Decimal) -> Option<Self> {
        Self::round(exact, RoundingStrategy::AwayFromZero)
    }

    /// A percentage of the amount, rounded up.
    #[must_use]
    pub fn percent(self, percent: u8) -> Self {
        let hundredths = i128::from(self.0).checked_mul(i128::from(percent));
        let rounded_up = hundredths.and_then(|exact| exact.checked_add(99)?.checked_div(100));
        rounded_up.and_then(|nanos| i64::try_from(nanos).ok()).map_or(Self::MAX, Self)
    }

    fn round(exact: Decimal, strategy: RoundingStrategy) -> Option<Self> {
        let rounded = exact.round_dp_with_strategy(FRACTION_DIGITS, strategy);
        let nanos = rounded.checked_mul(Decimal::from(NANOS_PER_USD))?;
        i64::try_from(nanos.normalize().trunc()).ok().map(Self)
    }

    /// The sum; `None` beyond the range.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(nanos) => Some(Self(nanos)),
            None => None,
        }
    }

    /// The difference; `None` beyond the range.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(nanos) => Some(Self(nanos)),
            None => None,
        }
    }

    /// The sum, or the largest amount: for comparisons with a limit, where
    /// "more than there can be" is answer enough.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// What is left after `other`, at least nothing.
    #[must_use]
    pub const fn saturating_less(self, other: Self) -> Self {
        match self.0.checked_sub(other.0) {
            Some(nanos) if nanos > 0 => Self(nanos),
            _ => Self::ZERO,
        }
    }

    /// The amount divided by a positive number, rounded down.
    #[must_use]
    pub const fn portion(self, parts: u32) -> Self {
        match self.0.checked_div(parts as i64) {
            Some(nanos) => Self(nanos),
            None => Self::ZERO,
        }
    }
}

/// Why text is not an amount of money.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseUsdError {
    /// Not a plain decimal number.
    #[error("must be a plain decimal amount of USD such as \"12.5\", without sign, exponent or leading zeros")]
    Malformed,
    /// More than nine digits behind the point.
    #[error("has more than 9 fractional digits; the smallest amount is \"0.000000001\"")]
    TooFine,
    /// Beyond the range of a 64-bit count of nano-dollars.
    #[error("is larger than 9223372036.854775807")]
    TooLarge,
}

impl Usd {
    /// The amount in dollars, exactly.
    #[must_use]
    pub fn to_decimal(self) -> Decimal {
        Decimal::new(self.0, 9)
    }

    /// Parses an amount that may have a minus sign.
    ///
    /// # Errors
    /// [`ParseUsdError`] as without one.
    pub fn parse_signed(text: &str) -> Result<Self, ParseUsdError> {
        match text.strip_prefix('-') {
            Some(amount) => amount.parse().map(|Self(nanos)| Self(nanos.saturating_neg())),
            None => text.parse(),
        }
    }
}

impl FromStr for Usd {
    type Err = ParseUsdError;

    /// Parses `^(0|[1-9][0-9]{0,9})(\.[0-9]{1,9})?$`.
    fn from_str(text: &str) -> Result<Self, ParseUsdError> {
        let (whole, fraction) = match text.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (text, None),
        };
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let leading_zero = whole.len() > 1 && whole.starts_with('0');
        if !digits(whole) || leading_zero || fraction.is_some_and(|part| !digits(part)) {
            return Err(ParseUsdError::Malformed);
        }
        let fraction = fraction.unwrap_or("");
        if fraction.len() > FRACTION_DIGITS as usize {
            return Err(ParseUsdError::TooFine);
        }
        let nanos = |part: &str| part.parse::<i64>().map_err(|_| ParseUsdError::TooLarge);
        let whole = nanos(whole)?.checked_mul(NANOS_PER_USD);
        let fraction = nanos(&format!("{fraction:0<9}"))?;
        whole.and_then(|whole| whole.checked_add(fraction)).map(Self).ok_or(ParseUsdError::TooLarge)
    }
}

impl fmt::Display for Usd {
    /// The shortest decimal form: `0`, `12.5`, `0.00001095`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 0 {
            f.write_str("-")?;
        }
        // Written in one go: an answer to a call holds two dozen amounts.
        let mut text = *b"0000000000.000000000";
        let mut rest = self.0.unsigned_abs();
        for digit in text.iter_mut().rev().filter(|byte| **byte != b'.') {
            if rest == 0 {
                break;
            }
            *digit = b'0'.saturating_add(u8::try_from(rest % 10).unwrap_or(0));
            rest /= 10;
        }
        let text = std::str::from_utf8(&text).map_err(|_| fmt::Error)?;
        let text = text.trim_end_matches('0').trim_end_matches('.');
        let zeros = text.bytes().take(LEADING_ZEROS_MAX).take_while(|digit| *digit == b'0').count();
        f.write_str(text.get(zeros..).unwrap_or_default())
    }
}

/// The zeros before the point that are left out: all but the last of ten.
const LEADING_ZEROS_MAX: usize = 9;

impl From<Usd> for String {
    fn from(amount: Usd) -> Self {
        amount.to_string()
    }
}

impl TryFrom<String> for Usd {
    type Error = ParseUsdError;

    fn try_from(text: String) -> Result<Self, ParseUsdError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn amounts_print_in_their_shortest_form() {
        for (nanos, text) in [
            (0, "0"),
            (1, "0.000000001"),
            (10_950, "0.00001095"),
            (12_500_000_000, "12.5"),
            (1_000_000_000, "1"),
            (-1_500_000_000, "-1.5"),
            (i64::MAX, "9223372036.854775807"),
        ] {
            assert_eq!(Usd::from_nanos(nanos).to_string(), text);
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        use ParseUsdError::{Malformed, TooFine, TooLarge};
        for (text, error) in [
            ("", Malformed),
            (".5", Malformed),
            ("1.", Malformed),
            ("007", Malformed),
            ("00", Malformed),
            ("-1", Malformed),
            ("+1", Malformed),
            ("1e3", Malformed),
            ("1,5", Malformed),
            (" 1", Malformed),
            ("NaN", Malformed),
            ("inf", Malformed),
            ("1.5.5", Malformed),
            ("٣", Malformed),
            ("0.0000000001", TooFine),
            ("9223372036.854775808", TooLarge),
            ("9999999999", TooLarge),
            ("99999999999999999999999", TooLarge),
        ] {
            assert_eq!(text.parse::<Usd>(), Err(error), "{text:?}");
        }
    }

    #[test]
    fn costs_round_half_to_even_and_estimates_up() {
        let tenth_nanos = |tenths: i64| Decimal::new(tenths, 10);
        for (tenths, even, up) in [(0, 0, 0), (4, 0, 1), (5, 0, 1), (6, 1, 1), (15, 2, 2), (25, 2, 3), (35, 4, 4)] {
            assert_eq!(Usd::round_half_even(tenth_nanos(tenths)), Some(Usd(even)));
            assert_eq!(Usd::round_up(tenth_nanos(tenths)), Some(Usd(up)));
        }
        assert_eq!(Usd::round_half_even(Decimal::MAX), None);
    }

    proptest! {
        #[test]
        fn parsing_undoes_printing(nanos in 0..=i64::MAX) {
            let amount = Usd::from_nanos(nanos);
            prop_assert_eq!(amount.to_string().parse::<Usd>(), Ok(amount));
        }

        #[test]
        fn printing_undoes_parsing_up_to_trailing_zeros(text in "(0|[1-9][0-9]{0,8})(\\.[0-9]{1,9})?") {
            let printed = text.parse::<Usd>().expect("matches the grammar").to_string();
            let trimmed = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
            prop_assert_eq!(printed, trimmed);
        }

        #[test]
        fn junk_never_panics(text in "\\PC{0,24}") {
            let _ = text.parse::<Usd>();
        }
    }
}
