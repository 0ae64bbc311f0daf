//! Webhooks: who is told of alerts by HTTP, and how a receiver knows that it is
//! Bursar who tells, after the specification Standard Webhooks.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::alert::AlertKind;
use super::clock::Timestamp;
use super::safe_url::SafeUrl;

/// The longest name of a webhook.
const NAME_MAX_BYTES: usize = 64;

/// How many bytes a signing secret may have.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// What every signing secret begins with.
const SECRET_PREFIX: &str = "whsec_";

/// What is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum EventType {
    /// A soft budget was reached.
    SoftBudgetCrossed,
    /// A part of a budget was.
    ThresholdCrossed,
    /// All of a budget was.
    BudgetCrossed,
    /// Usage of a model was booked without a price.
    SpendUnpriced,
    /// Somebody tries out whether anything arrives.
    Test,
}

impl EventType {
    /// The name in webhooks and settings.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

impl From<AlertKind> for EventType {
    fn from(kind: AlertKind) -> Self {
        match kind {
            AlertKind::SoftBudgetCrossed => Self::SoftBudgetCrossed,
            AlertKind::ThresholdCrossed => Self::ThresholdCrossed,
            AlertKind::BudgetCrossed => Self::BudgetCrossed,
            AlertKind::SpendUnpriced => Self::SpendUnpriced,
        }
    }
}

/// The name of a webhook: 1-64 small letters, digits, `-` and `_`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WebhookName(String);

/// Text that is no such name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1-64 small letters, digits, - and _")]
pub struct ParseWebhookNameError;

impl FromStr for WebhookName {
    type Err = ParseWebhookNameError;

    fn from_str(text: &str) -> Result<Self, ParseWebhookNameError> {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'_';
        let is_name = (1..=NAME_MAX_BYTES).contains(&text.len()) && text.bytes().all(fits);
        if is_name { Ok(Self(text.to_owned())) } else { Err(ParseWebhookNameError) }
    }
}

impl WebhookName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WebhookName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A secret that Bursar signs with and the receiver verifies with.
#[derive(Clone)]
pub struct SigningSecret(hmac::Key);

/// Text that is no such secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be whsec_ and 24-64 bytes in base64, such as `echo whsec_$(openssl rand -base64 32)` prints")]
pub struct ParseSigningSecretError;

impl FromStr for SigningSecret {
    type Err = ParseSigningSecretError;

    fn from_str(text: &str) -> Result<Self, ParseSigningSecretError> {
        let bytes = text.strip_prefix(SECRET_PREFIX).and_then(|encoded| STANDARD.decode(encoded).ok());
        let bytes = bytes.filter(|bytes| SECRET_BYTES.contains(&bytes.len()));
        bytes.map(|bytes| Self(hmac::Key::new(hmac::HMAC_SHA256, &bytes))).ok_or(ParseSigningSecretError)
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret")
    }
}

impl SigningSecret {
    fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(format!("{id}.{seconds}.").as_bytes());
        context.update(body);
        format!("v1,{}", STANDARD.encode(context.sign()))
    }
}

/// A receiver of events.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// What it is called.
    pub name: WebhookName,
    /// Where it listens.
    pub url: SafeUrl,
    /// What it is told; nothing here is everything.
    pub events: Vec<EventType>,
    /// How long it may take to answer.
    pub timeout: Duration,
    /// Every message is signed with each of these: the receiver may know only one
    /// of them yet.
    pub secrets: Vec<SigningSecret>,
}

impl Webhook {
    /// Whether it is told of such events. Whoever tries it out does not ask.
    #[must_use]
    pub fn hears(&self, event: EventType) -> bool {
        self.events.is_empty() || self.events.contains(&event)
    }

    /// The header `webhook-signature` of a message that is sent at an instant.
    #[must_use]
    pub fn signature(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        let signatures: Vec<String> = self.secrets.iter().map(|secret| secret.sign(id, seconds, body)).collect();
        signatures.join(" ")
    }
}

/// The body of a message.
#[derive(Debug, Serialize)]
pub struct Message<T> {
    #[serde(rename = "type")]
    event: &'static str,
    timestamp: Timestamp,
    data: T,
}

impl<T: Serialize> Message<T> {
    /// The body that tells of an event at an instant, as JSON.
    #[must_use]
    pub fn body(event: EventType, timestamp: Timestamp, data: T) -> Vec<u8> {
        // A struct of plain values: serializing cannot fail.
        serde_json::to_vec(&Self { event: event.as_str(), timestamp, data }).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn webhook(secrets: &[&str]) -> Webhook {
        Webhook {
            name: "ops".parse().expect("a name"),
            url: "https://ops.example/hook".parse().expect("an address"),
            events: Vec::new(),
            timeout: Duration::from_secs(1),
            secrets: secrets.iter().map(|secret| secret.parse().expect("a secret")).collect(),
        }
    }

    /// The example of the specification's own libraries.
    #[test]
    fn signatures_are_those_of_standard_webhooks() {
        let (id, seconds, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(webhook(&[SECRET]).signature(id, seconds, body), expected);
        let both = webhook(&["whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", SECRET]).signature(id, seconds, body);
        assert!(both.starts_with("v1,") && both.ends_with(&format!(" {expected}")), "{both}");
        assert_ne!(webhook(&[SECRET]).signature(id, seconds + 1, body), expected);
        assert_ne!(webhook(&[SECRET]).signature("msg", seconds, body), expected);
    }

    #[test]
    fn a_secret_is_long_enough_and_never_shown() {
        for (text, fits) in [
            (SECRET, true),
            ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", false),
            ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", false),
            ("whsec_c2hvcnQ=", false),
            ("whsec_", false),
        ] {
            assert_eq!(text.parse::<SigningSecret>().is_ok(), fits, "{text}");
        }
        assert!(!format!("{:?}", webhook(&[SECRET])).contains("MfKQ"));
    }

    #[test]
    fn names_are_small_words() {
        for (text, fits) in [("ops", true), ("team-1_b", true), ("", false), ("Ops", false), ("a b", false)] {
            assert_eq!(text.parse::<WebhookName>().is_ok(), fits, "{text}");
        }
        assert!("a".repeat(65).parse::<WebhookName>().is_err());
    }

    #[test]
    fn a_webhook_hears_what_it_asked_for() {
        let mut webhook = webhook(&[SECRET]);
        assert!(webhook.hears(EventType::ThresholdCrossed));
        webhook.events = vec![EventType::BudgetCrossed];
        assert!(webhook.hears(AlertKind::BudgetCrossed.into()) && !webhook.hears(AlertKind::ThresholdCrossed.into()));
    }
}
