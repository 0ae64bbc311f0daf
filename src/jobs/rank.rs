//! Ranking: the largest parts of days that are over, so that reports need not
//! rank them again. Without it reports would be as exact, and slower.

use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::domain::clock::Clock;
use crate::store::{Store, StoreError};

const INTERVAL: Duration = Duration::from_mins(1);

/// Between two days: others write, too.
const PAUSE: Duration = Duration::from_millis(20);

/// Ranks the days whose usage has changed, for ever.
pub(super) async fn rank(store: Store, clock: Clock) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = rank_all(&store, &clock).await {
            tracing::warn!(%error, "days could not be ranked in advance; it is tried again");
        }
    }
}

async fn rank_all(store: &Store, clock: &Clock) -> Result<(), StoreError> {
    while store.rank_a_day(clock.now()).await? {
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}
