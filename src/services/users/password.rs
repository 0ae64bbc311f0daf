//! Changing a password: one's own with the old one, anybody's as proxy admin.

use crate::auth::Subject;
use crate::domain::fault::Refusal;
use crate::domain::password::{Password, PasswordHash};
use crate::domain::patch::Patch;
use crate::domain::reason::Reason;
use crate::domain::user::User;
use crate::error::Error;
use crate::services::Ctx;

/// The hash of the new password; `None` if it is taken away.
///
/// # Errors
/// `PERMISSION_DENIED` without the right to it, or with a wrong old password.
pub(super) async fn change(
    ctx: &Ctx,
    user: &User,
    wanted: Patch<Password>,
    old_password: &str,
) -> Result<Option<PasswordHash>, Error> {
    if !ctx.caller.is_proxy_admin() {
        check_old(ctx, user, matches!(wanted, Patch::Clear), old_password).await?;
    }
    match wanted {
        Patch::Set(password) => Ok(Some(ctx.app.sign_in.passwords.hash(password).await?)),
        Patch::Clear | Patch::Keep => Ok(None),
    }
}

async fn check_old(ctx: &Ctx, user: &User, is_cleared: bool, old_password: &str) -> Result<(), Error> {
    if !ctx.caller.is_user(&user.user_id) || is_cleared {
        let message = "you may not change password; ask a proxy admin";
        return Err(Refusal::denied(Reason::FieldNotAllowed, message).with("field", "password").into());
    }
    // Whoever holds a key of a user must not get to stay by it.
    let Some(hash) = user.password.clone() else {
        let message = "you have no password yet; ask for an invitation";
        return Err(Refusal::precondition(Reason::NoPassword, message).into());
    };
    let sign_in = &ctx.app.sign_in;
    let attempt = sign_in.throttle.begin([Subject::Account(user.user_id.to_string())], ctx.now)?;
    if !sign_in.passwords.matches(Some(hash), Password::tried(old_password)).await? {
        return Err(Refusal::denied(Reason::PasswordWrong, "old_password is not your password").into());
    }
    attempt.succeeded();
    Ok(())
}
