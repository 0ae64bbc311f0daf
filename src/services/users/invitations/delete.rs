//! `DeleteInvitation`.

use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::text;

use super::{not_found, visible};

/// Ends an invitation.
pub(in crate::services::users) async fn delete_invitation(
    ctx: Ctx,
    request: pb::DeleteInvitationRequest,
) -> Result<pb::DeleteInvitationResponse, Error> {
    let mut faults = Faults::default();
    text::required("invitation_id", &request.invitation_id, text::LABEL_MAX_BYTES, &mut faults);
    faults.finish()?;
    let mut tx = ctx.begin().await?;
    // Who may delete is who may see, except viewers, who get no further than
    // the policy.
    let found = visible(&ctx, tx.view(), &request.invitation_id).await?;
    let (invitation, _) = found.ok_or_else(|| not_found(&request.invitation_id))?;
    tx.delete_invitation(&invitation).await?;
    ctx.commit(tx).await?;
    Ok(pb::DeleteInvitationResponse {})
}
