//! `ListWebhookDeliveries`: what has not arrived, page by page.

use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::instant;
use crate::services::wire::page::{self, Asked, List};
use crate::store::{Delivery, DeliveryFilter, PageRequest};

use super::take_name;

/// A valid request.
struct Command {
    filter: DeliveryFilter,
    page: PageRequest,
    list: List,
}

/// Lists deliveries.
pub(super) async fn list_webhook_deliveries(
    ctx: Ctx,
    request: pb::ListWebhookDeliveriesRequest,
) -> Result<pb::ListWebhookDeliveriesResponse, Error> {
    let Command { filter, page, list } = parse(&ctx, request)?;
    let found = ctx.app.store.view().list_deliveries(&filter, &page).await?;
    Ok(pb::ListWebhookDeliveriesResponse {
        deliveries: found.items.into_iter().map(to_wire).collect(),
        next_page_token: page::token(&list, found.next),
        total_size: found.total,
    })
}

fn parse(ctx: &Ctx, request: pb::ListWebhookDeliveriesRequest) -> Result<Command, Error> {
    let mut faults = Faults::default();
    let asked =
        Asked { page_size: request.page_size, page_token: &request.page_token, include_total: request.include_total };
    let filters = pb::ListWebhookDeliveriesRequest {
        page_size: 0,
        page_token: String::new(),
        include_total: false,
        ..request.clone()
    };
    let list = List::new(ctx, &filters);
    let page = page::take(asked, &list, &mut faults);
    let state = pb::WebhookDeliveryState::try_from(request.state);
    let is_dead = match state {
        Ok(pb::WebhookDeliveryState::Unspecified) => None,
        Ok(state) => Some(state == pb::WebhookDeliveryState::Dead),
        Err(_) => {
            faults.add("state", format!("has no value {}", request.state));
            None
        }
    };
    if !request.webhook.is_empty() {
        take_name(&request.webhook, &mut faults);
    }
    faults.finish()?;
    Ok(Command { filter: DeliveryFilter { ids: None, webhook: request.webhook, is_dead }, page, list })
}

fn to_wire(delivery: Delivery) -> pb::WebhookDelivery {
    let is_dead = delivery.due_at.is_none();
    let state = if is_dead { pb::WebhookDeliveryState::Dead } else { pb::WebhookDeliveryState::Waiting };
    pb::WebhookDelivery {
        delivery_id: delivery.delivery_id,
        webhook: delivery.webhook,
        state: state.into(),
        attempts: delivery.attempts,
        error: delivery.error,
        due_at: delivery.due_at.map(instant::to_wire),
        created_at: Some(instant::to_wire(delivery.created_at)),
        body: String::from_utf8_lossy(&delivery.body).into_owned(),
    }
}
