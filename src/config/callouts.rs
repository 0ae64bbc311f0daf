//! The settings of callouts.

use std::time::Duration;

use serde::Deserialize;

use super::parse::{optional, parsed};
use super::policies::ActionName;
use super::{ConfigError, Period, Settings};
use crate::domain::callout::{Callout, KeyPolicyRules};
use crate::domain::policy::Action;
use crate::domain::safe_url::SafeUrl;

/// How long an answer is waited for, and the longest that it may be.
const TIMEOUT: Duration = Duration::from_secs(1);
const TIMEOUT_MAX: Duration = Duration::from_secs(10);

/// Setting `key_policy`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "bursar.example.toml documents each under the same name")]
pub struct KeyPolicyParams {
    #[serde(deserialize_with = "parsed")]
    pub url: SafeUrl,
    #[serde(default, deserialize_with = "optional")]
    pub timeout: Option<Period>,
    #[serde(default)]
    pub on: Vec<ActionName>,
    #[serde(default, deserialize_with = "parsed")]
    pub without_answer: Silence,
}

/// Setting `custom_auth`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "bursar.example.toml documents each under the same name")]
pub struct CustomAuthParams {
    #[serde(deserialize_with = "parsed")]
    pub url: SafeUrl,
    #[serde(default, deserialize_with = "optional")]
    pub timeout: Option<Period>,
}

/// What it means that a service does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, strum::EnumString)]
#[strum(serialize_all = "snake_case")]
pub enum Silence {
    /// No, for now.
    #[default]
    Refuse,
    /// Yes.
    Allow,
}

impl Settings {
    /// The service that has a say in what is done to keys.
    ///
    /// # Errors
    /// [`ConfigError`] that names a setting which can't be.
    pub fn key_policy(&self) -> Result<Option<KeyPolicyRules>, ConfigError> {
        let Some(params) = &self.key_policy else { return Ok(None) };
        let all = [Action::GenerateKey, Action::UpdateKey, Action::RegenerateKey];
        let named: Vec<Action> = params.on.iter().map(|name| name.0).collect();
        if named.contains(&Action::CreateTeam) {
            return Err(ConfigError("wrong setting: key_policy.on: it is not asked about create_team".to_owned()));
        }
        Ok(Some(KeyPolicyRules {
            callout: callout("key_policy", &params.url, params.timeout)?,
            actions: if named.is_empty() { all.to_vec() } else { named },
            fails_open: params.without_answer == Silence::Allow,
        }))
    }

    /// The service that knows credentials which are neither keys nor JWTs.
    ///
    /// # Errors
    /// [`ConfigError`] that names a setting which can't be.
    pub fn custom_auth(&self) -> Result<Option<Callout>, ConfigError> {
        self.custom_auth.as_ref().map(|params| callout("custom_auth", &params.url, params.timeout)).transpose()
    }
}

fn callout(setting: &str, url: &SafeUrl, timeout: Option<Period>) -> Result<Callout, ConfigError> {
    let timeout = timeout.map_or(TIMEOUT, Period::duration);
    if timeout > TIMEOUT_MAX {
        return Err(ConfigError(format!("wrong setting: {setting}.timeout must be at most 10s")));
    }
    if !url.is_origin() {
        return Err(ConfigError(format!("wrong setting: {setting}.url must have no path: gRPC has its own")));
    }
    Ok(Callout { url: url.clone(), timeout })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_from;

    fn load(name: &str, value: &str) -> Result<Settings, ConfigError> {
        load_from(&[(name.to_owned(), value.to_owned())], None, &[])
    }

    #[test]
    fn a_key_policy_is_asked_about_keys() {
        let rules = |value: &str| load("key_policy", value).and_then(|settings| settings.key_policy());
        let rules_of = |value: &str| rules(value).expect("valid").expect("there");
        let short = rules_of(r#"{ url = "https://policy.example" }"#);
        assert_eq!((short.callout.timeout, short.actions.len(), short.fails_open), (TIMEOUT, 3, false));
        let long = rules_of(
            r#"{ url = "http://127.0.0.1:9000", timeout = "2s", on = ["update_key"], without_answer = "allow" }"#,
        );
        let named = (long.callout.timeout, long.actions, long.fails_open);
        assert_eq!(named, (Duration::from_secs(2), vec![Action::UpdateKey], true));
        for (value, told) in [
            ("{ }", "url"),
            (r#"{ url = "http://policy.example" }"#, "https://"),
            (r#"{ url = "https://policy.example", timeout = "11s" }"#, "key_policy.timeout must be at most 10s"),
            (r#"{ url = "https://policy.example/v1" }"#, "key_policy.url must have no path"),
            (r#"{ url = "https://policy.example", on = ["create_team"] }"#, "create_team"),
            (r#"{ url = "https://policy.example", on = ["delete_key"] }"#, "delete_key"),
            (r#"{ url = "https://policy.example", without_answer = "shrug" }"#, "shrug"),
        ] {
            let error = rules(value).expect_err(value).0;
            assert!(error.contains(told), "{error}");
        }
    }

    #[test]
    fn custom_auth_is_told_secrets_over_tls_only() {
        let custom = |value: &str| load("custom_auth", value).and_then(|settings| settings.custom_auth());
        let there = custom(r#"{ url = "https://auth.example", timeout = "3s" }"#).expect("valid").expect("there");
        assert_eq!(there.timeout, Duration::from_secs(3));
        assert!(custom(r#"{ url = "http://auth.example" }"#).is_err());
        assert_eq!(load_from(&[], None, &[]).and_then(|settings| settings.custom_auth()).ok(), Some(None));
    }
}
