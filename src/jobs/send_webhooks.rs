//! Webhooks: what waits in the outbox goes to its receivers, at least once.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::MissedTickBehavior;

use crate::domain::clock::{Clock, Timestamp};
use crate::domain::retry::pause_after;
use crate::domain::webhook::Webhook;
use crate::store::{OutboxEntry, OutboxKind, Store, StoreError};
use crate::webhooks::Courier;

const INTERVAL: Duration = Duration::from_secs(1);

/// How long a claim lasts, in seconds: longer than a receiver may take, so that
/// no other instance sends the same.
const CLAIM_SECONDS: i64 = 120;

/// How many messages are on their way to one receiver at once.
const AT_ONCE: usize = 8;

/// After how many attempts a message is given up: about a day.
const ATTEMPTS: i64 = 30;

/// Sends what is due for one receiver, for ever: a slow one is in nobody else's
/// way.
pub(super) async fn send_webhooks(store: Store, courier: Courier, webhook: Arc<Webhook>, clock: Clock) {
    let sender = Sender { store, courier, webhook, clock };
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = sender.send_due().await {
            tracing::warn!(%error, "the outbox could not be read or written; it is tried again");
        }
    }
}

struct Sender {
    store: Store,
    courier: Courier,
    webhook: Arc<Webhook>,
    clock: Clock,
}

impl Sender {
    async fn send_due(&self) -> Result<(), StoreError> {
        loop {
            let mut due = Vec::with_capacity(AT_ONCE);
            let claimed = loop {
                match self.claim().await {
                    Ok(Some(entry)) => due.push(entry),
                    other => break other.map(drop),
                }
                if due.len() == AT_ONCE {
                    break Ok(());
                }
            };
            let is_last = due.len() < AT_ONCE;
            // What was claimed is sent, whatever failed after it.
            for sent in join_all(due.into_iter().map(|entry| self.send(entry))).await {
                sent?;
            }
            claimed?;
            if is_last {
                return Ok(());
            }
        }
    }

    async fn claim(&self) -> Result<Option<OutboxEntry>, StoreError> {
        let now = self.clock.now();
        let name = self.webhook.name.as_str();
        self.store.claim_outbox_entry(OutboxKind::Webhook, Some(name), now, now.plus_seconds(CLAIM_SECONDS)).await
    }

    async fn send(&self, entry: OutboxEntry) -> Result<(), StoreError> {
        let OutboxEntry { entry_id, payload, attempts, .. } = &entry;
        let attempts = *attempts;
        let Err(error) = self.courier.deliver(&self.webhook, entry_id, payload.clone(), self.clock.now()).await else {
            return self.store.remove_delivery(entry_id).await;
        };
        let now = self.clock.now();
        let due_at = next_attempt(attempts, error.is_final, error.retry_after_seconds, now);
        let (webhook, error, is_given_up) = (&self.webhook.name, error.message, due_at.is_none());
        tracing::warn!(%webhook, delivery_id = entry_id, attempts, error, is_given_up, "a webhook did not take a message");
        self.store.fail_delivery(&entry, due_at, &error, now).await
    }
}

/// When a message is sent again after so many attempts; `None`: never.
fn next_attempt(attempts: i64, is_final: bool, retry_after: Option<i64>, now: Timestamp) -> Option<Timestamp> {
    let is_over = is_final || attempts >= ATTEMPTS;
    (!is_over).then(|| now.plus_seconds(retry_after.unwrap_or(0).max(pause_after(attempts))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_given_up_after_about_a_day() {
        let now = Timestamp::EPOCH;
        for (attempts, is_final, retry_after, after) in [
            (1, false, None, Some(5)),
            (1, false, Some(60), Some(60)),
            (3, false, Some(60), Some(120)),
            (1, true, Some(60), None),
            (29, false, None, Some(3_600)),
            (30, false, None, None),
        ] {
            let next = next_attempt(attempts, is_final, retry_after, now);
            assert_eq!(next, after.map(|seconds| now.plus_seconds(seconds)), "{attempts}");
        }
        let day: i64 = (1..ATTEMPTS).map(pause_after).sum();
        assert!((86_400..100_000).contains(&day), "{day}");
    }
}
