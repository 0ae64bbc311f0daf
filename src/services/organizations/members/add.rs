//! `AddOrganizationMembers`: users join an organization, each with a result of
//! its own.

use crate::domain::ids::{OrganizationId, UserId};
use crate::domain::money::Usd;
use crate::domain::organization::Organization;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::access::{OrganizationStanding, managed_organization};
use crate::services::wire::answer::{Answer, Slot, once};
use crate::services::wire::correction::{Owner, begin_at_zero};
use crate::services::wire::faults::Faults;
use crate::services::wire::people::{self, MayMake};
use crate::services::wire::{organization, status, text};
use crate::store::Tx;

use super::super::fields::{self, Asked};

/// A valid request.
struct Command {
    id: OrganizationId,
    members: Vec<Asked>,
    atomic: bool,
}

/// Adds members to an organization.
pub(in crate::services::organizations) async fn add_organization_members(
    ctx: Ctx,
    request: pb::AddOrganizationMembersRequest,
) -> Result<pb::AddOrganizationMembersResponse, Error> {
    let command = parse(&request)?;
    managed_organization(&ctx, ctx.app.store.view(), &command.id).await?;
    once(&ctx, &request.request_id, &request, |slot| add(&ctx, command, slot)).await
}

fn parse(request: &pb::AddOrganizationMembersRequest) -> Result<Command, Error> {
    let mut faults = Faults::default();
    text::request_id("request_id", &request.request_id, &mut faults);
    let id = text::required_id("organization_id", &request.organization_id, OrganizationId::parse, &mut faults);
    if request.members.is_empty() {
        faults.add("members", format!("must have 1-{} entries", people::MEMBERS_MAX));
    }
    let max = faults.money("max_budget_in_organization", request.max_budget_in_organization.as_ref());
    let mut members = fields::take_members("members", &request.members, &mut faults);
    for member in &mut members {
        member.max = member.max.or(max);
    }
    faults.finish()?;
    let id = id.ok_or_else(|| Error::internal("an organization id vanished"))?;
    Ok(Command { id, members, atomic: request.atomic })
}

async fn add(ctx: &Ctx, command: Command, slot: Slot) -> Result<pb::AddOrganizationMembersResponse, Error> {
    let mut tx = ctx.begin().await?;
    // Members of one organization join one after another.
    tx.lock_organizations(std::slice::from_ref(&command.id)).await?;
    let (organization, standing) = managed_organization(ctx, tx.view(), &command.id).await?;
    let may_make = match standing {
        OrganizationStanding::ProxyAdmin => MayMake::Any,
        _ => MayMake::ByEmail(Some(command.id.clone())),
    };
    let mut answer = pb::AddOrganizationMembersResponse::default();
    for (index, asked) in command.members.iter().enumerate() {
        let result = join(ctx, &mut tx, &organization, asked, &format!("members[{index}]"), &may_make).await;
        let result = match result {
            Err(error) if command.atomic || !status::is_of_the_entry(&error) => return Err(error),
            Err(error) => failed(asked, &error),
            Ok(result) => result,
        };
        answer.added_count += i64::from(result.success);
        answer.unchanged_count += i64::from(result.already_member);
        answer.failed_count += i64::from(result.error.is_some());
        answer.results.push(result);
    }
    let stored = tx.view().find_stored_organization(&command.id, ctx.now).await?;
    answer.organization = stored.map(|stored| organization::to_wire(&stored, &ctx.app.rules.calendar, ctx.now));
    slot.keep(ctx, &mut tx, &answer).await?;
    ctx.commit(tx).await?;
    Ok(answer)
}

/// Adds one member, whose user is made if there is none. A refusal leaves
/// nothing behind.
pub(in crate::services::organizations) async fn join(
    ctx: &Ctx,
    tx: &mut Tx,
    organization: &Organization,
    asked: &Asked,
    path: &str,
    may_make: &MayMake,
) -> Result<pb::OrganizationMemberResult, Error> {
    let found = people::find(tx.view(), &asked.person, path).await?;
    // Checked before anybody is made for it.
    let (id, role) = match &found {
        Some(user) => (user.user_id.clone(), user.user_role),
        None => (UserId::stored(asked.person.name()), ctx.app.rules.users.implicit_role()),
    };
    asked.member(organization, id, ctx.now).check(organization, role)?;
    let (user, created_user) = match found {
        Some(user) => (user, false),
        None => people::make(ctx, tx, &asked.person, may_make).await?,
    };
    let mut member = asked.member(organization, user.user_id, ctx.now);
    member.user_email = user.user_email;
    let joined = tx.insert_organization_member(&member).await?;
    let id = &organization.organization_id;
    let stored = if joined {
        begin_at_zero(tx, &[Owner::OrganizationMember(id, &member.user_id)]).await?;
        member
    } else {
        tx.view().find_organization_member(id, &member.user_id).await?.unwrap_or(member)
    };
    Ok(pb::OrganizationMemberResult {
        member: Some(organization::member_to_wire(&stored, Usd::ZERO)),
        success: joined,
        already_member: !joined,
        created_user,
        error: None,
    })
}

fn failed(asked: &Asked, error: &Error) -> pb::OrganizationMemberResult {
    let member = pb::OrganizationMember {
        user_id: asked.person.user_id(),
        user_email: asked.person.user_email(),
        ..pb::OrganizationMember::default()
    };
    pb::OrganizationMemberResult {
        member: Some(member),
        error: Some(status::of(error)),
        ..pb::OrganizationMemberResult::default()
    }
}

impl Answer for pb::AddOrganizationMembersResponse {}
