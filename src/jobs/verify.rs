//! Verifying: every counter against its events, and the audit log, now and then,
//! so that a gauge tells if they ever differ. One instance does it, all tell.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior};

use crate::domain::clock::Clock;
use crate::metrics::Metrics;
use crate::store::{LastVerification, Store, StoreError};

/// How often it is looked whether it is time, or another instance has done it.
const INTERVAL: Duration = Duration::from_mins(1);

/// How many differences are told one by one.
const TOLD: usize = 10;

/// Verifies every so many seconds, for ever.
pub(super) async fn verify(store: Store, metrics: Arc<Metrics>, clock: Clock, every_seconds: i64) {
    // Not at once: whoever starts has other things to do.
    let mut ticks = tokio::time::interval_at(Instant::now() + INTERVAL, INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = verify_if_due(&store, &metrics, &clock, every_seconds).await {
            tracing::warn!(%error, "counters could not be verified; it is tried again when it is due next");
        }
    }
}

/// Verifies if it is time, and shows what came of the last time.
///
/// # Errors
/// [`StoreError`] if the database fails.
pub async fn verify_if_due(
    store: &Store,
    metrics: &Metrics,
    clock: &Clock,
    every_seconds: i64,
) -> Result<(), StoreError> {
    if store.claim_verification(every_seconds, clock.now()).await? {
        let found = store.verify().await?;
        let audit = store.verify_audit(1, None).await?;
        for discrepancy in found.discrepancies.iter().take(TOLD) {
            tracing::error!(?discrepancy, "a counter differs from the sum of its events; see `bursar verify`");
        }
        if let Some((sequence, fault)) = audit.fault {
            tracing::error!(sequence, ?fault, "the audit log is not as it was written; see `bursar verify`");
        }
        let last = LastVerification::new(&found, &audit, clock.now());
        store.keep_verification(&last).await?;
        tracing::info!(events = last.events, differences = last.differences, "verified every counter");
    }
    if let Some(last) = store.view().last_verification().await? {
        metrics.verified(&last);
    }
    Ok(())
}
