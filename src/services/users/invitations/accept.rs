//! `AcceptInvitation`: a user's first password, and its first session.

use crate::auth::Subject;
use crate::domain::invitation::{Invitation, InvitationState, InvitationToken};
use crate::domain::password::Password;
use crate::domain::reason::Reason;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::instant;

/// Sets the password of whoever was invited.
pub(in crate::services::users) async fn accept_invitation(
    ctx: Ctx,
    request: pb::AcceptInvitationRequest,
) -> Result<pb::AcceptInvitationResponse, Error> {
    let mut faults = Faults::default();
    let password = faults.take("password", Password::chosen(&request.password));
    if request.token.is_empty() {
        faults.add("token", "is required");
    }
    faults.finish()?;
    let password = password.ok_or_else(|| Error::internal("a password vanished"))?;
    let attempt = ctx.app.sign_in.throttle.begin(ctx.remote.map(Subject::Address), ctx.now)?;
    let token_hash = InvitationToken::hash_of(&request.token);
    // Nobody makes the server hash passwords for a token that is none.
    let found = ctx.app.store.view().find_invitation_by_token(&token_hash).await?;
    let invitation = usable(found, &ctx)?;
    let hash = ctx.app.sign_in.passwords.hash(password).await?;

    let mut tx = ctx.begin_as(invitation.user_id.to_string()).await?;
    let invitation = usable(tx.lock_invitation(&token_hash).await?, &ctx)?;
    let users = tx.lock_users(std::slice::from_ref(&invitation.user_id)).await?;
    let before = users.into_iter().next().filter(|user| user.password.is_none() && !user.blocked);
    let before = before.ok_or_else(not_usable)?;
    let mut after = before.clone();
    after.set_password(Some(hash), ctx.now);
    tx.update_user(&before, &mut after).await?;
    tx.accept_invitation(&invitation).await?;
    let (session_token, ends) = ctx.app.sign_in.sessions.mint(&after.user_id, after.session_epoch, ctx.now).await?;
    ctx.commit(tx).await?;
    attempt.succeeded();
    Ok(pb::AcceptInvitationResponse { session_token, expires_at: Some(instant::to_wire(ends)) })
}

fn usable(found: Option<Invitation>, ctx: &Ctx) -> Result<Invitation, Error> {
    found.filter(|invitation| invitation.state(ctx.now) == InvitationState::Open).ok_or_else(not_usable)
}

/// One answer for every cause: whoever guesses learns nothing.
fn not_usable() -> Error {
    Error::Unauthenticated {
        reason: Reason::InvitationNotUsable,
        message: "no invitation that can be used has this token; ask for a new one",
        metadata: Vec::new(),
    }
}
