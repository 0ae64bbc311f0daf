//! `ListInvitations`.

use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::page::{self, Asked, List};
use crate::services::wire::{role, text};
use crate::store::InvitationFilter;

use super::to_wire;

/// Lists invitations.
pub(in crate::services::users) async fn list_invitations(
    ctx: Ctx,
    request: pb::ListInvitationsRequest,
) -> Result<pb::ListInvitationsResponse, Error> {
    let mut faults = Faults::default();
    let asked =
        Asked { page_size: request.page_size, page_token: &request.page_token, include_total: request.include_total };
    let filters =
        pb::ListInvitationsRequest { page_size: 0, page_token: String::new(), include_total: false, ..request.clone() };
    let list = List::new(&ctx, &filters);
    let page = page::take(asked, &list, &mut faults);
    let filter = InvitationFilter {
        user_id: text::user_id("user_id", &request.user_id, &mut faults),
        state: role::invitation_state_from_wire("state", request.state, &mut faults),
        visible_to: ctx.caller.user_id().filter(|_| !ctx.scope.is_all()).cloned(),
    };
    faults.finish()?;
    let found = ctx.app.store.view().list_invitations(&filter, &page, ctx.now).await?;
    Ok(pb::ListInvitationsResponse {
        invitations: found.items.iter().map(|invitation| to_wire(invitation, ctx.now)).collect(),
        next_page_token: page::token(&list, found.next),
        total_size: found.total,
    })
}
