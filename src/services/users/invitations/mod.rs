//! Invitations: how users get their first password.

pub(super) mod accept;
pub(super) mod create;
pub(super) mod delete;
pub(super) mod get;
pub(super) mod list;

use crate::domain::clock::Timestamp;
use crate::domain::fault::Refusal;
use crate::domain::ids::UserId;
use crate::domain::invitation::{Invitation, InvitationState, MailState};
use crate::domain::reason::Reason;
use crate::domain::user::User;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::{access, instant, role};
use crate::store::View;

/// Whether the caller invites a user: any that it manages.
async fn invites(ctx: &Ctx, view: View<'_>, user: &User) -> Result<bool, Error> {
    Ok(ctx.caller.is_proxy_admin() || access::manages_home_of(ctx, view, user).await?)
}

/// The invitation with an id, if the caller may know of it, with its user.
async fn visible(ctx: &Ctx, view: View<'_>, id: &str) -> Result<Option<(Invitation, User)>, Error> {
    let Some(invitation) = view.find_invitation(id).await? else { return Ok(None) };
    let Some(user) = view.find_user(&invitation.user_id).await? else { return Ok(None) };
    let sees = ctx.scope.is_all() || invites(ctx, view, &user).await?;
    Ok(sees.then_some((invitation, user)))
}

fn not_found(id: &str) -> Refusal {
    Refusal::not_found(Reason::InvitationNotFound, "invitation", [id])
}

fn user_not_found(id: &UserId) -> Refusal {
    Refusal::not_found(Reason::UserNotFound, "user", [id])
}

/// An invitation on the wire, without its token.
fn to_wire(invitation: &Invitation, now: Timestamp) -> pb::Invitation {
    let state = invitation.state(now);
    let mail = invitation.mail.as_ref();
    pb::Invitation {
        invitation_id: invitation.invitation_id.clone(),
        user_id: invitation.user_id.to_string(),
        is_accepted: state == InvitationState::Accepted,
        accepted_at: invitation.accepted_at.map(instant::to_wire),
        expires_at: Some(instant::to_wire(invitation.expires_at)),
        created_at: Some(instant::to_wire(invitation.created_at)),
        created_by: invitation.created_by.clone(),
        state: role::invitation_state_to_wire(state).into(),
        mailed_to: mail.map(|mail| mail.to.to_string()).unwrap_or_default(),
        mail_state: mail.map(|mail| mail_state(mail.state).into()).unwrap_or_default(),
        mail_error: mail.and_then(|mail| mail.error.clone()).unwrap_or_default(),
    }
}

const fn mail_state(state: MailState) -> pb::MailState {
    match state {
        MailState::Waiting => pb::MailState::Waiting,
        MailState::Sent => pb::MailState::Sent,
        MailState::Refused => pb::MailState::Refused,
    }
}
