//! Following the machine's clock: drift little by little, a step all at once, with
//! what is promised moved along.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::clock::Clock;
use crate::gate::Gate;

const INTERVAL: Duration = Duration::from_secs(1);

/// Follows, for ever.
pub(super) async fn follow_clock(gate: Arc<Gate>, clock: Clock) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        let micros = clock.behind();
        if Clock::is_step(micros) {
            tracing::warn!(micros, "the machine's clock was set; what is reserved lives as long as it would have");
        }
        gate.follow_clock(micros);
    }
}
