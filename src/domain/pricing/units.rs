//! Units: what a call used that is not counted in tokens.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::super::fault::Violation;

/// Something that is counted beside tokens.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    EnumString,
    IntoStaticStr,
    VariantArray,
    Serialize,
    Deserialize,
)]
#[strum(serialize_all = "snake_case")]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "usage.proto documents each under the same name")]
pub enum Unit {
    Images,
    InputImages,
    InputSeconds,
    OutputSeconds,
    InputCharacters,
    OutputCharacters,
    Queries,
    Pages,
    AnnotationPages,
    Credits,
    Messages,
    WebSearches,
    MapsQueries,
    CodeSessions,
    FileSearchCalls,
    FileSearchGbDays,
    VectorGbDays,
    ComputerUseInputTokens,
    ComputerUseOutputTokens,
}

impl Unit {
    /// The name on the wire and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether there may be a part of one: seconds, and gigabytes for days.
    #[must_use]
    pub const fn is_divisible(self) -> bool {
        matches!(self, Self::InputSeconds | Self::OutputSeconds | Self::FileSearchGbDays | Self::VectorGbDays)
    }
}

/// The most of a unit that is accepted, and the most decimals: beyond them a
/// price times a quantity would not be exact.
pub const UNITS_MAX: i64 = 1_000_000_000;
/// See [`UNITS_MAX`].
pub const UNIT_DECIMALS: u32 = 6;

/// How much of each unit a call used; only what is not 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Units(BTreeMap<Unit, Decimal>);

impl Units {
    /// Whether there is nothing but tokens.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How much of a unit was used.
    #[must_use]
    pub fn of(&self, unit: Unit) -> Decimal {
        self.0.get(&unit).copied().unwrap_or_default()
    }

    /// The same with this much of a unit.
    #[must_use]
    pub fn with(mut self, unit: Unit, quantity: impl Into<Decimal>) -> Self {
        self.set(unit, quantity.into());
        self
    }

    /// Takes how much of a unit was used.
    pub fn set(&mut self, unit: Unit, quantity: Decimal) {
        if quantity.is_zero() {
            self.0.remove(&unit);
        } else {
            self.0.insert(unit, quantity.normalize());
        }
    }

    /// Reports every quantity that can't be.
    pub fn check(&self, prefix: &str, violations: &mut Vec<Violation>) {
        for (unit, quantity) in &self.0 {
            if quantity.is_sign_negative() || *quantity > Decimal::from(UNITS_MAX) {
                violations.push(Violation::new(format!("{prefix}{}", unit.as_str()), format!("must be 0-{UNITS_MAX}")));
            }
            if quantity.scale() > UNIT_DECIMALS {
                let rule = format!("must have at most {UNIT_DECIMALS} decimals");
                violations.push(Violation::new(format!("{prefix}{}", unit.as_str()), rule));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nothing_is_not_kept() {
        let mut units = Units::default().with(Unit::Images, 2);
        units.set(Unit::Pages, Decimal::ZERO);
        units.set(Unit::InputSeconds, "1.50".parse().expect("a decimal"));
        assert_eq!((units.of(Unit::Images), units.of(Unit::Pages)), (Decimal::TWO, Decimal::ZERO));
        assert_eq!(serde_json::to_string(&units).expect("JSON"), r#"{"images":"2","input_seconds":"1.5"}"#);
        units.set(Unit::Images, Decimal::ZERO);
        units.set(Unit::InputSeconds, Decimal::ZERO);
        assert!(units.is_empty());
    }

    #[test]
    fn impossible_quantities_are_named() {
        let units = Units::default()
            .with(Unit::Images, -1)
            .with(Unit::Queries, UNITS_MAX + 1)
            .with(Unit::OutputSeconds, Decimal::new(1, 7))
            .with(Unit::Pages, UNITS_MAX);
        let mut violations = Vec::new();
        units.check("u.", &mut violations);
        let fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, ["u.images", "u.output_seconds", "u.queries"]);
    }
}
