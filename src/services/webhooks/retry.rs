//! `RetryWebhookDeliveries`: messages are sent again, now.

use super::take_name;
use crate::domain::fault::Refusal;
use crate::domain::ids::check_id;
use crate::domain::reason::Reason;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::text;
use crate::store::DeliveryFilter;

/// Sends messages again.
pub(super) async fn retry_webhook_deliveries(
    ctx: Ctx,
    request: pb::RetryWebhookDeliveriesRequest,
) -> Result<pb::RetryWebhookDeliveriesResponse, Error> {
    let filter = parse(request)?;
    let retried = ctx.app.store.retry_deliveries(&filter, ctx.now).await?;
    let retried =
        retried.map_err(|missing| Refusal::not_found(Reason::WebhookDeliveryNotFound, "webhook delivery", missing))?;
    Ok(pb::RetryWebhookDeliveriesResponse { retried_count: i64::try_from(retried).unwrap_or(i64::MAX) })
}

fn parse(request: pb::RetryWebhookDeliveriesRequest) -> Result<DeliveryFilter, Error> {
    let mut faults = Faults::default();
    let id = |text: &str| check_id(text).map(|()| text.to_owned());
    let ids = text::ids("delivery_ids", &request.delivery_ids, id, &mut faults);
    let filter = if request.delivery_ids.is_empty() {
        take_name(&request.webhook, &mut faults);
        DeliveryFilter { ids: None, webhook: request.webhook, is_dead: Some(true) }
    } else {
        if !request.webhook.is_empty() {
            faults.add("webhook", "can't be set with delivery_ids");
        }
        DeliveryFilter { ids: Some(ids), ..DeliveryFilter::default() }
    };
    faults.finish()?;
    Ok(filter)
}
