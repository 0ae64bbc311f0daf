//! `GetAuditEntry`.

use crate::domain::fault::Refusal;
use crate::domain::reason::Reason;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::text;

use super::list::{to_wire, visible_to};

/// Reads an entry.
pub(super) async fn get_audit_entry(
    ctx: Ctx,
    request: pb::GetAuditEntryRequest,
) -> Result<pb::GetAuditEntryResponse, Error> {
    let mut faults = Faults::default();
    text::required("audit_id", &request.audit_id, text::LABEL_MAX_BYTES, &mut faults);
    faults.finish()?;
    let found = ctx.app.store.view().find_audit_entry(&request.audit_id, visible_to(&ctx)).await?;
    let not_found = || Refusal::not_found(Reason::AuditEntryNotFound, "audit_entry", [&request.audit_id]);
    let entry = found.ok_or_else(not_found)?;
    Ok(pb::GetAuditEntryResponse { entry: Some(to_wire(entry)) })
}
