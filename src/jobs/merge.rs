//! Merging usage into the rollups that reports read. Without it reports would
//! be as exact, and slower.

use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::store::{Store, StoreError};

const INTERVAL: Duration = Duration::from_secs(1);

/// How many deltas are merged at once: the more, the fewer rows are written for
/// each, and the longer the one writer of SQLite is busy.
const AT_ONCE: u32 = 20_000;

/// Merges what was recorded, for ever.
pub(super) async fn merge(store: Store) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = merge_all(&store).await {
            tracing::warn!(%error, "usage could not be merged into the rollups; it is tried again");
        }
    }
}

async fn merge_all(store: &Store) -> Result<(), StoreError> {
    while store.merge_deltas(AT_ONCE).await? == AT_ONCE as usize {}
    Ok(())
}
