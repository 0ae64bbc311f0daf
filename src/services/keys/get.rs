//! `GetKey`: one key, live or deleted.

use crate::domain::account::AccountId;
use crate::domain::clock::Timestamp;
use crate::domain::fault::Violation;
use crate::domain::ids::{TeamId, UserId};
use crate::domain::reason::Reason;
use crate::domain::secret::KeyHash;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::access::{sees_user, standing_to_key};
use crate::services::wire::faults::Faults;
use crate::services::wire::{key, key_ref, standings};
use crate::store::{DeletedKey, Spend, View};

use super::rules;

/// Reads a key.
pub(super) async fn get_key(ctx: Ctx, request: pb::GetKeyRequest) -> Result<pb::GetKeyResponse, Error> {
    let mut faults = Faults::default();
    let asked = key_ref::optional("key", &request.key, &mut faults);
    faults.finish()?;
    let own = || ctx.caller.key().and_then(|key| key.hash());
    let Some(hash) = asked.or_else(own) else {
        let rule = "is required: the master key is no virtual key";
        return Err(Error::invalid(Violation::named("key", Reason::CallerHasNoKey, rule)));
    };
    let view = ctx.app.store.view();
    let Some(live) = view.find_key(&hash).await? else {
        return Ok(pb::GetKeyResponse { key: Some(deleted(&ctx, &hash).await?), ..pb::GetKeyResponse::default() });
    };
    if !standing_to_key(&ctx, view, &live).await?.sees() {
        return Err(rules::not_found(&hash).into());
    }
    let (budgets, rate_limits) = standings(&ctx, &live.key_hash).await?;
    Ok(pb::GetKeyResponse {
        key: Some(rules::stored_key(&ctx, &hash).await?),
        budgets,
        rate_limits,
        team_alias: team_alias(view, live.team_id.as_ref()).await?,
        user_email: user_email(&ctx, live.user_id.as_ref()).await?,
    })
}

/// How everything stands that binds a key's calls.
async fn standings(ctx: &Ctx, hash: &KeyHash) -> Result<(Vec<pb::BudgetStatus>, Vec<pb::RateLimitStatus>), Error> {
    match ctx.app.gate.directory().find(hash, ctx.now).await? {
        Some(identity) => standings::of_key(ctx, &identity).await,
        None => Ok((Vec::new(), Vec::new())),
    }
}

async fn team_alias(view: View<'_>, id: Option<&TeamId>) -> Result<String, Error> {
    let Some(id) = id else { return Ok(String::new()) };
    Ok(view.find_team(id).await?.and_then(|team| team.team_alias).unwrap_or_default())
}

async fn user_email(ctx: &Ctx, id: Option<&UserId>) -> Result<String, Error> {
    let view = ctx.app.store.view();
    match id {
        Some(id) if sees_user(ctx, view, id).await? => Ok(view
            .find_user(id)
            .await?
            .and_then(|user| user.user_email)
            .map(|email| email.to_string())
            .unwrap_or_default()),
        _ => Ok(String::new()),
    }
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
