//! `UpdateKey`: changes of a key, within what its changer may give.

use crate::config::SelfServeBudgets;
use crate::domain::audit::{Change, ObjectType};
use crate::domain::fault::{Refusal, Violation};
use crate::domain::ids::{TeamId, UserId};
use crate::domain::key::{Key, KeyType};
use crate::domain::key_rules::{Adjusted, Bounded, Lifetime, NewKey};
use crate::domain::limit::is_raised;
use crate::domain::money::Usd;
use crate::domain::patch::Patch;
use crate::domain::reason::Reason;
use crate::domain::role::MemberPermission;
use crate::domain::secret::KeyHash;
use crate::domain::team::Team;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::access::{KeyStanding, managed_team, standing_to_key};
use crate::services::wire::correction::{Owner, keep_window, set_spend};
use crate::services::wire::faults::Faults;
use crate::services::wire::mask::Mask;
use crate::services::wire::metadata::MetadataPatch;
use crate::services::wire::{etag, key_ref, new_key, taken};
use crate::store::{Constraint, StoreError, Tx, View};

use super::rules;

/// The fields that a mask may name.
const FIELDS: [&str; 20] = [
    "key_alias",
    "key_type",
    "user_id",
    "team_id",
    "service_account_id",
    "models",
    "model_aliases",
    "max_budget",
    "soft_budget",
    "budget_duration",
    "tpm_limit",
    "rpm_limit",
    "max_parallel_requests",
    "allowed_routes",
    "tags",
    "metadata",
    "metadata.*",
    "blocked",
    "spend",
    "duration",
];

/// The fields that only a proxy admin writes.
const ADMIN_FIELDS: [&str; 2] = ["key_type", "allowed_routes"];

/// The fields that budgets are made of.
const BUDGET_FIELDS: [&str; 4] = ["max_budget", "soft_budget", "budget_duration", "budget_anchor_at"];

/// A valid request.
struct Command {
    hash: KeyHash,
    etag: String,
    patch: KeyPatch,
    sends_both_budgets: bool,
}

#[derive(Default)]
struct KeyPatch {
    new: NewKey,
    alias: Patch<String>,
    key_type: Patch<KeyType>,
    user_id: Patch<UserId>,
    team_id: Patch<TeamId>,
    service_account_id: Patch<String>,
    models: Patch<crate::domain::models::ModelList>,
    model_aliases: Patch<crate::domain::models::ModelAliases>,
    max: Patch<Usd>,
    soft: Patch<Usd>,
    budget_duration: Patch<crate::domain::window::Length>,
    tpm: Patch<i64>,
    rpm: Patch<i64>,
    parallel: Patch<i64>,
    routes: Patch<Vec<String>>,
    tags: Patch<Vec<String>>,
    metadata: MetadataPatch,
    blocked: Patch<bool>,
    spend: Patch<Usd>,
    lifetime: Patch<Lifetime>,
}

/// Changes a key.
pub(super) async fn update_key(ctx: Ctx, request: pb::UpdateKeyRequest) -> Result<pb::UpdateKeyResponse, Error> {
    let Command { hash, etag: sent_etag, mut patch, sends_both_budgets } = parse(&request)?;
    let mut tx = ctx.begin().await?;
    let before = held(&mut tx, &hash, &patch.team_id).await?;
    let standing = standing_to_key(&ctx, tx.view(), &before).await?;
    if !standing.sees() {
        return Err(rules::not_found(&hash).into());
    }
    let spend = std::mem::take(&mut patch.spend);
    let (mut after, adjusted) = apply(&ctx, &before, patch)?;
    check_rights(&ctx, &standing, &before, &after, &spend)?;
    etag::check(&sent_etag, before.version, "key", &hash)?;
    check_places(&ctx, tx.view(), &standing, &before, &after).await?;
    if !sends_both_budgets {
        after.budget.check_updated()?;
    }
    save(&ctx, &mut tx, &before, &mut after, spend).await?;
    ctx.commit(tx).await?;
    let key = rules::stored_key(&ctx, &hash).await?;
    Ok(pb::UpdateKeyResponse { key: Some(key), adjusted_fields: rules::adjusted_to_wire(adjusted) })
}

