//! Calls that were let in here, and ended at another instance.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::Gate;
use crate::store::StoreError;

/// How often it is asked for: until then what such a call set aside is held twice.
const INTERVAL: Duration = Duration::from_millis(500);

/// Frees what is reserved here for calls that ended elsewhere, for ever. Beside the
/// change feed, which must not wait for it.
pub async fn follow_calls(gate: Arc<Gate>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = gate.store.while_present(gate.hear_of_calls()).await {
            tracing::debug!(%error, "what other instances settled is asked for again");
        }
    }
}

impl Gate {
    async fn hear_of_calls(&self) -> Result<(), StoreError> {
        loop {
            let closings = self.store.present()?.closings_for(self.holder).await?;
            // A server that stops hears nothing more.
            if closings.is_empty() || self.batcher.hear(closings.clone()).await.is_err() {
                return Ok(());
            }
            self.store.hear_closings(&closings).await?;
        }
    }
}
