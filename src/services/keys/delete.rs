//! `DeleteKeys`: keys into the archive, all or none.

use crate::domain::fault::Refusal;
use crate::domain::key::Key;
use crate::domain::reason::Reason;
use crate::domain::role::MemberPermission;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::access::standing_to_key;
use crate::services::wire::faults::Faults;
use crate::services::wire::key;
use crate::store::{DeletedKey, StoredKey, Tx};

use super::named::NamedKeys;

/// Deletes keys.
pub(super) async fn delete_keys(ctx: Ctx, request: pb::DeleteKeysRequest) -> Result<pb::DeleteKeysResponse, Error> {
    let mut faults = Faults::default();
    let named = NamedKeys::take(&request.keys, &request.key_aliases, &mut faults);
    faults.finish()?;
    let mut tx = ctx.begin().await?;
    let keys = tx.lock_keys(&named.hashes(), &named.aliases).await?;
    check(&ctx, &tx, &named, &keys).await?;
    let mut deleted_keys = Vec::with_capacity(keys.len());
    for key in keys {
        let stored = tx.view().find_stored_key(&key.key_hash, ctx.now).await?;
        let spend = stored.map(|StoredKey { spend, .. }| spend).unwrap_or_default();
        tx.delete_key(&key).await?;
        let deleted = DeletedKey { key, deleted_at: ctx.now };
        deleted_keys.push(key::deleted_to_wire(deleted, spend, &ctx.app.rules.calendar, ctx.now));
    }
    ctx.commit(tx).await?;
    Ok(pb::DeleteKeysResponse { deleted_keys })
}

/// All of them must exist and be the caller's to delete.
async fn check(ctx: &Ctx, tx: &Tx, named: &NamedKeys, keys: &[Key]) -> Result<(), Error> {
    let mut seen: Vec<&Key> = Vec::with_capacity(keys.len());
    let mut refused = None;
    for key in keys {
        let standing = standing_to_key(ctx, tx.view(), key).await?;
        if standing.sees() {
            seen.push(key);
        }
        if standing.sees() && !standing.may(MemberPermission::KeyDelete) {
            refused = Some(key);
        }
    }
    let owned = tx.view().keys_with(&named.hashes()).await?;
    let unseen: Vec<&str> =
        named.among(&seen, &owned).filter(|(.., key)| key.is_none()).map(|(name, ..)| name).collect();
    if !unseen.is_empty() {
        return Err(Refusal::not_found(Reason::KeyNotFound, "key", unseen).into());
    }
    match refused {
        None => Ok(()),
        Some(key) => {
            let message = format!("key {} is not yours to delete; nothing was deleted", key.key_name);
            Err(Refusal::denied(Reason::NotYourKey, message).about("key", key.key_hash).into())
        }
    }
}