/// The key, with its team and the one that it moves to locked: until the change
/// is made nobody joins or leaves them, or gains or loses rights over them.
async fn held(tx: &mut Tx, hash: &KeyHash, to: &Patch<TeamId>) -> Result<Key, Error> {
    let key = tx.view().find_key(hash).await?.ok_or_else(|| rules::not_found(hash))?;
    let mut teams: Vec<TeamId> = key.team_id.iter().cloned().collect();
    if let Patch::Set(to) = to {
        teams.push(to.clone());
    }
    tx.lock_teams(&teams).await?;
    Ok(key)
}

fn parse(request: &pb::UpdateKeyRequest) -> Result<Command, Error> {
    let mut faults = Faults::default();
    let no_key = pb::Key::default();
    let sent = request.key.as_ref().unwrap_or(&no_key);
    let hash = key_ref::required("key.key_hash", &sent.key_hash, &mut faults);
    let mask = Mask::new(request.update_mask.as_ref(), &FIELDS, &mut faults);
    let new = new_key::take(sent, ("duration", request.duration.as_ref()), "key.", &mut faults);
    let lifetime = new.duration.filter(|lifetime| *lifetime != Lifetime::Forever);
    let forever = new.duration == Some(Lifetime::Forever);
    let patch = KeyPatch {
        alias: mask.field("key_alias", new.key_alias.clone()),
        key_type: mask.field("key_type", (sent.key_type != 0).then_some(new.key_type)),
        user_id: mask.field("user_id", new.user_id.clone()),
        team_id: mask.field("team_id", new.team_id.clone()),
        service_account_id: mask.field("service_account_id", new.service_account_id.clone()),
        models: mask.list("models", new.models.clone(), sent.models.is_empty()),
        model_aliases: mask.list("model_aliases", new.model_aliases.clone(), sent.model_aliases.is_empty()),
        max: mask.field("max_budget", new.max_budget),
        soft: mask.field("soft_budget", new.soft_budget),
        budget_duration: mask.field("budget_duration", new.budget_duration),
        tpm: mask.field("tpm_limit", sent.tpm_limit),
        rpm: mask.field("rpm_limit", sent.rpm_limit),
        parallel: mask.field("max_parallel_requests", sent.max_parallel_requests),
        routes: mask.list("allowed_routes", sent.allowed_routes.clone(), sent.allowed_routes.is_empty()),
        tags: mask.list("tags", new.tags.clone(), sent.tags.is_empty()),
        metadata: MetadataPatch::take("key.metadata", &mask, sent.metadata.as_ref(), &mut Faults::default()),
        blocked: mask.field("blocked", sent.blocked),
        spend: mask.field("spend", faults.money("key.spend", sent.spend.as_ref())),
        // "-1" and a named, absent duration both mean for ever.
        lifetime: if forever { Patch::Clear } else { mask.field("duration", lifetime) },
        new,
    };
    if patch.key_type == Patch::Clear {
        faults.add("key.key_type", "can't be cleared");
    }
    faults.finish()?;
    Ok(Command {
        hash: hash.ok_or_else(|| Error::internal("a key reference vanished"))?,
        etag: sent.etag.clone(),
        patch,
        sends_both_budgets: sent.max_budget.is_some() && sent.soft_budget.is_some(),
    })
}

/// The key with what the request writes and clears, within the configured
/// bounds; and what the bounds changed.
fn apply(ctx: &Ctx, before: &Key, mut patch: KeyPatch) -> Result<(Key, Vec<Adjusted>), Error> {
    let adjusted = bound(ctx, &mut patch)?;
    let mut after = before.clone();
    patch.alias.apply(&mut after.key_alias);
    patch.key_type.apply_or_default(&mut after.key_type);
    patch.user_id.apply(&mut after.user_id);
    patch.team_id.apply(&mut after.team_id);
    patch.service_account_id.apply(&mut after.service_account_id);
    patch.models.apply_or_default(&mut after.models);
    patch.model_aliases.apply_or_default(&mut after.model_aliases);
    patch.max.apply(&mut after.budget.max);
    patch.soft.apply(&mut after.budget.soft);
    after.budget.set_duration(patch.budget_duration, &ctx.app.rules.calendar, ctx.now);
    patch.tpm.apply(&mut after.rates.tpm);
    patch.rpm.apply(&mut after.rates.rpm);
    patch.parallel.apply(&mut after.rates.parallel);
    patch.routes.apply_or_default(&mut after.allowed_routes);
    patch.tags.apply_or_default(&mut after.tags);
    patch.blocked.apply_or_default(&mut after.blocked);
    match patch.lifetime {
        Patch::Keep => {}
        Patch::Clear => after.expires_at = None,
        Patch::Set(lifetime) => after.expires_at = lifetime.expiry(ctx.now),
    }
    if !patch.metadata.apply(&mut after.metadata) {
        return Err(Error::invalid(Violation::new("key.metadata", "must have at most 65536 bytes as JSON")));
    }
    if after.service_account_id != before.service_account_id {
        let rule = "can't be changed: it names the service account for ever";
        return Err(Error::invalid(Violation::named(
            "key.service_account_id",
            Reason::ServiceAccountIdImmutable,
            rule,
        )));
    }
    if after.key_type != before.key_type && [before.key_type, after.key_type].contains(&KeyType::Gateway) {
        return Err(Error::invalid(Violation::new(
            "key.key_type",
            "a gateway key stays one, and others do not become one",
        )));
    }
    Ok((after, adjusted))
}

