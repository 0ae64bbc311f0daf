//! `Login`: a session for an e-mail address and its password.

use crate::auth::Subject;
use crate::domain::fault::Refusal;
use crate::domain::password::Password;
use crate::domain::reason::Reason;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::instant;

use super::fields;

/// Signs a user in.
pub(super) async fn login(ctx: Ctx, request: pb::LoginRequest) -> Result<pb::LoginResponse, Error> {
    let mut faults = Faults::default();
    if request.password.is_empty() {
        faults.add("password", "is required");
    }
    if request.user_email.is_empty() {
        faults.add("user_email", "is required");
    }
    let email = fields::email("user_email", Some(&request.user_email), &mut faults);
    faults.finish()?;
    let email = email.ok_or_else(|| Error::internal("an address vanished"))?;

    let sign_in = &ctx.app.sign_in;
    let subjects = [Some(Subject::Account(email.folded())), ctx.remote.map(Subject::Address)];
    let attempt = sign_in.throttle.begin(subjects.into_iter().flatten(), ctx.now)?;
    let user = ctx.app.store.view().find_user_by_email(&email).await?;
    let hash = user.as_ref().and_then(|user| user.password.clone());
    // As slow for an address that nobody has as for a wrong password.
    let is_right = sign_in.passwords.matches(hash, Password::tried(&request.password)).await?;
    let Some(user) = user.filter(|_| is_right) else { return Err(failed()) };
    attempt.succeeded();
    if user.blocked {
        return Err(Refusal::denied(Reason::UserDeactivated, "the user is blocked").into());
    }
    let (session_token, ends) = sign_in.sessions.mint(&user.user_id, user.session_epoch, ctx.now).await?;
    Ok(pb::LoginResponse { session_token, expires_at: Some(instant::to_wire(ends)) })
}

/// One answer for every cause.
fn failed() -> Error {
    Error::Unauthenticated {
        reason: Reason::LoginFailed,
        message: "the e-mail address and the password do not belong together",
        metadata: Vec::new(),
    }
}
