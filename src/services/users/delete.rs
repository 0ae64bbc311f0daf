//! `DeleteUsers`: users with their keys and memberships, all or none.

use crate::auth::Credential;
use crate::domain::fault::Refusal;
use crate::domain::ids::UserId;
use crate::domain::reason::Reason;
use crate::domain::role::Role;
use crate::domain::user::User;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::{access, text};
use crate::store::Tx;

/// Deletes users.
pub(super) async fn delete_users(ctx: Ctx, request: pb::DeleteUsersRequest) -> Result<pb::DeleteUsersResponse, Error> {
    let mut faults = Faults::default();
    let ids = text::ids_to_delete("user_ids", &request.user_ids, UserId::parse, &mut faults);
    faults.finish()?;
    let mut tx = ctx.begin().await?;
    // Admins first: every change that could take the last one does the same.
    tx.lock_proxy_admins().await?;
    let users = tx.lock_users(&ids).await?;
    check_scope(&ctx, &tx, &users, &ids).await?;
    check(&ctx, &tx, &users, &ids).await?;
    let mut deleted_key_count = 0;
    for user in &users {
        deleted_key_count += tx.remove_user(user).await?;
    }
    ctx.commit(tx).await?;
    Ok(pb::DeleteUsersResponse {
        deleted_user_ids: users.iter().map(|user| user.user_id.to_string()).collect(),
        deleted_key_count,
    })
}

/// All of them must exist and be the caller's to delete.
async fn check_scope(ctx: &Ctx, tx: &Tx, users: &[User], ids: &[UserId]) -> Result<(), Error> {
    let mut unseen: Vec<&UserId> = ids.iter().filter(|id| !users.iter().any(|user| user.user_id == **id)).collect();
    let mut foreign = None;
    for user in users.iter().filter(|_| !ctx.scope.is_all()) {
        if access::manages_home_of(ctx, tx.view(), user).await? {
            continue;
        }
        if access::sees_user(ctx, tx.view(), &user.user_id).await? {
            foreign = Some(&user.user_id);
        } else {
            unseen.push(&user.user_id);
        }
    }
    if !unseen.is_empty() {
        return Err(Refusal::not_found(Reason::UserNotFound, "user", unseen).into());
    }
    foreign.map_or(Ok(()), |id| Err(access::not_your_user(id).into()))
}

async fn check(ctx: &Ctx, tx: &Tx, users: &[User], ids: &[UserId]) -> Result<(), Error> {
    if users.iter().any(|user| ctx.caller.is_user(&user.user_id)) {
        let message = "nobody deletes itself; ask another proxy admin";
        return Err(Refusal::precondition(Reason::CannotDeleteSelf, message).into());
    }
    let takes_admin = users.iter().any(|user| user.user_role == Role::ProxyAdmin && !user.blocked);
    let is_master = matches!(ctx.caller.credential, Credential::Master);
    if takes_admin && !is_master && tx.view().count_other_proxy_admins(ids).await? == 0 {
        let message = "no unblocked proxy admin would be left; only the master key may do that";
        return Err(Refusal::precondition(Reason::LastProxyAdmin, message).into());
    }
    Ok(())
}
