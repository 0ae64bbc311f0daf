//! `VerifyAuditLog`.

use crate::domain::reason::Reason;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::store::AuditFault;

/// Verifies the chain of entries.
pub(super) async fn verify_audit_log(
    ctx: Ctx,
    request: pb::VerifyAuditLogRequest,
) -> Result<pb::VerifyAuditLogResponse, Error> {
    let mut faults = Faults::default();
    let first = request.first_sequence.unwrap_or(1);
    if first < 1 {
        faults.add("first_sequence", "must be at least 1");
    }
    if request.last_sequence.is_some_and(|last| last < first) {
        faults.add_named("last_sequence", Reason::RangeReversed, "must not lie before first_sequence");
    }
    faults.finish()?;
    let found = ctx.app.store.verify_audit(first, request.last_sequence).await?;
    let fault = match found.fault {
        None => pb::AuditFault::Unspecified,
        Some((_, AuditFault::Gap)) => pb::AuditFault::Gap,
        Some((_, AuditFault::Changed)) => pb::AuditFault::Changed,
        Some((_, AuditFault::CutOff)) => pb::AuditFault::CutOff,
    };
    Ok(pb::VerifyAuditLogResponse {
        verified_count: found.entries,
        fault: fault.into(),
        fault_sequence: found.fault.map(|(sequence, _)| sequence),
    })
}
