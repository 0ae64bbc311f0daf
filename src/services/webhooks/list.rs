//! `ListWebhooks`: the receivers, and whether they take what they get.

use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::role;

/// Lists the receivers.
pub(super) async fn list_webhooks(
    ctx: Ctx,
    _request: pb::ListWebhooksRequest,
) -> Result<pb::ListWebhooksResponse, Error> {
    let counts = ctx.app.store.view().count_deliveries().await?;
    let mut webhooks: Vec<pb::Webhook> = ctx
        .app
        .webhooks
        .all
        .iter()
        .map(|webhook| {
            let counts = counts.get(webhook.name.as_str()).copied().unwrap_or_default();
            pb::Webhook {
                name: webhook.name.to_string(),
                host: webhook.url.host().to_owned(),
                events: webhook.events.iter().map(|event| role::event_type_to_wire(*event).into()).collect(),
                waiting_count: counts.waiting,
                dead_count: counts.dead,
            }
        })
        .collect();
    webhooks.sort_unstable_by(|left, right| left.name.cmp(&right.name));
    Ok(pb::ListWebhooksResponse { webhooks })
}
