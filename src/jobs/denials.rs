//! Writing how many calls were denied: counts that no caller waits for.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::gate::Gate;

const INTERVAL: Duration = Duration::from_secs(1);

/// Writes what was counted, for ever.
pub(super) async fn write(gate: Arc<Gate>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // In a task of its own: what it took it writes, even if the jobs end.
        let gate = Arc::clone(&gate);
        let written = tokio::spawn(async move { gate.write_denials().await }).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(%error, "denied calls could not be counted in the database; it is tried again");
        }
    }
}
