//! `UpdateOrganization`: changes by proxy admins, or of labels by its own.

use crate::domain::audit::{Change, ObjectType};
use crate::domain::fault::{Refusal, Violation};
use crate::domain::ids::OrganizationId;
use crate::domain::money::Usd;
use crate::domain::organization::{Organization, check_admin_change, check_team};
use crate::domain::patch::Patch;
use crate::domain::reason::Reason;
use crate::domain::throughput::Pool;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::access::{OrganizationStanding, managed_organization};
use crate::services::wire::correction::{Owner, keep_window, set_spend};
use crate::services::wire::faults::Faults;
use crate::services::wire::mask::Mask;
use crate::services::wire::metadata::MetadataPatch;
use crate::services::wire::{etag, text};
use crate::store::{Sharers, StoreError, Tx};

use super::{fields, get};

/// The fields that a mask may name.
const FIELDS: [&str; 14] = [
    "organization_alias",
    "models",
    "max_budget",
    "soft_budget",
    "budget_duration",
    "tpm_limit",
    "rpm_limit",
    "max_parallel_requests",
    "model_tpm_limit",
    "model_rpm_limit",
    "metadata",
    "metadata.*",
    "blocked",
    "spend",
];

/// How many teams are looked at, and told, that have more than the organization.
const WARNINGS_MAX: usize = 100;

/// How many teams are read at a time.
const PAGE: u64 = 500;

/// A valid request.
struct Command<'a> {
    sent: &'a pb::Organization,
    wanted: Organization,
    mask: Mask<'a>,
    metadata: MetadataPatch,
    spend: Patch<Usd>,
}

/// Changes an organization.
pub(super) async fn update_organization(
    ctx: Ctx,
    request: pb::UpdateOrganizationRequest,
) -> Result<pb::UpdateOrganizationResponse, Error> {
    let nothing = pb::Organization::default();
    let sent = request.organization.as_ref().unwrap_or(&nothing);
    let command = parse(&ctx, sent, request.update_mask.as_ref())?;
    let id = command.wanted.organization_id.clone();
    managed_organization(&ctx, ctx.app.store.view(), &id).await?;
    let mut tx = ctx.begin().await?;
    // Whoever gives a team of the organization more locks the same row.
    tx.lock_organizations(std::slice::from_ref(&id)).await?;
    let (before, standing) = managed_organization(&ctx, tx.view(), &id).await?;
    let after = change(&ctx, &mut tx, before, standing, command).await?;
    let warning_team_ids = warnings(&ctx, &tx, &after).await?;
    ctx.commit(tx).await?;
    Ok(pb::UpdateOrganizationResponse { organization: Some(get::shown(&ctx, &id, standing).await?), warning_team_ids })
}

fn parse<'a>(
    ctx: &Ctx,
    sent: &'a pb::Organization,
    mask: Option<&'a prost_types::FieldMask>,
) -> Result<Command<'a>, Error> {
    let mut faults = Faults::default();
    let id =
        text::required_id("organization.organization_id", &sent.organization_id, OrganizationId::parse, &mut faults);
    let mask = Mask::new(mask, &FIELDS, &mut faults);
    let alias = mask.list("organization_alias", (), sent.organization_alias.trim().is_empty());
    if alias == Patch::Clear || (sent.organization_alias.trim().is_empty() && !sent.organization_alias.is_empty()) {
        faults.add("organization.organization_alias", "can't be cleared, and must not be blank");
    }
    let spend = mask.field("spend", faults.money("organization.spend", sent.spend.as_ref()));
    let metadata = MetadataPatch::take("organization.metadata", &mask, sent.metadata.as_ref(), &mut Faults::default());
    let stored_id = OrganizationId::stored(sent.organization_id.as_str());
    let wanted = fields::take(sent, id.unwrap_or(stored_id), ctx.now, &mut faults);
    faults.finish()?;
    Ok(Command { sent, wanted, mask, metadata, spend })
}

