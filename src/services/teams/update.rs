//! `UpdateTeam`: changes of a team, by proxy admins or its own.

use crate::domain::audit::{Change, ObjectType};
use crate::domain::fault::{Refusal, Violation};
use crate::domain::ids::{OrganizationId, TeamId};
use crate::domain::money::Usd;
use crate::domain::organization::{Organization, check_move, check_team};
use crate::domain::patch::Patch;
use crate::domain::reason::Reason;
use crate::domain::team::{Team, check_admin_change, set_member_duration};
use crate::domain::throughput::{Pool, Share};
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::access::{TeamStanding, managed_organization, managed_team};
use crate::services::wire::correction::{Owner, keep_window, set_spend};
use crate::services::wire::faults::Faults;
use crate::services::wire::hold::hold_team;
use crate::services::wire::mask::Mask;
use crate::services::wire::metadata::MetadataPatch;
use crate::services::wire::{etag, people, text};
use crate::store::{Sharers, StoreError, Tx, View};

use super::membership::outside_of;
use super::{fields, get};

/// The fields that a mask may name.
const FIELDS: [&str; 27] = [
    "team_alias",
    "organization_id",
    "models",
    "model_aliases",
    "max_budget",
    "soft_budget",
    "budget_duration",
    "tpm_limit",
    "rpm_limit",
    "max_parallel_requests",
    "tpd_limit",
    "tpm_limit_type",
    "rpm_limit_type",
    "model_tpm_limit",
    "model_rpm_limit",
    "team_member_budget",
    "team_member_budget_duration",
    "team_member_rpm_limit",
    "team_member_tpm_limit",
    "team_member_key_duration",
    "member_permissions",
    "tags",
    "metadata",
    "metadata.*",
    "blocked",
    "spend",
    "idp_managed_by",
];

/// Changes a team.
pub(super) async fn update_team(ctx: Ctx, request: pb::UpdateTeamRequest) -> Result<pb::UpdateTeamResponse, Error> {
    let mut faults = Faults::default();
    let no_team = pb::Team::default();
    let sent = request.team.as_ref().unwrap_or(&no_team);
    let id = text::required_id("team.team_id", &sent.team_id, TeamId::parse, &mut faults);
    let mask = Mask::new(request.update_mask.as_ref(), &FIELDS, &mut faults);
    let wanted = fields::take(sent, TeamId::stored(sent.team_id.as_str()), ctx.now, &mut faults);
    let spend = mask.field("spend", faults.money("team.spend", sent.spend.as_ref()));
    let metadata = MetadataPatch::take("team.metadata", &mask, sent.metadata.as_ref(), &mut Faults::default());
    faults.finish()?;
    let id = id.ok_or_else(|| Error::internal("a team id vanished"))?;

    let mut tx = ctx.begin().await?;
    hold_team(&mut tx, &id, wanted.organization_id.as_ref()).await?;
    let (before, standing) = managed_team(&ctx, tx.view(), &id).await?;
    let mut after = apply(&ctx, &before, wanted, sent, &mask, &standing);
    if !metadata.apply(&mut after.metadata) {
        return Err(Error::invalid(Violation::new("team.metadata", "must have at most 65536 bytes as JSON")));
    }
    check_rights(&ctx, tx.view(), &before, &after, &spend, &standing).await?;
    etag::check(&sent.etag, before.version, "team", &id)?;
    after.budget.check_updated()?;
    if after.rates != before.rates || after.model_rates != before.model_rates {
        Pool::to_keys(&after).check_shrink(&tx.view().shares_of_keys(Sharers::KeysOfTeam(&id), None).await?)?;
    }
    place(&ctx, &mut tx, &before, &after, request.add_members_to_organization).await?;
    tx.update_team(&before, &mut after).await.map_err(|error| match error {
        StoreError::Stale => Error::from(Refusal::stale("team", &id)),
        error => error.into(),
    })?;
    keep_window(&ctx, &mut tx, &Owner::Team(&id), &before.budget, &after.budget).await?;
    if let Patch::Set(spend) = spend {
        set_spend(&ctx, &mut tx, &Owner::Team(&id), &after.budget, spend).await?;
    }
    ctx.commit(tx).await?;
    Ok(pb::UpdateTeamResponse { team: Some(get::stored_team(&ctx, &id).await?) })
}

