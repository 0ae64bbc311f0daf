//! `GetKey`: one key, live or deleted.

use crate::domain::account::AccountId;
use crate::domain::clock::Timestamp;
use crate::domain::fault::Violation;
use crate::domain::reason::Reason;
use crate::domain::secret::KeyHash;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::access::standing_to_key;
use crate::services::wire::faults::Faults;
use crate::services::wire::{key, key_ref};
use crate::store::{DeletedKey, Spend};

use super::rules;

/// Reads a key.
pub(super) async fn get_key(ctx: Ctx, request: pb::GetKeyRequest) -> Result<pb::GetKeyResponse, Error> {
    let mut faults = Faults::default();
    let asked = key_ref::optional("key", &request.key, &mut faults);
    faults.finish()?;
    let own = || ctx.caller.key().map(|key| key.key_hash);
    let Some(hash) = asked.or_else(own) else {
        let rule = "is required: the master key is no virtual key";
        return Err(Error::invalid(Violation::named("key", Reason::CallerHasNoKey, rule)));
    };
    let key = match ctx.app.store.view().find_key(&hash).await? {
        Some(live) if standing_to_key(&ctx, ctx.app.store.view(), &live).await?.sees() => {
            rules::stored_key(&ctx, &hash).await?
        }
        Some(_) => return Err(rules::not_found(&hash).into()),
        None => deleted(&ctx, &hash).await?,
    };
    Ok(pb::GetKeyResponse { key: Some(key) })
}

/// The deleted key that had a hash.
///
/// # Errors
/// `NOT_FOUND` if there is none, or the caller may not see it.
pub(super) async fn deleted(ctx: &Ctx, hash: &KeyHash) -> Result<pb::Key, Error> {
    let view = ctx.app.store.view();
    let deleted = view.find_deleted_key(hash).await?.ok_or_else(|| rules::not_found(hash))?;
    if !standing_to_key(ctx, view, &deleted.key).await?.sees() {
        return Err(rules::not_found(hash).into());
    }
    let spend = last_spend(ctx, &deleted).await?;
    Ok(key::deleted_to_wire(deleted, spend, &ctx.app.rules.calendar, ctx.now))
}

/// What a deleted key spent: in the window in which it was deleted, and ever.
pub(super) async fn last_spend(ctx: &Ctx, deleted: &DeletedKey) -> Result<Spend, Error> {
    let account = AccountId::key(deleted.key.key_id);
    let in_force = ctx.app.store.view().budget_of_key(&deleted.key).await?;
    let window = in_force.window(&ctx.app.rules.calendar, deleted.deleted_at);
    let (last, life) = ((account.clone(), window.start), (account, Timestamp::EPOCH));
    let balances = ctx.app.store.view().balances(&[last.clone(), life.clone()]).await?;
    let spent = |key| balances.get(key).map(|balance| balance.spent).unwrap_or_default();
    Ok(Spend { window: spent(&last), lifetime: spent(&life), ..Spend::default() })
}
