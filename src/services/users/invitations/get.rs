//! `GetInvitation`.

use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::text;

use super::{not_found, to_wire, visible};

/// Reads an invitation.
pub(in crate::services::users) async fn get_invitation(
    ctx: Ctx,
    request: pb::GetInvitationRequest,
) -> Result<pb::GetInvitationResponse, Error> {
    let mut faults = Faults::default();
    text::required("invitation_id", &request.invitation_id, text::LABEL_MAX_BYTES, &mut faults);
    faults.finish()?;
    let found = visible(&ctx, ctx.app.store.view(), &request.invitation_id).await?;
    let (invitation, _) = found.ok_or_else(|| not_found(&request.invitation_id))?;
    Ok(pb::GetInvitationResponse { invitation: Some(to_wire(&invitation, ctx.now)) })
}
