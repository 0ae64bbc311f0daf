//! Rotating the keys whose time has come. Their new secrets go into files, for
//! whoever hands them out.

mod files;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use self::files::{Delivery, Files};
use crate::domain::audit::Author;
use crate::domain::clock::Clock;
use crate::domain::ids::KeyId;
use crate::domain::rotation::RotationRules;
use crate::domain::secret::Secret;
use crate::gate::Gate;
use crate::store::{Store, StoreError};

const INTERVAL: Duration = Duration::from_mins(1);

/// How many keys are looked for at a time.
const AT_ONCE: u64 = 100;

/// How long a delivery may be under way, here or on an instance that shares the
/// directory, before it is taken for one that a failure left.
const DELIVERY_SECONDS: i64 = 600;

/// Makes a new secret; `None`: there are no random numbers.
pub type MakeSecret = fn() -> Option<Secret>;

/// What rotating works with.
pub struct Rotator {
    store: Store,
    gate: Arc<Gate>,
    clock: Clock,
    rules: RotationRules,
    files: Files,
    make_secret: MakeSecret,
}

/// Why a key that is due was not rotated.
#[derive(Debug, thiserror::Error)]
enum RotateError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the new secret can't be delivered: {0}")]
    Delivery(#[from] std::io::Error),
    #[error("{0}")]
    Refused(String),
}

impl Rotator {
    /// Rotates by these rules; `None` if they name no directory.
    pub fn new(
        store: Store,
        gate: Arc<Gate>,
        clock: Clock,
        rules: RotationRules,
        make_secret: MakeSecret,
    ) -> Option<Self> {
        let files = Files::new(rules.directory.clone()?);
        Some(Self { store, gate, clock, rules, files, make_secret })
    }

    /// Rotates whatever is due, once; says how many keys that were.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn rotate_due(&self) -> Result<usize, StoreError> {
        self.finish_deliveries().await?;
        let (mut count, mut after) = (0, None);
        loop {
            let due = self.store.view().keys_due(self.clock.now(), after, AT_ONCE).await?;
            let Some(last) = due.last() else { return Ok(count) };
            after = Some(*last);
            for id in due {
                match self.rotate(id).await {
                    Ok(is_rotated) => count += usize::from(is_rotated),
                    // Another instance was faster, or somebody changed it: next time.
                    Err(RotateError::Store(StoreError::Stale)) => {}
                    Err(error) => tracing::error!(key_id = %id, %error, "a key is due and could not be rotated"),
                }
            }
        }
    }

    /// Its new secret is on disk before it is good, and has the name by which
    /// others look for it only once it is: so no crash leaves a key with a secret
    /// that nobody has, or a file with one that never will be good. The disk is
    /// waited for outside of the transaction, which others wait for.
    async fn rotate(&self, id: KeyId) -> Result<bool, RotateError> {
        let now = self.clock.now();
        let Some(before) = self.store.view().find_key_by_id(id).await?.filter(|key| key.is_due(now)) else {
            return Ok(false);
        };
        let no_numbers = || RotateError::Refused("the operating system has no random numbers".to_owned());
        let secret = (self.make_secret)().ok_or_else(no_numbers)?;
        let mut after = before.clone();
        let grace = self.rules.grace.map(|length| length.after(now));
        after.rotate(&secret, grace, now).map_err(|refusal| RotateError::Refused(refusal.message))?;
        let delivery = Delivery::new(&after, &secret, grace, now);
        let delivery = self.on_disk(move |files| files.begin(delivery)).await?;
        let mut tx = self.store.begin(Author::bursar("rotate_keys"), now).await?;
        if let Err(error) = tx.update_key(&before, &mut after).await {
            let _ = self.on_disk(move |_| delivery.forget()).await;
            return Err(error.into());
        }
        // If this fails, what it came to is found out before the next one.
        let committed = tx.commit().await?;
        self.gate.absorb(&committed).await?;
        tracing::info!(key_id = %id, "a key was rotated, for it was due");
        if let Err(error) = self.on_disk(move |files| files.finish_or_repeat(&delivery)).await {
            tracing::error!(key_id = %id, %error, "the new secret is not delivered yet; it is tried again");
        }
        Ok(true)
    }

    /// Ends what a failure left half delivered: secrets that are good get their
    /// names, others go.
    async fn finish_deliveries(&self) -> Result<(), StoreError> {
        let begun = match self.on_disk(Files::begun).await {
            Ok(begun) => begun,
            Err(error) => {
                tracing::error!(%error, "the directory for new secrets can't be read");
                return Ok(());
            }
        };
        let long_ago = self.clock.now().plus_seconds(-DELIVERY_SECONDS);
        for delivery in begun.into_iter().filter(|delivery| delivery.rotated_at() <= long_ago) {
            let key = match delivery.key_id() {
                Some(id) => self.store.view().find_key_by_id(id).await?,
                None => None,
            };
            let is_good = key.is_some_and(|key| key.key_hash == delivery.key_hash());
            let end = move |files: &Files| if is_good { files.finish(&delivery) } else { delivery.forget() };
            if let Err(error) = self.on_disk(end).await {
                tracing::warn!(%error, "the delivery of a new secret can't be ended; it is tried again");
            }
        }
        Ok(())
    }

    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Files) -> std::io::Result<T> + Send + 'static,
    ) -> std::io::Result<T> {
        let files = self.files.clone();
        tokio::task::spawn_blocking(move || work(&files)).await.map_err(std::io::Error::other)?
    }
}

/// Rotates what is due, for ever.
pub(super) async fn rotate(rotator: Rotator) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = rotator.rotate_due().await {
            tracing::warn!(%error, "keys that are due can't be looked for; it is tried again");
        }
    }
}