async fn change(
    ctx: &Ctx,
    tx: &mut Tx,
    before: Organization,
    standing: OrganizationStanding,
    command: Command<'_>,
) -> Result<Organization, Error> {
    let Command { sent, wanted, mask, metadata, spend } = command;
    let id = &before.organization_id;
    let mut after = apply(ctx, &before, wanted, sent, &mask);
    if !metadata.apply(&mut after.metadata) {
        return Err(Error::invalid(Violation::new("organization.metadata", "must have at most 65536 bytes as JSON")));
    }
    check_rights(&before, &after, &spend, standing)?;
    etag::check(&sent.etag, before.version, "organization", id)?;
    after.budget.check_updated()?;
    if after.rates != before.rates || after.model_rates != before.model_rates {
        Pool::to_teams(&after).check_shrink(&tx.view().shares(id, None).await?)?;
        Pool::to_keys_of_teams(&after)
            .check_shrink(&tx.view().shares_of_keys(Sharers::KeysOfOrganization(id), None).await?)?;
    }
    tx.update_organization(&before, &mut after).await.map_err(|error| match error {
        StoreError::Stale => Error::from(Refusal::stale("organization", id)),
        error => error.into(),
    })?;
    keep_window(ctx, tx, &Owner::Organization(id), &before.budget, &after.budget).await?;
    if let Patch::Set(spend) = spend {
        set_spend(ctx, tx, &Owner::Organization(id), &after.budget, spend).await?;
    }
    Ok(after)
}

fn apply(
    ctx: &Ctx,
    before: &Organization,
    wanted: Organization,
    sent: &pb::Organization,
    mask: &Mask<'_>,
) -> Organization {
    let mut after = before.clone();
    if let Patch::Set(alias) =
        mask.list("organization_alias", wanted.organization_alias, sent.organization_alias.is_empty())
    {
        after.organization_alias = alias;
    }
    mask.list("models", wanted.models, sent.models.is_empty()).apply_or_default(&mut after.models);
    mask.field("max_budget", wanted.budget.max).apply(&mut after.budget.max);
    mask.field("soft_budget", wanted.budget.soft).apply(&mut after.budget.soft);
    let duration = mask.field("budget_duration", wanted.budget.duration);
    after.budget.set_duration(duration, &ctx.app.rules.calendar, ctx.now);
    mask.field("tpm_limit", wanted.rates.tpm).apply(&mut after.rates.tpm);
    mask.field("rpm_limit", wanted.rates.rpm).apply(&mut after.rates.rpm);
    mask.field("max_parallel_requests", wanted.rates.parallel).apply(&mut after.rates.parallel);
    let tpm = mask.list("model_tpm_limit", wanted.model_rates.tpm, sent.model_tpm_limit.is_empty());
    tpm.apply_or_default(&mut after.model_rates.tpm);
    let rpm = mask.list("model_rpm_limit", wanted.model_rates.rpm, sent.model_rpm_limit.is_empty());
    rpm.apply_or_default(&mut after.model_rates.rpm);
    mask.field("blocked", sent.blocked).apply_or_default(&mut after.blocked);
    after
}

fn check_rights(
    before: &Organization,
    after: &Organization,
    spend: &Patch<Usd>,
    standing: OrganizationStanding,
) -> Result<(), Refusal> {
    if standing == OrganizationStanding::ProxyAdmin {
        return Ok(());
    }
    if !spend.is_keep() {
        let message = "only a proxy admin may set spend";
        return Err(Refusal::denied(Reason::FieldNotAllowed, message).with("field", "spend"));
    }
    match Change::updated(ObjectType::Organization, &before.organization_id, before, after) {
        None => Ok(()),
        Some(change) => check_admin_change(&change),
    }
}

/// The teams that have more than the organization now.
async fn warnings(ctx: &Ctx, tx: &Tx, organization: &Organization) -> Result<Vec<String>, Error> {
    let book = ctx.app.gate.prices();
    let mut told = Vec::new();
    let mut last = None;
    loop {
        let teams = tx.view().teams_after(&organization.organization_id, last.as_ref(), PAGE).await?;
        let Some(end) = teams.last() else { return Ok(told) };
        last = Some(end.team_id.clone());
        let above = teams.iter().filter(|team| check_team(organization, team, &book).is_err());
        told.extend(above.map(|team| team.team_id.to_string()).take(WARNINGS_MAX - told.len()));
        if told.len() == WARNINGS_MAX {
            return Ok(told);
        }
    }
}
