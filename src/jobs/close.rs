//! Closing: usage events that are no longer kept leave, oldest first.

use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::domain::clock::Clock;
use crate::store::{Store, StoreError};

const INTERVAL: Duration = Duration::from_mins(1);

/// Between the steps of one run: others write, too.
const PAUSE: Duration = Duration::from_millis(20);

/// Lets usage events go that are older than this, for ever.
pub(super) async fn close(store: Store, clock: Clock, kept_seconds: i64) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = close_all(&store, &clock, kept_seconds).await {
            tracing::warn!(%error, "usage events that are no longer kept are still there; it is tried again");
        }
    }
}

async fn close_all(store: &Store, clock: &Clock, kept_seconds: i64) -> Result<(), StoreError> {
    loop {
        let now = clock.now();
        if !store.close_events_before(now.plus_seconds(-kept_seconds), now).await? {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
}