/// Bounds apply to the fields that are written; what is cleared is written,
/// too, and gets the bound.
fn bound(ctx: &Ctx, patch: &mut KeyPatch) -> Result<Vec<Adjusted>, Error> {
    let mut new = patch.new.clone();
    let asked = Bounded {
        max_budget: (!patch.max.is_keep()).then_some(&mut new.max_budget),
        budget_duration: (!patch.budget_duration.is_keep()).then_some(&mut new.budget_duration),
        duration: (!patch.lifetime.is_keep()).then_some(&mut new.duration),
        tpm: (!patch.tpm.is_keep()).then_some(&mut new.rates.tpm),
        rpm: (!patch.rpm.is_keep()).then_some(&mut new.rates.rpm),
        parallel: (!patch.parallel.is_keep()).then_some(&mut new.rates.parallel),
    };
    let adjusted = ctx.app.rules.key_bounds.apply(asked).map_err(Error::Invalid)?;
    patch.max.bound_to(new.max_budget);
    patch.budget_duration.bound_to(new.budget_duration);
    if let Some(Lifetime::For(length)) = new.duration {
        patch.lifetime.bound_to(Some(Lifetime::For(length)));
    }
    patch.tpm.bound_to(new.rates.tpm);
    patch.rpm.bound_to(new.rates.rpm);
    patch.parallel.bound_to(new.rates.parallel);
    Ok(adjusted)
}

/// May the caller change what it changes? Writing the same value again is no
/// change.
fn check_rights(ctx: &Ctx, standing: &KeyStanding, before: &Key, after: &Key, spend: &Patch<Usd>) -> Result<(), Error> {
    let is_narrow = ctx.caller.key().is_some_and(|key| !key.allowed_routes.is_empty());
    if is_narrow && after.allowed_routes != before.allowed_routes {
        // A key that may call some RPCs only widens no other, and not itself.
        return Err(rules::field_refused("allowed_routes").into());
    }
    if *standing == KeyStanding::ProxyAdmin {
        return Ok(());
    }
    if !spend.is_keep() {
        return Err(rules::field_refused("spend").into());
    }
    let Some(change) = Change::updated(ObjectType::Key, before.key_id, before, after) else { return Ok(()) };
    for field in change.fields() {
        if !may_write(ctx, standing, before, after, field) {
            return Err(rules::field_refused(field).into());
        }
    }
    Ok(())
}

fn may_write(ctx: &Ctx, standing: &KeyStanding, before: &Key, after: &Key, field: &str) -> bool {
    if field == "blocked" {
        let permission = if after.blocked { MemberPermission::KeyBlock } else { MemberPermission::KeyUnblock };
        return standing.may_as_member(permission);
    }
    if ADMIN_FIELDS.contains(&field) {
        return false;
    }
    match standing {
        // A key that leaves its teams becomes personal: for proxy admins only. One
        // whose secret others may know lends them no rights of a new owner.
        KeyStanding::TeamAdmin => match field {
            "team_id" => after.team_id.is_some(),
            "user_id" => after.user_id.is_none() || after.key_type == KeyType::LlmApi,
            _ => true,
        },
        KeyStanding::Owner(_) if ["user_id", "team_id"].contains(&field) => false,
        KeyStanding::Owner(_) if BUDGET_FIELDS.contains(&field) => owner_may_write_budget(ctx, before, after),
        KeyStanding::ProxyAdmin | KeyStanding::Owner(_) => true,
        KeyStanding::TeamMember(_) => {
            let placed = ["user_id", "team_id"].contains(&field) || BUDGET_FIELDS.contains(&field);
            !placed && standing.may_as_member(MemberPermission::KeyUpdate)
        }
        KeyStanding::Viewer | KeyStanding::Outsider => false,
    }
}