/// The team with what the mask writes and clears; `wanted` has the values of
/// the request.
fn apply(ctx: &Ctx, before: &Team, wanted: Team, sent: &pb::Team, mask: &Mask<'_>, standing: &TeamStanding) -> Team {
    let calendar = &ctx.app.rules.calendar;
    let mut after = before.clone();
    mask.field("team_alias", wanted.team_alias).apply(&mut after.team_alias);
    mask.list("models", wanted.models, sent.models.is_empty()).apply_or_default(&mut after.models);
    let aliases = mask.list("model_aliases", wanted.model_aliases, sent.model_aliases.is_empty());
    aliases.apply_or_default(&mut after.model_aliases);
    mask.field("max_budget", wanted.budget.max).apply(&mut after.budget.max);
    mask.field("soft_budget", wanted.budget.soft).apply(&mut after.budget.soft);
    after.budget.set_duration(mask.field("budget_duration", wanted.budget.duration), calendar, ctx.now);
    mask.field("tpm_limit", wanted.rates.tpm).apply(&mut after.rates.tpm);
    mask.field("rpm_limit", wanted.rates.rpm).apply(&mut after.rates.rpm);
    mask.field("max_parallel_requests", wanted.rates.parallel).apply(&mut after.rates.parallel);
    mask.field("tpd_limit", wanted.rates.tpd).apply(&mut after.rates.tpd);
    mask.field("organization_id", wanted.organization_id).apply(&mut after.organization_id);
    mask.field("tpm_limit_type", wanted.throughput.tpm_limit_type).apply(&mut after.throughput.tpm_limit_type);
    mask.field("rpm_limit_type", wanted.throughput.rpm_limit_type).apply(&mut after.throughput.rpm_limit_type);
    let tpm = mask.list("model_tpm_limit", wanted.model_rates.tpm, sent.model_tpm_limit.is_empty());
    tpm.apply_or_default(&mut after.model_rates.tpm);
    let rpm = mask.list("model_rpm_limit", wanted.model_rates.rpm, sent.model_rpm_limit.is_empty());
    rpm.apply_or_default(&mut after.model_rates.rpm);
    mask.field("team_member_budget", wanted.member_defaults.max).apply(&mut after.member_defaults.max);
    let duration = mask.field("team_member_budget_duration", wanted.member_defaults.duration);
    set_member_duration(&mut after.member_defaults, duration, calendar, ctx.now);
    mask.field("team_member_rpm_limit", wanted.member_defaults.rpm).apply(&mut after.member_defaults.rpm);
    mask.field("team_member_tpm_limit", wanted.member_defaults.tpm).apply(&mut after.member_defaults.tpm);
    let key_duration = mask.field("team_member_key_duration", wanted.team_member_key_duration);
    key_duration.apply(&mut after.team_member_key_duration);
    match mask.field("member_permissions", wanted.member_permissions) {
        Patch::Keep => {}
        // Written as empty: members may do nothing.
        Patch::Clear => after.member_permissions = Some(std::collections::BTreeSet::new()),
        Patch::Set(permissions) => after.member_permissions = Some(permissions),
    }
    mask.list("tags", wanted.tags, sent.tags.is_empty()).apply_or_default(&mut after.tags);
    mask.field("idp_managed_by", wanted.idp_managed_by).apply(&mut after.idp_managed_by);
    let blocked = mask.field("blocked", sent.blocked);
    if !blocked.is_keep() {
        blocked.apply_or_default(&mut after.blocked);
        after.blocked_by_admin = after.blocked && standing.is_above();
    }
    after
}

async fn check_rights(
    ctx: &Ctx,
    view: View<'_>,
    before: &Team,
    after: &Team,
    spend: &Patch<Usd>,
    standing: &TeamStanding,
) -> Result<(), Error> {
    if *standing == TeamStanding::ProxyAdmin {
        return Ok(());
    }
    if !spend.is_keep() {
        let message = "only a proxy admin may set spend";
        return Err(Refusal::denied(Reason::FieldNotAllowed, message).with("field", "spend").into());
    }
    if before.organization_id != after.organization_id {
        check_move_rights(ctx, view, after.organization_id.as_ref()).await?;
    }
    // The rights of a team's own admin are over what its organization does not
    // say; who moves it answers for that.
    let stays = Team { organization_id: before.organization_id.clone(), ..after.clone() };
    match Change::updated(ObjectType::Team, &before.team_id, before, &stays) {
        Some(change) if *standing == TeamStanding::Admin => Ok(check_admin_change(before, &stays, &change)?),
        _ => Ok(()),
    }
}

/// Who manages a team moves it to organizations that it administers. Out of
/// one, where its limits would no longer bind, only a proxy admin takes it.
async fn check_move_rights(ctx: &Ctx, view: View<'_>, to: Option<&OrganizationId>) -> Result<(), Error> {
    let Some(to) = to else {
        let message = "only a proxy admin takes a team out of its organization";
        return Err(Refusal::denied(Reason::FieldNotAllowed, message).with("field", "organization_id").into());
    };
    managed_organization(ctx, view, to).await.map(drop)
}

/// Checks the team against the organization that it is in after the change.
/// Leaving one needs no check.
async fn place(ctx: &Ctx, tx: &mut Tx, before: &Team, after: &Team, adds_members: bool) -> Result<(), Error> {
    let Some(id) = &after.organization_id else { return Ok(()) };
    let organization = organization_of(tx, id).await?;
    if before.organization_id.as_ref() != Some(id) {
        check_move(&organization, after, &ctx.app.gate.prices())?;
        let outside = tx.view().team_members_outside(&after.team_id, id).await?;
        if !outside.is_empty() && !adds_members {
            return Err(outside_of(Reason::MoveMembers, id, &outside).into());
        }
        for user in &outside {
            people::enter_organization(ctx, tx, id, user).await?;
        }
        let mut keys = tx.view().shares_of_keys(Sharers::KeysOfOrganization(id), None).await?;
        keys.extend(tx.view().shares_of_keys(Sharers::KeysOfTeam(&after.team_id), None).await?);
        Pool::to_keys_of_teams(&organization).check_shrink(&keys)?;
    } else if !takes_of_organization(before, after) {
        return Ok(());
    }
    check_team(&organization, after, &ctx.app.gate.prices())?;
    let others = tx.view().shares(id, Some(&after.team_id)).await?;
    Ok(Pool::to_teams(&organization).check(&Share::from(after), &others)?)
}

/// Whether a change touches what an organization limits.
fn takes_of_organization(before: &Team, after: &Team) -> bool {
    let taken = |team: &Team| (team.models.clone(), team.budget.max, Share::from(team));
    taken(before) != taken(after)
}

/// The organization of a team, locked: whoever takes of its limits does so one
/// after another.
///
/// # Errors
/// `NOT_FOUND` if it does not exist.
pub(super) async fn organization_of(tx: &mut Tx, id: &OrganizationId) -> Result<Organization, Error> {
    let found = tx.lock_organizations(std::slice::from_ref(id)).await?;
    let not_found = || Refusal::not_found(Reason::OrganizationNotFound, "organization", [id]);
    Ok(found.into_iter().next().ok_or_else(not_found)?)
}
