//! Values of settings: whatever way they are written, they are parsed from
//! their text, so that flags, environment and files mean the same.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Visitor};

use super::Hidden;

/// A setting from text, a whole number or a yes and no.
pub(super) fn parsed<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr,
    T::Err: fmt::Display,
{
    deserializer.deserialize_any(Text(PhantomData))
}

/// A setting that may be absent.
pub(super) fn optional<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr,
    T::Err: fmt::Display,
{
    parsed(deserializer).map(Some)
}

/// The address of a database. A wrong one is not repeated: it may hold a
/// password.
pub(super) fn database_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Hidden, D::Error> {
    let url = Hidden::deserialize(deserializer)?;
    if !["sqlite:", "postgres:", "postgresql:"].iter().any(|scheme| url.0.starts_with(scheme)) {
        return Err(D::Error::custom("must begin with sqlite: or postgres:"));
    }
    if url.0.contains(":memory:") || url.0.contains("mode=memory") {
        return Err(D::Error::custom("must name a file: a database in memory would lose what was acknowledged"));
    }
    Ok(url)
}

struct Text<T>(PhantomData<T>);

impl<T> Visitor<'_> for Text<T>
where
    T: FromStr,
    T::Err: fmt::Display,
{
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, a whole number, or true or false; amounts of money are written as text, such as \"12.5\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(|error| E::custom(format!("{text:?} is not valid: {error}")))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<T, E> {
        self.visit_str(if value { "true" } else { "false" })
    }
}
