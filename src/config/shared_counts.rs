//! The settings of counts that instances share.

use serde::Deserialize;

use super::{ConfigError, Hidden, Settings};
use crate::domain::shared_counts::{RedisUrl, SharedCountRules};

/// What names begin with where nobody says.
const PREFIX: &str = "bursar";

/// The longest prefix, in bytes.
const PREFIX_MAX_BYTES: usize = 64;

/// Setting `redis`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "bursar.example.toml documents each under the same name")]
pub struct RedisParams {
    pub url: Hidden,
    #[serde(default)]
    pub prefix: Option<String>,
}

impl Settings {
    /// Where instances share their counts, if they do.
    ///
    /// # Errors
    /// [`ConfigError`] that names a setting which can't be; not what it is, which
    /// may hold a password.
    pub fn shared_count_rules(&self) -> Result<Option<SharedCountRules>, ConfigError> {
        let Some(RedisParams { url, prefix }) = &self.redis else { return Ok(None) };
        let wrong =
            |field: &str, rule: &dyn std::fmt::Display| ConfigError(format!("wrong setting: redis.{field} {rule}"));
        let url: RedisUrl = url.0.parse().map_err(|error| wrong("url", &error))?;
        let prefix = prefix.as_deref().unwrap_or(PREFIX);
        if !(1..=PREFIX_MAX_BYTES).contains(&prefix.len()) || !prefix.chars().all(|c| c.is_ascii_graphic()) {
            return Err(wrong("prefix", &"must be 1-64 printable ASCII characters without spaces"));
        }
        Ok(Some(SharedCountRules { url, prefix: prefix.to_owned() }))
    }
}

#[cfg(test)]
mod tests {
    use crate::config::load_from;

    #[test]
    fn counts_are_shared_in_redis() {
        let rules = |value: &str| {
            load_from(&[("redis".to_owned(), value.to_owned())], None, &[])
                .and_then(|settings| settings.shared_count_rules())
        };
        let there = rules(r#"{ url = "rediss://:secret@cache:6380" }"#).expect("valid").expect("there");
        assert_eq!((there.url.reveal(), there.prefix.as_str()), ("rediss://:secret@cache:6380", "bursar"));
        for (value, told) in [
            ("{ }", "url"),
            (r#"{ url = "http://:secret@cache" }"#, "redis.url must be an address"),
            (r#"{ url = "redis://cache", prefix = "" }"#, "redis.prefix must be 1-64"),
            (r#"{ url = "redis://cache", prefix = "a b" }"#, "redis.prefix must be 1-64"),
        ] {
            let error = rules(value).expect_err(value).0;
            assert!(error.contains(told) && !error.contains("secret"), "{error}");
        }
    }
}
