//! Release: the call was not made.

use crate::error::Error;
use crate::gate::RecordError;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::record_error;

/// Frees a reservation.
pub(super) async fn release(ctx: Ctx, request: pb::ReleaseRequest) -> Result<pb::ReleaseResponse, Error> {
    let mut faults = Faults::default();
    if request.reservation_id.is_empty() {
        faults.add("reservation_id", "is required");
    }
    faults.finish()?;
    match ctx.app.gate.release(&request.reservation_id, &ctx.reporter(), ctx.now) {
        Some(released) => Ok(pb::ReleaseResponse { released }),
        None => Err(record_error::explain(RecordError::ReservationUnknown, "", "")),
    }
}
