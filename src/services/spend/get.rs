//! `GetUsage`: one usage event.

use crate::domain::fault::Refusal;
use crate::domain::reason::Reason;
use crate::domain::role::MemberPermission;
use crate::domain::ticket::TICKET_MAX_CHARS;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::text;

use super::{access, breakdown, list};

/// Reads a usage event.
pub(super) async fn get_usage(ctx: Ctx, request: pb::GetUsageRequest) -> Result<pb::GetUsageResponse, Error> {
    let mut faults = Faults::default();
    if request.request_id.is_empty() {
        faults.add("request_id", "is required");
    }
    text::check("request_id", &request.request_id, TICKET_MAX_CHARS, &mut faults);
    faults.finish()?;
    let scope = access::scope(&ctx, MemberPermission::SpendLogs);
    let found = ctx.app.store.view().find_event(&request.request_id, &scope).await?;
    let not_found = || Refusal::not_found(Reason::UsageNotFound, "usage event", [&request.request_id]);
    let found = found.ok_or_else(not_found)?;
    let breakdown = breakdown::of_event(&ctx, &found.event);
    let events = list::labelled(&ctx, vec![found]).await?;
    Ok(pb::GetUsageResponse { event: events.into_iter().next(), breakdown })
}
