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

/// The most characters of a reason.
const REASON_MAX_CHARS: usize = 512;

/// Refuses a key.
pub(super) async fn block_key(ctx: Ctx, request: pb::BlockKeyRequest) -> Result<pb::BlockKeyResponse, Error> {
    let mut faults = Faults::default();
    if request.reason.chars().count() > REASON_MAX_CHARS || request.reason.chars().any(char::is_control) {
        faults
            .add("reason", format!("must have at most {REASON_MAX_CHARS} characters, none of them control characters"));
    }
    let key = Some(set_blocked(&ctx, &request.key, Some(request.reason), faults).await?);
    Ok(pb::BlockKeyResponse { key })
}

/// Undoes it.
pub(super) async fn unblock_key(ctx: Ctx, request: pb::UnblockKeyRequest) -> Result<pb::UnblockKeyResponse, Error> {
    let key = Some(set_blocked(&ctx, &request.key, None, Faults::default()).await?);
    Ok(pb::UnblockKeyResponse { key })
}

/// Blocks a key for a reason, which may be empty, or unblocks it.
async fn set_blocked(ctx: &Ctx, key: &str, reason: Option<String>, mut faults: Faults) -> Result<pb::Key, Error> {
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
    let blocked = reason.is_some();
    let permission = if blocked { MemberPermission::KeyBlock } else { MemberPermission::KeyUnblock };
    if !standing.may_as_member(permission) {
        let message = "the key is not yours to block or unblock; ask an admin of its team, or a proxy admin";
        return Err(Refusal::denied(Reason::NotYourKey, message).about("key", hash).into());
    }
    if before.blocked == blocked {
        return rules::stored_key(ctx, &hash).await;
    }
    let mut after = before.clone();
    after.blocked = blocked;
    after.block_reason = reason.filter(|reason| !reason.is_empty());
    tx.update_key(&before, &mut after).await?;
    ctx.commit(tx).await?;
    rules::stored_key(ctx, &hash).await
}
