//! Retention: answers that are kept for retries, leases and reservations that
//! expired, what was told of windows that are over, messages that nobody took.

use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::domain::clock::{Clock, Timestamp};
use crate::store::{Store, StoreError};

const INTERVAL: Duration = Duration::from_mins(1);

/// For how many seconds an expired lease stays, for whoever looks.
const LEASE_SECONDS: i64 = 3_600;

/// For how many seconds after a window it is known what was told of it: longer
/// than any reservation lives, which still counts there.
const ALERT_SECONDS: i64 = 7 * 86_400;

/// For how many seconds a message to a webhook is kept that did not arrive.
const DELIVERY_SECONDS: i64 = 30 * 86_400;

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
    store.forget_alerts_before(now.plus_seconds(-ALERT_SECONDS)).await?;
    store.forget_deliveries_before(now.plus_seconds(-DELIVERY_SECONDS)).await?;
    store.remove_expired_leases(LEASE_SECONDS, now).await
}
