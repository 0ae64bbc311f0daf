//! Tidying metrics: what was measured is added up, also when nobody scrapes it.

use std::sync::Arc;
use std::time::Duration;

use crate::metrics::Metrics;

const INTERVAL: Duration = Duration::from_secs(5);

/// Tidies, for ever.
pub(super) async fn tidy(metrics: Arc<Metrics>) {
    loop {
        tokio::time::sleep(INTERVAL).await;
        metrics.tidy();
    }
}
