//! The settings of alerts and webhooks.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::parse::optional;
use super::{ConfigError, Hidden, Period, Settings};
use crate::domain::alert::AlertRules;
use crate::domain::safe_url::SafeUrl;
use crate::domain::webhook::{EventType, SigningSecret, Webhook, WebhookName};
use crate::store::Telling;

/// How long a receiver may take to answer, and the longest that it may be given.
const TIMEOUT: Duration = Duration::from_secs(10);
const TIMEOUT_MAX: Duration = Duration::from_secs(20);

/// One of `webhooks`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "bursar.example.toml documents each under the same name")]
pub struct WebhookParams {
    pub name: String,
    /// Its path may be a secret.
    pub url: Hidden,
    pub secret: Hidden,
    #[serde(default)]
    pub previous_secret: Option<Hidden>,
    #[serde(default)]
    pub events: Vec<EventName>,
    #[serde(default, deserialize_with = "optional")]
    pub timeout: Option<Period>,
}

/// The name of something that is told.
#[derive(Clone, Copy, Debug)]
pub struct EventName(EventType);

impl<'de> Deserialize<'de> for EventName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let event = name.parse().ok().filter(|event| *event != EventType::Test);
        let known = "soft_budget_crossed, threshold_crossed, budget_crossed, spend_unpriced";
        event.map(Self).ok_or_else(|| serde::de::Error::custom(format!("{name:?} is none of {known}")))
    }
}

impl Settings {
    /// What is told of budgets, and to whom.
    ///
    /// # Errors
    /// [`ConfigError`] that names a setting which can't be.
    pub fn telling(&self) -> Result<Telling, ConfigError> {
        let rules = AlertRules::new(self.budget_alert_thresholds.clone(), self.user_budget_on_team_keys)
            .map_err(|error| ConfigError(format!("wrong setting: budget_alert_thresholds {error}")))?;
        let mut webhooks: Vec<Arc<Webhook>> = Vec::with_capacity(self.webhooks.len());
        for params in &self.webhooks {
            let webhook = webhook(params)?;
            if webhooks.iter().any(|other| other.name == webhook.name) {
                return Err(ConfigError(format!(
                    "wrong setting: webhooks: there are two of the name {}",
                    webhook.name
                )));
            }
            webhooks.push(Arc::new(webhook));
        }
        Ok(Telling { rules, webhooks })
    }
}

fn webhook(params: &WebhookParams) -> Result<Webhook, ConfigError> {
    let wrong = |told: String| ConfigError(format!("wrong setting: webhooks: {:?}: {told}", params.name));
    let name: WebhookName = params.name.parse().map_err(|error| wrong(format!("name {error}")))?;
    let timeout = params.timeout.map_or(TIMEOUT, Period::duration);
    if timeout > TIMEOUT_MAX {
        return Err(wrong("timeout must be at most 20s".to_owned()));
    }
    let secret = |field: &str, text: &Hidden| -> Result<SigningSecret, ConfigError> {
        text.0.parse().map_err(|error| wrong(format!("{field} {error}")))
    };
    let mut secrets = vec![secret("secret", &params.secret)?];
    if let Some(previous) = &params.previous_secret {
        secrets.push(secret("previous_secret", previous)?);
    }
    let events = params.events.iter().map(|name| name.0).collect();
    let url: SafeUrl = params.url.0.parse().map_err(|error| wrong(format!("url {error}")))?;
    Ok(Webhook { name, url, events, timeout, secrets })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load_from;

    const GOOD: &str = "name = 'ops', url = 'https://ops.example/hook', \
                        secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'";

    fn load(given: &[(&str, &str)]) -> Result<Telling, ConfigError> {
        let flags: Vec<_> = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        load_from(&flags, None, &[]).and_then(|settings| settings.telling())
    }

    #[test]
    fn a_webhook_hears_everything_unless_it_says_what() {
        let all = load(&[("webhooks", &format!("[{{ {GOOD} }}]"))]).expect("valid").webhooks;
        assert_eq!((all.len(), all[0].timeout, all[0].secrets.len()), (1, TIMEOUT, 1));
        assert!(all[0].hears(EventType::ThresholdCrossed));
        let more = "events = ['budget_crossed'], timeout = '2s', \
                    previous_secret = 'whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'";
        let one = load(&[("webhooks", &format!("[{{ {GOOD}, {more} }}]"))]).expect("valid").webhooks;
        assert_eq!((one[0].timeout, one[0].secrets.len()), (Duration::from_secs(2), 2));
        assert!(!one[0].hears(EventType::ThresholdCrossed));
        assert!(load(&[]).expect("the default").webhooks.is_empty());
    }

    #[test]
    fn what_can_not_be_stops_the_start_and_is_named() {
        for (from, to, told) in [
            ("'ops'", "'Ops!'", "\"Ops!\": name must be 1-64 small letters"),
            ("https://ops", "http://ops", "must be a URL that begins with https://"),
            ("LaSw'", "'", "secret must be whsec_"),
            ("LaSw'", "LaSw', events = ['test']", "\"test\" is none of soft_budget_crossed"),
            ("LaSw'", "LaSw', timeout = '21s'", "timeout must be at most 20s"),
            ("LaSw'", "LaSw', previous_secret = 'x'", "previous_secret must be whsec_"),
            ("LaSw'", "LaSw', retries = 3", "retries"),
        ] {
            let value = format!("[{{ {} }}]", GOOD.replace(from, to));
            let error = load(&[("webhooks", &value)]).expect_err(to).0;
            assert!(error.contains(told), "{error}");
            assert!(!error.contains("MfKQ9r8GKYqrTwjUPD8ILPZIo2La") && !error.contains("/hook"), "{error}");
        }
        let twice = load(&[("webhooks", &format!("[{{ {GOOD} }}, {{ {GOOD} }}]"))]).expect_err("twice").0;
        assert!(twice.contains("two of the name ops"), "{twice}");
        for thresholds in ["[0]", "[101]", "[50, 50]", "['x']", "[1.5]"] {
            let error = load(&[("budget_alert_thresholds", thresholds)]).expect_err(thresholds).0;
            assert!(error.contains("budget_alert_thresholds"), "{error}");
        }
        assert!(load(&[("budget_alert_thresholds", "[]")]).is_ok());
    }
}
