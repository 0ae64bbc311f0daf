//! `TestWebhook`: whether a receiver takes what it gets.

use serde_json::json;

use super::take_name;
use crate::domain::fault::Refusal;
use crate::domain::ids::new_uuid;
use crate::domain::reason::Reason;
use crate::domain::webhook::{EventType, Message};
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;

/// Sends one message.
pub(super) async fn test_webhook(ctx: Ctx, request: pb::TestWebhookRequest) -> Result<pb::TestWebhookResponse, Error> {
    let mut faults = Faults::default();
    take_name(&request.webhook, &mut faults);
    faults.finish()?;
    let webhooks = &ctx.app.webhooks;
    let webhook = webhooks.all.iter().find(|webhook| webhook.name.as_str() == request.webhook);
    let webhook = webhook.ok_or_else(|| Refusal::not_found(Reason::WebhookNotFound, "webhook", [&request.webhook]))?;
    let body = Message::body(EventType::Test, ctx.now, json!({}));
    let sent = webhooks.courier.deliver(webhook, &new_uuid().to_string(), body, ctx.now).await;
    let error = sent.err().map(|error| error.message);
    Ok(pb::TestWebhookResponse { delivered: error.is_none(), error: error.unwrap_or_default() })
}
