//! Purging keys: long after they expired they go to the archive, and long after
//! that they leave it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::domain::audit::Author;
use crate::domain::clock::Clock;
use crate::domain::key::Key;
use crate::gate::Gate;
use crate::store::{Store, StoreError};

const INTERVAL: Duration = Duration::from_mins(1);

/// How many keys are looked for at a time.
const AT_ONCE: u64 = 200;

/// For how long keys are kept; `None`: for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRetention {
    /// Seconds from their expiry on, before they are deleted.
    pub expired_seconds: Option<i64>,
    /// Seconds from their deletion on, before the archive forgets them.
    pub deleted_seconds: Option<i64>,
}

/// What purging works with.
pub struct Purger {
    store: Store,
    gate: Arc<Gate>,
    clock: Clock,
    retention: KeyRetention,
}

impl Purger {
    /// Purges what is kept no longer; `None` if all is kept for ever.
    pub fn new(store: Store, gate: Arc<Gate>, clock: Clock, retention: KeyRetention) -> Option<Self> {
        let keeps_all = retention.expired_seconds.is_none() && retention.deleted_seconds.is_none();
        (!keeps_all).then_some(Self { store, gate, clock, retention })
    }

    /// Purges once; says how many keys were deleted, and how many forgotten.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails; what was purged by then, was.
    pub async fn purge_due(&self) -> Result<(usize, u64), StoreError> {
        let deleted = match self.retention.expired_seconds {
            Some(seconds) => self.delete_expired(seconds).await?,
            None => 0,
        };
        let forgotten = match self.retention.deleted_seconds {
            Some(seconds) => self.forget_deleted(seconds).await?,
            None => 0,
        };
        Ok((deleted, forgotten))
    }

    /// Each in a transaction of its own: one that somebody else changes, or
    /// extends, at this moment stays for now.
    async fn delete_expired(&self, seconds: i64) -> Result<usize, StoreError> {
        let (mut count, mut after) = (0, None::<Key>);
        loop {
            let now = self.clock.now();
            let due = self.store.view().keys_expired_by(now.plus_seconds(-seconds), after.as_ref(), AT_ONCE).await?;
            let Some(last) = due.last() else { return Ok(count) };
            after = Some(last.clone());
            for key in due {
                let mut tx = self.store.begin(Author::bursar("purge_keys"), now).await?;
                match tx.delete_key(&key).await {
                    Ok(()) => {}
                    Err(StoreError::Stale) => continue,
                    Err(error) => return Err(error),
                }
                self.gate.absorb(&tx.commit().await?).await?;
                count += 1;
            }
        }
    }

    async fn forget_deleted(&self, seconds: i64) -> Result<u64, StoreError> {
        let mut count = 0;
        loop {
            let before = self.clock.now().plus_seconds(-seconds);
            match self.store.forget_deleted_keys(before, AT_ONCE).await? {
                0 => return Ok(count),
                forgotten => count += forgotten,
            }
        }
    }
}

/// Purges whatever is due, for ever.
pub(super) async fn purge(purger: Purger) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match purger.purge_due().await {
            Ok((0, 0)) => {}
            Ok((deleted, forgotten)) => tracing::info!(deleted, forgotten, "keys were purged"),
            Err(error) => tracing::warn!(%error, "keys that are due could not be purged; it is tried again"),
        }
    }
}
