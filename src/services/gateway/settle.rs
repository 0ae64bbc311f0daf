//! Settle: what an authorised call really used.

use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::usage::Taken;
use crate::services::wire::{budget, record_error, usage};

/// Books an authorised call.
pub(super) async fn settle(ctx: Ctx, request: pb::SettleRequest) -> Result<pb::SettleResponse, Error> {
    let mut faults = Faults::default();
    if request.reservation_id.is_empty() {
        faults.add("reservation_id", "is required");
    }
    if request.usage.is_none() {
        faults.add("usage", "is required; send an empty one for a call that used nothing");
    }
    // Key and model come from the reservation, and its id is the default.
    let sent = request.usage.unwrap_or_default();
    let event = pb::UsageEvent {
        key: String::new(),
        key_hash: String::new(),
        reservation_id: request.reservation_id.clone(),
        ..sent
    };
    let Taken { usage: taken, .. } = usage::take(&event, "usage.", &mut faults);
    if !event.request_id.is_empty() {
        usage::take_request_id(&event, "usage.", &mut faults);
    }
    faults.finish()?;
    let own_id = &taken.request_id;
    let request_id = if own_id.is_empty() { request.reservation_id.clone() } else { own_id.clone() };
    let settled = ctx.app.gate.settle(&request.reservation_id, taken, &ctx.reporter(), ctx.now).await;
    let settled = settled.map_err(|error| record_error::explain(error, "usage.", &request_id))?;
    if settled.overrun.is_some() {
        ctx.app.metrics.overrun();
    }
    Ok(pb::SettleResponse {
        cost: settled.recorded.cost.to_string(),
        budgets: settled.budgets.iter().map(budget::to_wire).collect(),
        request_id: settled.request_id,
        late: settled.recorded.late,
        overrun: settled.overrun.map(|more| more.to_string()),
    })
}
