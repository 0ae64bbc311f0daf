//! Webhooks: what Bursar tells the receivers of an installation, by HTTP.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER, USER_AGENT};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};

use crate::domain::cause::causes;
use crate::domain::clock::Timestamp;
use crate::domain::webhook::Webhook;

/// The longest that a receiver is believed when it says how long to wait.
const RETRY_AFTER_MAX_SECONDS: i64 = 3_600;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a message did not arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryError {
    /// Whether the receiver wants no more of it.
    pub is_final: bool,
    /// How many seconds the receiver asks to wait.
    pub retry_after_seconds: Option<i64>,
    /// What it answered, or what failed. It does not hold the address, which may
    /// be a secret.
    pub message: String,
}

/// Carries messages to webhooks.
#[derive(Clone, Debug)]
pub struct Courier(Client);

impl Courier {
    /// One that goes where it was sent, and not where it is redirected to.
    ///
    /// # Errors
    /// Why there can be none: the machine's certificates can't be read.
    pub fn new() -> Result<Self, String> {
        let client = Client::builder().redirect(Policy::none()).connect_timeout(CONNECT_TIMEOUT).build();
        client.map(Self).map_err(|error| causes(&error))
    }

    /// Carries one message, signed as of now. It has arrived when the receiver
    /// answers with a status of 2xx.
    ///
    /// # Errors
    /// [`DeliveryError`]; the receiver may have got it nevertheless.
    pub async fn deliver(
        &self,
        webhook: &Webhook,
        id: &str,
        body: Vec<u8>,
        now: Timestamp,
    ) -> Result<(), DeliveryError> {
        let seconds = now.to_utc().timestamp();
        let request = self
            .0
            .post(webhook.url.to_string())
            .timeout(webhook.timeout)
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("bursar/", env!("CARGO_PKG_VERSION")))
            .header("webhook-id", id)
            .header("webhook-timestamp", seconds)
            .header("webhook-signature", webhook.signature(id, seconds, &body))
            .body(body);
        let answer = request.send().await.map_err(|error| DeliveryError {
            is_final: false,
            retry_after_seconds: None,
            message: causes(&error.without_url()),
        })?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        let moved = if status.is_redirection() { "; redirects are not followed" } else { "" };
        Err(DeliveryError {
            is_final: status == StatusCode::GONE,
            retry_after_seconds: retry_after(answer.headers()),
            message: format!("answers {status}{moved}"),
        })
    }
}

/// The seconds of the header `retry-after`; a date there is not believed.
fn retry_after(headers: &HeaderMap) -> Option<i64> {
    let seconds: i64 = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(seconds.clamp(0, RETRY_AFTER_MAX_SECONDS))
}
