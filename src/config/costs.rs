//! The settings of discounts and margins.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer};

use super::parse::parsed;
use super::{ConfigError, Settings};
use crate::domain::money::Usd;
use crate::domain::pricing::Markups;

/// A share of a price, such as `0.05` for five percent. At most 100, which is
/// ten thousand percent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share(Decimal);

/// Text that is no share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParseShareError;

impl fmt::Display for ParseShareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a share is a decimal such as \"0.05\" for five percent, with at most 6 digits after the point")
    }
}

impl FromStr for Share {
    type Err = ParseShareError;

    fn from_str(text: &str) -> Result<Self, ParseShareError> {
        let share = Decimal::from_str_exact(text).map_err(|_| ParseShareError)?;
        let fits = !share.is_sign_negative() && share <= Decimal::ONE_HUNDRED && share.scale() <= 6;
        if fits { Ok(Self(share)) } else { Err(ParseShareError) }
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parsed(deserializer)
    }
}

/// A margin in the setting `cost_margin_config`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "bursar.example.toml documents each under the same name")]
pub struct MarginParams {
    pub percentage: Share,
    #[serde(deserialize_with = "parsed")]
    pub fixed_amount: Usd,
}

impl Settings {
    /// What becomes of the providers' list prices.
    ///
    /// # Errors
    /// [`ConfigError`] for a discount of more than all.
    pub(super) fn markups(&self) -> Result<Markups, ConfigError> {
        let discounts = self.cost_discount_config.iter().map(|(provider, share)| {
            if share.0 > Decimal::ONE {
                let text = format!("cost_discount_config: {provider}: a discount is at most \"1\"");
                return Err(ConfigError(format!("wrong setting: {text}")));
            }
            Ok((provider.clone(), share.0))
        });
        let margins = self.cost_margin_config.iter();
        let margins = margins
            .map(|(provider, margin)| (provider.clone(), (margin.percentage.0, margin.fixed_amount.to_decimal())));
        Ok(Markups::new(discounts.collect::<Result<_, _>>()?, margins.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_small_decimal() {
        for (text, fits) in [
            ("0.05", true),
            ("0", true),
            ("100", true),
            ("100.1", false),
            ("-0.1", false),
            ("5%", false),
            ("0.0000001", false),
        ] {
            assert_eq!(text.parse::<Share>().is_ok(), fits, "{text}");
        }
    }
}
