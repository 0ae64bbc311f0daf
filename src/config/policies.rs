//! The setting `policies`.

use serde::{Deserialize, Deserializer};

use super::{ConfigError, Settings};
use crate::domain::policy::{Action, Policy};

/// One of `policies`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "bursar.example.toml documents each under the same name")]
pub struct PolicyParams {
    pub name: String,
    pub on: Vec<ActionName>,
    pub allow: String,
    pub message: String,
}

/// The name of an action.
#[derive(Clone, Copy, Debug)]
pub struct ActionName(pub(super) Action);

impl<'de> Deserialize<'de> for ActionName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let known = "generate_key, update_key, regenerate_key, create_team";
        name.parse().map(Self).map_err(|_| serde::de::Error::custom(format!("{name:?} is none of {known}")))
    }
}

impl Settings {
    /// The policies.
    ///
    /// # Errors
    /// [`ConfigError`] that names one which is broken.
    pub(super) fn policies(&self) -> Result<Vec<Policy>, ConfigError> {
        self.policies.iter().map(policy).collect()
    }
}

fn policy(params: &PolicyParams) -> Result<Policy, ConfigError> {
    let name = &params.name;
    let wrong = |told: String| ConfigError(format!("wrong setting: policies: {name}: {told}"));
    if params.on.is_empty() {
        return Err(wrong("on must not be empty".to_owned()));
    }
    if name.trim().is_empty() || params.message.trim().is_empty() {
        return Err(wrong("name and message must not be empty: whoever is refused reads them".to_owned()));
    }
    let actions = params.on.iter().map(|action| action.0).collect();
    Policy::new(name, actions, &params.allow, &params.message).map_err(|told| wrong(format!("allow {told}")))
}

#[cfg(test)]
mod tests {
    use crate::config::load_from;

    #[test]
    fn a_broken_policy_stops_the_start() {
        let load = |policy: &str| {
            let flags = [("policies".to_owned(), format!("[{policy}]"))];
            load_from(&flags, None, &[]).and_then(|settings| settings.rules()).map(|rules| rules.policies.len())
        };
        let good = "name = 'p', on = ['generate_key'], allow = 'after.max_budget != null', message = 'no'";
        assert_eq!(load(&format!("{{ {good} }}")).ok(), Some(1));
        for (from, to, told) in [
            ("'generate_key'", "'delete_key'", "\"delete_key\" is none of generate_key"),
            ("'generate_key'", "", "on must not be empty"),
            ("'no'", "' '", "name and message must not be empty"),
            ("after.max_budget != null", "after.max_budget !=", "policies: p: allow"),
            ("after.max_budget != null", "budget != null", "no variable \"budget\""),
        ] {
            let error = load(&format!("{{ {} }}", good.replace(from, to))).expect_err(to).0;
            assert!(error.contains(told), "{error}");
        }
    }
}
