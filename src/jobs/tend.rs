//! Tending the ledger: room that is held without need, accounts that are idle.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::domain::clock::Clock;
use crate::gate::Gate;

const INTERVAL: Duration = Duration::from_secs(1);

/// How often callers are forgotten who do not call any more.
const CALLERS: Duration = Duration::from_mins(10);

/// Tends the ledger, for ever.
pub(super) async fn tend(gate: Arc<Gate>, clock: Clock) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut callers = tokio::time::interval(CALLERS);
    callers.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => gate.tend(clock.now()),
            _ = callers.tick() => gate.forget_callers(clock.now()),
        }
    }
}
