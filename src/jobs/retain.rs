//! Retention: answers that are kept for retries, leases and reservations that
//! expired.

use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::domain::clock::{Clock, Timestamp};
use crate::store::{Store, StoreError};

const INTERVAL: Duration = Duration::from_mins(1);

/// For how many seconds an expired lease stays, for whoever looks.
const LEASE_SECONDS: i64 = 3_600;

/// Removes what need not be kept, for ever.
pub(super) async fn retain(store: Store, clock: Clock) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = sweep(&store, clock.now()).await {
            tracing::warn!(%error, "what need not be kept could not be removed; it is tried again");
        }
    }
}

async fn sweep(store: &Store, now: Timestamp) -> Result<(), StoreError> {
    store.forget_open_reservations(now).await?;
    store.forget_answers(now).await?;
    store.remove_leases_before(now.plus_seconds(-LEASE_SECONDS)).await
}
