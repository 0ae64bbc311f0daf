//! Tending the ledger: room that is held without need, accounts that are idle.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::domain::clock::Clock;
use crate::gate::Gate;

const INTERVAL: Duration = Duration::from_secs(1);

/// Tends the ledger, for ever.
pub(super) async fn tend(gate: Arc<Gate>, clock: Clock) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        gate.tend(clock.now());
    }
}
