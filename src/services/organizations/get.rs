//! `GetOrganization`: an organization with its members and teams.

use std::collections::HashMap;

use crate::domain::account::AccountId;
use crate::domain::fault::Refusal;
use crate::domain::ids::{OrganizationId, UserId};
use crate::domain::money::Usd;
use crate::domain::organization::{Organization, OrganizationMember};
use crate::domain::reason::Reason;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::access::{OrganizationStanding, visible_organization};
use crate::services::wire::faults::Faults;
use crate::services::wire::page::{self, List, token};
use crate::services::wire::{organization, team, text};
use crate::store::{Cursor, CursorKey, Order, Page, PageRequest, StoredTeam, TeamFilter, sortable};

/// How many members and teams are shown with an organization.
const SHOWN: usize = 100;

/// The order in which its teams are shown, and listed further.
const TEAMS_ORDER: &str = "team_alias";

/// Reads an organization.
pub(super) async fn get_organization(
    ctx: Ctx,
    request: pb::GetOrganizationRequest,
) -> Result<pb::GetOrganizationResponse, Error> {
    let mut faults = Faults::default();
    let id = text::required_id("organization_id", &request.organization_id, OrganizationId::parse, &mut faults);
    let view = pb::OrganizationView::try_from(request.view);
    if view.is_err() {
        faults.add("view", format!("has no value {}", request.view));
    }
    let filters = pb::GetOrganizationRequest { members_page_token: String::new(), ..request.clone() };
    let members_list = List::new(&ctx, &filters);
    let after = page::after("members_page_token", &request.members_page_token, &members_list, &mut faults);
    faults.finish()?;
    let id = id.ok_or_else(|| Error::internal("an organization id vanished"))?;
    let (found, standing) = visible_organization(&ctx, ctx.app.store.view(), &id).await?;
    let shown = shown(&ctx, &id, standing).await?;
    if view == Ok(pb::OrganizationView::Basic) {
        let organization = Some(shown);
        return Ok(pb::GetOrganizationResponse { organization, ..pb::GetOrganizationResponse::default() });
    }
    let members = members(&ctx, &found, standing, after).await?;
    let teams = teams(&ctx, &id, standing).await?;
    let teams_list = List::of_rpc(
        &ctx,
        "bursar.v1.TeamService/ListTeams",
        &pb::ListTeamsRequest {
            organization_id: id.to_string(),
            order_by: TEAMS_ORDER.to_owned(),
            ..pb::ListTeamsRequest::default()
        },
    );
    let calendar = &ctx.app.rules.calendar;
    Ok(pb::GetOrganizationResponse {
        organization: Some(pb::Organization { members: members.items, ..shown }),
        teams: teams.items.iter().map(|stored| team::to_wire(stored, calendar, ctx.now)).collect(),
        members_next_page_token: token(&members_list, members.next),
        teams_next_page_token: token(&teams_list, teams.next),
    })
}

/// An organization as it is stored now, as far as the caller may see it,
/// without its members.
pub(super) async fn shown(
    ctx: &Ctx,
    id: &OrganizationId,
    standing: OrganizationStanding,
) -> Result<pb::Organization, Error> {
    let stored = ctx.app.store.view().find_stored_organization(id, ctx.now).await?;
    let stored = stored.ok_or_else(|| Refusal::not_found(Reason::OrganizationNotFound, "organization", [id]))?;
    Ok(if standing.sees_all() {
        organization::to_wire(&stored, &ctx.app.rules.calendar, ctx.now)
    } else {
        organization::name_to_wire(&stored)
    })
}

async fn members(
    ctx: &Ctx,
    found: &Organization,
    standing: OrganizationStanding,
    after: Option<Cursor>,
) -> Result<Page<pb::OrganizationMember>, Error> {
    let view = ctx.app.store.view();
    let id = &found.organization_id;
    let mut members = if standing.sees_all() {
        let after = after.map(|cursor| UserId::stored(cursor.id));
        view.organization_members_after(id, after.as_ref(), SHOWN as u64 + 1).await?
    } else {
        match ctx.caller.user_id() {
            Some(user) => view.find_organization_member(id, user).await?.into_iter().collect(),
            None => Vec::new(),
        }
    };
    let more = members.len() > SHOWN;
    members.truncate(SHOWN);
    let next = members.last().filter(|_| more);
    let next = next.map(|last| Cursor { key: CursorKey::Null, id: last.user_id.to_string() });
    let spent = member_spend(ctx, found, &members).await?;
    let spent = |member: &OrganizationMember| spent.get(&member.user_id).copied().unwrap_or_default();
    let items = members.iter().map(|member| organization::member_to_wire(member, spent(member))).collect();
    Ok(Page { items, next, total: None })
}

/// What members spent in the organization's current window.
pub(super) async fn member_spend(
    ctx: &Ctx,
    organization: &Organization,
    members: &[OrganizationMember],
) -> Result<HashMap<UserId, Usd>, Error> {
    let start = organization.budget.window(&ctx.app.rules.calendar, ctx.now).start;
    let account =
        |member: &OrganizationMember| AccountId::organization_member(&organization.organization_id, &member.user_id);
    let keys: Vec<_> = members.iter().map(|member| (account(member), start)).collect();
    let balances = ctx.app.store.view().balances(&keys).await?;
    let spent = members.iter().filter_map(|member| {
        let balance = balances.get(&(account(member), start))?;
        Some((member.user_id.clone(), balance.spent))
    });
    Ok(spent.collect())
}

/// Its teams; for a plain member those that it is in.
async fn teams(ctx: &Ctx, id: &OrganizationId, standing: OrganizationStanding) -> Result<Page<StoredTeam>, Error> {
    let member = if standing.sees_all() { None } else { ctx.caller.user_id().cloned() };
    let filter = TeamFilter { organization_id: Some(id.clone()), member, ..TeamFilter::default() };
    let page = PageRequest { size: SHOWN as u64, after: None, count: false };
    let key = sortable::TEAMS.iter().find(|key| key.name == TEAMS_ORDER).copied().unwrap_or(sortable::TEAMS[0]);
    let order = Order { key, descending: false };
    Ok(ctx.app.store.view().list_teams(&filter, order, &page, ctx.now).await?)
}
