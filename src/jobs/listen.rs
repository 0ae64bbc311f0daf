//! Listening for other instances, so that what one changes is known to all at
//! once, and not only when they next read the change feed.

use std::sync::Arc;
use std::time::Duration;

use crate::gate::Gate;
use crate::store::{Store, StoreError};

/// How long it waits before it tries again to connect.
const PAUSE: Duration = Duration::from_secs(1);

/// Listens, for ever, on PostgreSQL.
pub(super) async fn listen(store: Store, gate: Arc<Gate>) {
    while let Err(error) = hear(&store, &gate).await {
        tracing::debug!(%error, "other instances can't be heard; the change feed is read twice a second");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Listens until the connection is lost for good; on SQLite there is nobody.
async fn hear(store: &Store, gate: &Gate) -> Result<(), StoreError> {
    let Some(mut listener) = store.listen().await? else { return Ok(()) };
    loop {
        listener.heard().await?;
        gate.hear();
    }
}
