//! Release: the call was not made.

use crate::error::Error;
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
    let released = ctx.app.gate.release(&request.reservation_id, &ctx.reporter(), ctx.now).await;
    let released = released.map_err(|error| record_error::explain(error, "", ""))?;
    Ok(pb::ReleaseResponse { released })
}
