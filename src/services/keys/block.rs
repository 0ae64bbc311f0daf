//! `BlockKey` and `UnblockKey`: from the next call on.

use crate::domain::fault::Refusal;
use crate::domain::reason::Reason;
use crate::domain::role::MemberPermission;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::access::standing_to_key;
use crate::services::wire::faults::Faults;
use crate::services::wire::key_ref;

use super::rules;

/// Refuses a key.
pub(super) async fn block_key(ctx: Ctx, request: pb::BlockKeyRequest) -> Result<pb::BlockKeyResponse, Error> {
    let key = Some(set_blocked(&ctx, &request.key, true).await?);
    Ok(pb::BlockKeyResponse { key })
}

/// Undoes it.
pub(super) async fn unblock_key(ctx: Ctx, request: pb::UnblockKeyRequest) -> Result<pb::UnblockKeyResponse, Error> {
    let key = Some(set_blocked(&ctx, &request.key, false).await?);
    Ok(pb::UnblockKeyResponse { key })
}

async fn set_blocked(ctx: &Ctx, key: &str, blocked: bool) -> Result<pb::Key, Error> {
    let mut faults = Faults::default();
    let hash = key_ref::required("key", key, &mut faults);
    faults.finish()?;
    let hash = hash.ok_or_else(|| Error::internal("a key reference vanished"))?;
    let mut tx = ctx.begin().await?;
    let found = tx.lock_keys(std::slice::from_ref(&hash), &[]).await?;
    let before = found.into_iter().next().ok_or_else(|| rules::not_found(&hash))?;
    let standing = standing_to_key(ctx, tx.view(), &before).await?;
    if !standing.sees() {
        return Err(rules::not_found(&hash).into());
    }
    let permission = if blocked { MemberPermission::KeyBlock } else { MemberPermission::KeyUnblock };
    if !standing.may_as_member(permission) {
        let message = "the key is not yours to block or unblock; ask an admin of its team, or a proxy admin";
        return Err(Refusal::denied(Reason::NotYourKey, message).about("key", hash).into());
    }
    let mut after = before.clone();
    after.blocked = blocked;
    tx.update_key(&before, &mut after).await?;
    ctx.commit(tx).await?;
    rules::stored_key(ctx, &hash).await
}