/// What an owner may do to the budget of a key that it made itself: setting
/// `self_serve_budget_policy`.
fn owner_may_write_budget(ctx: &Ctx, before: &Key, after: &Key) -> bool {
    let made_it = ctx.caller.user_id().is_some_and(|user| user.as_str() == before.created_by);
    let same_windows = before.budget.duration == after.budget.duration;
    let raised = is_raised(before.budget.max.as_ref(), after.budget.max.as_ref());
    made_it
        && match ctx.app.rules.self_serve_budgets {
            SelfServeBudgets::Disabled => false,
            SelfServeBudgets::LowerOnly => !raised && same_windows,
            SelfServeBudgets::Ceiling => {
                let ceiling = rules::ceiling(ctx);
                same_windows && !is_raised(ceiling.as_ref(), after.budget.max.as_ref())
            }
        }
}

/// The rules about the key's owner and team, after the change.
async fn check_places(
    ctx: &Ctx,
    view: View<'_>,
    standing: &KeyStanding,
    before: &Key,
    after: &Key,
) -> Result<(), Error> {
    let is_admin = *standing == KeyStanding::ProxyAdmin;
    if after.service_account_id.is_some() && after.user_id.is_some() {
        return Err(Error::invalid(Violation::new("key.user_id", "must be absent: a service account has no owner")));
    }
    let team = match &after.team_id {
        // Who moves a key manages both teams.
        Some(id) if after.team_id != before.team_id => Some(managed_team(ctx, view, id).await?.0),
        Some(id) => view.find_team(id).await?,
        None => None,
    };
    if let Some(owner) = &after.user_id
        && (after.user_id != before.user_id || after.team_id != before.team_id)
    {
        rules::owner(view, owner).await?;
        if let Some(team) = &team {
            rules::check_membership(view, &team.team_id, owner).await?;
        }
    }
    let moved = after.team_id != before.team_id;
    if let Some(team) = &team {
        if moved || (!is_admin && after.models != before.models) {
            rules::check_models(&after.models, &team.models, "team")?;
        }
        if moved {
            check_limits(after, team, is_admin)?;
        } else if *standing == KeyStanding::TeamAdmin && after.budget.max != before.budget.max {
            check_limit("max_budget", after.budget.max, team.budget.max)?;
        }
    } else if !is_admin && after.models != before.models {
        let owner = after.user_id.as_ref();
        if let Some(owner) = owner {
            rules::check_models(&after.models, &rules::owner(view, owner).await?.models, "user")?;
        }
    }
    Ok(())
}

/// A key that moves to a team must fit into it.
fn check_limits(key: &Key, team: &Team, is_admin: bool) -> Result<(), Refusal> {
    check_limit("tpm_limit", key.rates.tpm, team.rates.tpm)?;
    check_limit("rpm_limit", key.rates.rpm, team.rates.rpm)?;
    if is_admin { Ok(()) } else { check_limit("max_budget", key.budget.max, team.budget.max) }
}

fn check_limit<T: PartialOrd + ToString>(field: &str, asked: Option<T>, limit: Option<T>) -> Result<(), Refusal> {
    match (asked, limit) {
        (Some(asked), Some(limit)) if asked > limit => {
            let (asked, limit) = (asked.to_string(), limit.to_string());
            let message = format!("{field} {asked} is larger than the team's, {limit}");
            let refusal = Refusal::precondition(Reason::LimitAboveTeam, message);
            Err(refusal.with("field", field).with("requested", asked).with("limit", limit))
        }
        _ => Ok(()),
    }
}

async fn save(ctx: &Ctx, tx: &mut Tx, before: &Key, after: &mut Key, spend: Patch<Usd>) -> Result<(), Error> {
    let alias = after.key_alias.clone();
    tx.update_key(before, after).await.map_err(|error| match error {
        StoreError::Stale => Error::from(Refusal::stale("key", before.key_hash)),
        error => taken::explain(error, |constraint| alias.clone().filter(|_| constraint == Constraint::KeyAlias)),
    })?;
    keep_window(ctx, tx, &Owner::Key(before.key_id), &before.budget, &after.budget).await?;
    if let Patch::Set(spend) = spend {
        set_spend(ctx, tx, &Owner::Key(before.key_id), &after.budget, spend).await?;
    }
    Ok(())
}
