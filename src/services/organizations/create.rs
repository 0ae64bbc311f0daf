//! `CreateOrganization`: an organization with its first members, all or
//! nothing.

use crate::domain::ids::OrganizationId;
use crate::domain::money::Usd;
use crate::domain::organization::Organization;
use crate::domain::reason::Reason;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::answer::{Answer, Slot, once};
use crate::services::wire::correction::{Owner, begin_at_zero, begin_with};
use crate::services::wire::faults::Faults;
use crate::services::wire::people::MayMake;
use crate::services::wire::{organization, taken, text};
use crate::store::{Constraint, Spend, StoredOrganization};

use super::fields::{self, Asked};
use super::members::add::join;

/// A valid request.
struct Command {
    organization: Organization,
    members: Vec<Asked>,
    spend: Option<Usd>,
}

/// Makes an organization.
pub(super) async fn create_organization(
    ctx: Ctx,
    request: pb::CreateOrganizationRequest,
) -> Result<pb::CreateOrganizationResponse, Error> {
    let command = parse(&ctx, &request)?;
    once(&ctx, &request.request_id, &request, |slot| create(&ctx, command, slot)).await
}

fn parse(ctx: &Ctx, request: &pb::CreateOrganizationRequest) -> Result<Command, Error> {
    let mut faults = Faults::default();
    let nothing = pb::Organization::default();
    let sent = request.organization.as_ref().unwrap_or(&nothing);
    text::request_id("request_id", &request.request_id, &mut faults);
    let id = match sent.organization_id.as_str() {
        "" => Some(OrganizationId::generate()),
        id => faults.take("organization.organization_id", OrganizationId::parse(id)),
    };
    if sent.organization_alias.trim().is_empty() {
        faults.add("organization.organization_alias", "is required and must not be blank");
    }
    let command = Command {
        organization: fields::take(sent, id.unwrap_or_else(OrganizationId::generate), ctx.now, &mut faults),
        members: fields::take_members("organization.members", &sent.members, &mut faults),
        spend: faults.money("organization.spend", sent.spend.as_ref()),
    };
    faults.finish()?;
    Ok(command)
}

async fn create(ctx: &Ctx, command: Command, slot: Slot) -> Result<pb::CreateOrganizationResponse, Error> {
    let Command { organization: made, members, spend } = command;
    let id = &made.organization_id;
    let mut tx = ctx.begin().await?;
    tx.insert_organization(&made).await.map_err(|error| {
        taken::explain(error, |constraint| (constraint == Constraint::OrganizationId).then(|| id.to_string()))
    })?;
    begin_at_zero(&mut tx, &[Owner::Organization(id)]).await?;
    let mut shown = Vec::with_capacity(members.len());
    for (index, asked) in members.iter().enumerate() {
        let path = format!("organization.members[{index}]");
        let result = join(ctx, &mut tx, &made, asked, &path, &MayMake::Any).await?;
        if result.already_member {
            let mut faults = Faults::default();
            faults.add_named(path, Reason::DuplicateMember, "is named twice, once by id and once by e-mail address");
            faults.finish()?;
        }
        shown.extend(result.member);
    }
    if let Some(spend) = spend {
        begin_with(ctx, &mut tx, &Owner::Organization(id), &made.budget, spend).await?;
    }
    let spent = spend.unwrap_or_default();
    let stored = StoredOrganization {
        spend: Spend { window: spent, lifetime: spent, ..Spend::default() },
        member_count: i64::try_from(shown.len()).unwrap_or(i64::MAX),
        team_count: 0,
        key_count: 0,
        organization: made,
    };
    let wire = organization::to_wire(&stored, &ctx.app.rules.calendar, ctx.now);
    let answer = pb::CreateOrganizationResponse { organization: Some(pb::Organization { members: shown, ..wire }) };
    slot.keep(ctx, &mut tx, &answer).await?;
    ctx.commit(tx).await?;
    Ok(answer)
}

impl Answer for pb::CreateOrganizationResponse {}
