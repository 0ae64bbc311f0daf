//! Sharing counts with other instances: passing on what became of calls, and
//! telling that this instance is there.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::shared_counts::{Background, SharedCounts};

/// Often, as it also finds out that Redis is back.
const INTERVAL: Duration = Duration::from_secs(1);

/// Shares counts, for ever.
pub(super) async fn share_counts(shared: Arc<SharedCounts>, background: Background) {
    let beat = async {
        let mut ticks = tokio::time::interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            shared.beat().await;
        }
    };
    tokio::join!(shared.pass_on(background), beat);
}
