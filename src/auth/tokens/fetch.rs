//! Fetching: small JSON documents from identity providers, whose answers are
//! not trusted.

use std::time::Duration;

use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, StatusCode};
use serde::de::DeserializeOwned;

use crate::domain::cause::causes;
use crate::domain::safe_url::SafeUrl;
use crate::error::Error;

const TIMEOUT: Duration = Duration::from_secs(5);
const BYTES_MAX: usize = 1024 * 1024;
const REDIRECTS_MAX: usize = 3;

/// Fetches documents.
#[derive(Clone, Debug)]
pub(super) struct Fetcher(Client);

impl Fetcher {
    /// One that follows no redirect to another host, or away from TLS.
    ///
    /// # Errors
    /// `INTERNAL` if the machine's certificates can't be read.
    pub(super) fn new() -> Result<Self, Error> {
        let client = Client::builder().timeout(TIMEOUT).redirect(Policy::custom(redirect)).build();
        client.map(Self).map_err(Error::internal)
    }

    /// A document.
    ///
    /// # Errors
    /// Why there is none, for the log.
    pub(super) async fn json<T: DeserializeOwned>(&self, url: &SafeUrl) -> Result<T, String> {
        let told = |error: reqwest::Error| format!("{url}: {}", causes(&error));
        let mut response = self.0.get(url.to_string()).send().await.map_err(told)?;
        if response.status() != StatusCode::OK {
            return Err(format!("{url}: answers {}", response.status()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(told)? {
            body.extend_from_slice(&chunk);
            if body.len() > BYTES_MAX {
                return Err(format!("{url}: answers with more than {BYTES_MAX} bytes"));
            }
        }
        serde_json::from_slice(&body).map_err(|error| format!("{url}: {error}"))
    }
}

fn redirect(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let target = attempt.url();
    let from = attempt.previous().last();
    let stays = from.is_some_and(|from| from.host_str() == target.host_str() && from.scheme() == target.scheme());
    if stays && attempt.previous().len() <= REDIRECTS_MAX { attempt.follow() } else { attempt.stop() }
}
