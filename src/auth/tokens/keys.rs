//! The keys of one issuer, kept while they are good, read anew when they may
//! not be.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use jsonwebtoken::Header;
use serde::Deserialize;
use tokio::sync::Mutex;

use super::fetch::Fetcher;
use super::key_set::{Document, KeySet};
use crate::domain::clock::Timestamp;
use crate::domain::reason::Reason;
use crate::domain::safe_url::SafeUrl;
use crate::domain::token::{Issuer, KeySource};
use crate::error::Error;

/// How often a provider is asked before it counts as away, and how long is
/// waited in between.
const TRIES: u32 = 3;
const BACKOFF: Duration = Duration::from_millis(250);

/// How long nobody asks after that; and how often, at most, keys are read
/// because a token names an unknown one.
const PAUSE_SECONDS: i64 = 30;

/// The keys of one issuer.
pub(super) struct IssuerKeys {
    pub(super) issuer: Arc<Issuer>,
    fetcher: Fetcher,
    known: ArcSwapOption<KeySet>,
    /// Whoever holds it reads.
    reading: Mutex<Reads>,
    /// Whether keys are being read that nobody waits for.
    renewing: AtomicBool,
}

/// When keys were read, and what came of it.
#[derive(Default)]
struct Reads {
    failed_at: Option<Timestamp>,
    for_unknown_at: Option<Timestamp>,
}

/// What a provider says of itself, as far as it matters here.
#[derive(Deserialize)]
struct Discovered {
    issuer: String,
    jwks_uri: String,
}

impl IssuerKeys {
    pub(super) fn new(issuer: Issuer, fetcher: Fetcher) -> Self {
        let (known, reading, renewing) = (ArcSwapOption::empty(), Mutex::default(), AtomicBool::new(false));
        Self { issuer: Arc::new(issuer), fetcher, known, reading, renewing }
    }

    /// The keys, if they may still be used.
    pub(super) fn usable(self: &Arc<Self>, now: Timestamp) -> Option<Arc<KeySet>> {
        let known = self.known.load_full().filter(|known| known.is_usable(now))?;
        if !known.is_fresh(now) {
            self.renew(&known, now);
        }
        Some(known)
    }

    /// Keys that have the one which a token names, if the issuer has it.
    ///
    /// # Errors
    /// `UNAVAILABLE` if they can't be read.
    pub(super) async fn with_key(self: &Arc<Self>, header: &Header, now: Timestamp) -> Result<Arc<KeySet>, Error> {
        let Some(known) = self.usable(now) else {
            return self.read(self.known.load_full(), false, now).await;
        };
        match known.find(header) {
            Some(_) => Ok(known),
            // It may be new.
            None => self.read(Some(known), true, now).await,
        }
    }

    /// Reads keys that are still good, while nobody waits.
    fn renew(self: &Arc<Self>, known: &Arc<KeySet>, now: Timestamp) {
        if self.renewing.swap(true, Ordering::SeqCst) {
            return;
        }
        let (this, known) = (Arc::clone(self), Arc::clone(known));
        tokio::spawn(async move {
            let read = this.read(Some(known), false, now).await;
            this.renewing.store(false, Ordering::SeqCst);
            if let Err(error) = read {
                error.log("");
            }
        });
    }

    /// Reads the keys, unless somebody else did since they were seen, or just
    /// failed to.
    async fn read(&self, seen: Option<Arc<KeySet>>, for_unknown: bool, now: Timestamp) -> Result<Arc<KeySet>, Error> {
        let mut reads = self.reading.lock().await;
        let known = self.known.load_full();
        let is_recent = |at: Option<Timestamp>| at.filter(|at| now < at.plus_seconds(PAUSE_SECONDS));
        match &known {
            Some(known) if !seen.is_some_and(|seen| Arc::ptr_eq(&seen, known)) => return Ok(Arc::clone(known)),
            Some(known) if for_unknown && is_recent(reads.for_unknown_at).is_some() => return Ok(Arc::clone(known)),
            _ => {}
        }
        if let Some(failed_at) = is_recent(reads.failed_at) {
            return Err(self.unavailable("it was away a moment ago", failed_at.plus_seconds(PAUSE_SECONDS), now));
        }
        if for_unknown {
            reads.for_unknown_at = Some(now);
        }
        match self.fetch().await {
            Ok(document) => {
                let fresh = Arc::new(KeySet::read(document, known.as_deref(), now));
                self.known.store(Some(Arc::clone(&fresh)));
                reads.failed_at = None;
                Ok(fresh)
            }
            Err(cause) => {
                reads.failed_at = Some(now);
                Err(self.unavailable(&cause, now.plus_seconds(PAUSE_SECONDS), now))
            }
        }
    }

    async fn fetch(&self) -> Result<Document, String> {
        let mut tries = 1;
        loop {
            match self.fetch_once().await {
                Err(_) if tries < TRIES => {
                    tokio::time::sleep(BACKOFF * tries).await;
                    tries += 1;
                }
                done => return done,
            }
        }
    }

    async fn fetch_once(&self) -> Result<Document, String> {
        let discovered: SafeUrl;
        let url = match &self.issuer.keys {
            KeySource::KeySet(url) => url,
            KeySource::Discovery(url) => {
                let found: Discovered = self.fetcher.json(url).await?;
                // Or somebody could answer for somebody else (OpenID Connect
                // Discovery 1.0, 4.3).
                if found.issuer != *self.issuer.realm.name {
                    return Err(format!("{url}: describes the issuer {:?}", found.issuer));
                }
                discovered = found.jwks_uri.parse().map_err(|error| format!("{url}: jwks_uri {error}"))?;
                &discovered
            }
        };
        self.fetcher.json(url).await
    }

    fn unavailable(&self, cause: &str, retry_at: Timestamp, now: Timestamp) -> Error {
        let micros = retry_at.micros_since(now).max(0).unsigned_abs();
        let cause = format!("the keys of {}: {cause}", self.issuer.realm.name);
        Error::Unavailable { reason: Reason::IdpUnavailable, cause, retry: Duration::from_micros(micros) }
    }
}
