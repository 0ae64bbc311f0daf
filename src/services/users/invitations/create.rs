//! `CreateInvitation`: a token by which a user sets its first password.

use crate::domain::fault::Refusal;
use crate::domain::ids::{UserId, new_uuid};
use crate::domain::invitation::{
    DEFAULT_SECONDS, Invitation, InvitationMail, InvitationToken, MAX_SECONDS, MIN_SECONDS, MailState,
};
use crate::domain::reason::Reason;
use crate::domain::user::User;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::secret::random_bytes;
use crate::services::wire::{access, text};
use crate::store::{OutboxKind, Tx};

use super::{invites, to_wire, user_not_found};

/// Invites a user.
pub(in crate::services::users) async fn create_invitation(
    ctx: Ctx,
    request: pb::CreateInvitationRequest,
) -> Result<pb::CreateInvitationResponse, Error> {
    let mut faults = Faults::default();
    let id = text::required_id("user_id", &request.user_id, UserId::parse, &mut faults);
    let ttl = faults.length("ttl", request.ttl.as_ref());
    let seconds = ttl.map_or(DEFAULT_SECONDS, crate::domain::window::Length::nominal_seconds);
    if !(MIN_SECONDS..=MAX_SECONDS).contains(&seconds) {
        faults.add("ttl", "must be between 1h and 30d");
    }
    faults.finish()?;
    let id = id.ok_or_else(|| Error::internal("a user id vanished"))?;
    let mut tx = ctx.begin().await?;
    let user = tx.lock_users(std::slice::from_ref(&id)).await?.into_iter().next();
    let user = user.ok_or_else(|| user_not_found(&id))?;
    if !invites(&ctx, tx.view(), &user).await? {
        let sees = access::sees_user(&ctx, tx.view(), &id).await?;
        return Err(if sees { access::not_your_user(&id).into() } else { user_not_found(&id).into() });
    }
    let (invitation, token) = invite(&ctx, &mut tx, &user, seconds).await?;
    ctx.commit(tx).await?;
    Ok(pb::CreateInvitationResponse { invitation: Some(invitation), token })
}

/// Invites a user for so many seconds; returns the invitation and its token,
/// which is empty if it is mailed.
///
/// # Errors
/// `FAILED_PRECONDITION` if the user has a password: nobody is given a way to
/// take it over. Likewise if mail can't go to its address.
pub(in crate::services::users) async fn invite(
    ctx: &Ctx,
    tx: &mut Tx,
    user: &User,
    seconds: i64,
) -> Result<(pb::Invitation, String), Error> {
    if user.password.is_some() {
        let message = format!(
            "user {:?} has a password, which no invitation replaces; a proxy admin may set a new one",
            user.user_id.as_str()
        );
        return Err(Refusal::precondition(Reason::PasswordExists, message).about("user", &user.user_id).into());
    }
    let mail = mail_to(ctx, user)?;
    let is_mailed = mail.is_some();
    tx.revoke_invitations(&user.user_id, true).await?;
    let token = InvitationToken::from_random(&random_bytes()?);
    let invitation = Invitation {
        invitation_id: new_uuid().to_string(),
        user_id: user.user_id.clone(),
        accepted_at: None,
        expires_at: ctx.now.plus_seconds(seconds),
        created_at: ctx.now,
        created_by: ctx.caller.name(),
        mail,
    };
    tx.insert_invitation(&invitation, InvitationToken::hash_of(token.reveal())).await?;
    let shown = to_wire(&invitation, ctx.now);
    if !is_mailed {
        return Ok((shown, token.reveal().to_owned()));
    }
    let id = &invitation.invitation_id;
    let sealed = ctx.app.seals.of_invitation(id).close(token.reveal().as_bytes().to_vec());
    let sealed = sealed.ok_or_else(|| Error::internal("a token could not be sealed"))?;
    tx.insert_outbox_entry(OutboxKind::InvitationMail, id, sealed).await?;
    Ok((shown, String::new()))
}

/// The mail of an invitation, if there is a mail server and an address.
fn mail_to(ctx: &Ctx, user: &User) -> Result<Option<InvitationMail>, Refusal> {
    let Some((mailer, to)) = ctx.app.mailer.as_ref().zip(user.user_email.clone()) else { return Ok(None) };
    if !mailer.takes(&to) {
        let message =
            format!("no mail can go to {:?}; change user_email of user {:?}", to.as_str(), user.user_id.as_str());
        return Err(Refusal::precondition(Reason::EmailNotDeliverable, message).about("user", &user.user_id));
    }
    Ok(Some(InvitationMail { to, state: MailState::Waiting, error: None }))
}
