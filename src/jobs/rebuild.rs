//! Rebuilding: rollups that somebody asked to be made anew from the events.

use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::domain::clock::Clock;
use crate::store::{Store, StoreError};

const INTERVAL: Duration = Duration::from_secs(1);

/// Rebuilds what is asked for, for ever.
pub(super) async fn rebuild(store: Store, clock: Clock) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match rebuild_all(&store, &clock).await {
            Ok(()) => {}
            Err(StoreError::Stale) => tracing::info!("another instance goes on with a rebuild of rollups"),
            Err(error) => tracing::warn!(%error, "a rebuild of rollups stopped; it goes on later"),
        }
    }
}

async fn rebuild_all(store: &Store, clock: &Clock) -> Result<(), StoreError> {
    while let Some(mut job) = store.claim_rebuild(clock.now()).await? {
        while !job.done {
            job = store.rebuild_next_day(&job, clock.now()).await?;
        }
        let (job_id, compared, repaired) = (&job.job_id, job.compared, job.repaired);
        tracing::info!(job_id, compared, repaired, "rollups were rebuilt from the events");
    }
    Ok(())
}
