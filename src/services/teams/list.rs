//! `ListTeams`: teams by filters, page by page; also deleted ones.

use crate::auth::Reach;
use crate::domain::ids::{OrganizationId, TeamId, UserId};
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::page::{self, Asked, List, newest_first};
use crate::services::wire::{access, team, text};
use crate::store::{DeletedTeamFilter, Order, PageRequest, TeamFilter, TeamScope, sortable};

/// A valid request.
struct Command {
    member: Option<UserId>,
    team_ids: Vec<TeamId>,
    organization_id: Option<OrganizationId>,
    no_organization: bool,
    alias_contains: String,
    search: String,
    blocked: Option<bool>,
    deleted: bool,
    order: Order,
    page: PageRequest,
    list: List,
}

/// Lists teams.
pub(super) async fn list_teams(ctx: Ctx, request: pb::ListTeamsRequest) -> Result<pb::ListTeamsResponse, Error> {
    let command = parse(&ctx, request)?;
    check_filters(&ctx, &command).await?;
    if command.deleted { list_deleted(&ctx, command).await } else { list_live(&ctx, command).await }
}

async fn list_live(ctx: &Ctx, command: Command) -> Result<pb::ListTeamsResponse, Error> {
    let filter = TeamFilter {
        team_ids: command.team_ids,
        organization_id: command.organization_id,
        no_organization: command.no_organization,
        member: command.member,
        not_member: None,
        alias_contains: command.alias_contains,
        search: command.search,
        blocked: command.blocked,
        visible_to: visible_to(ctx),
    };
    let found = ctx.app.store.view().list_teams(&filter, command.order, &command.page, ctx.now).await?;
    let calendar = &ctx.app.rules.calendar;
    Ok(pb::ListTeamsResponse {
        teams: found.items.iter().map(|stored| team::to_wire(stored, calendar, ctx.now)).collect(),
        next_page_token: page::token(&command.list, found.next),
        total_size: found.total,
    })
}

async fn list_deleted(ctx: &Ctx, command: Command) -> Result<pb::ListTeamsResponse, Error> {
    let admin = ctx.caller.user_id().filter(|_| !ctx.scope.is_all());
    if admin.is_some() && !ctx.scope.has(Reach::AdminOrganization) || ctx.caller.team_of_its_own().is_some() {
        let message = "only proxy admins and viewers, and organization admins, see deleted teams";
        let needed = "proxy_admin,proxy_admin_viewer,organization_admin";
        return Err(ctx.caller.role_refused(ctx.rpc, needed, message).into());
    }
    let filter = DeletedTeamFilter {
        team_ids: command.team_ids,
        organization_id: command.organization_id,
        no_organization: command.no_organization,
        alias_contains: command.alias_contains,
        search: command.search,
        member: command.member,
        visible_to: admin.cloned(),
    };
    let found = ctx.app.store.view().list_deleted_teams(&filter, &command.page).await?;
    let calendar = &ctx.app.rules.calendar;
    let teams = found.items.into_iter().map(|deleted| team::deleted_to_wire(deleted, calendar, ctx.now)).collect();
    let next_page_token = page::token(&command.list, found.next);
    Ok(pb::ListTeamsResponse { teams, next_page_token, total_size: found.total })
}

/// Who asks about somebody else, or a foreign organization, is told so, and not
/// by an empty list.
async fn check_filters(ctx: &Ctx, command: &Command) -> Result<(), Error> {
    if ctx.scope.is_all() {
        return Ok(());
    }
    let view = ctx.app.store.view();
    if let Some(member) = &command.member
        && !ctx.caller.is_user(member)
        && !ctx.scope.has(Reach::AdminOrganization)
    {
        return Err(access::not_your_user(member).into());
    }
    match &command.organization_id {
        // A member sees its own teams in it.
        Some(id) if ctx.caller.user_id().is_some() => match access::visible_organization(ctx, view, id).await {
            Ok(_) => Ok(()),
            Err(Error::Refused(_)) => Err(access::not_your_organization(id).into()),
            Err(error) => Err(error),
        },
        _ => Ok(()),
    }
}

fn parse(ctx: &Ctx, request: pb::ListTeamsRequest) -> Result<Command, Error> {
    let mut faults = Faults::default();
    let asked =
        Asked { page_size: request.page_size, page_token: &request.page_token, include_total: request.include_total };
    let filters =
        pb::ListTeamsRequest { page_size: 0, page_token: String::new(), include_total: false, ..request.clone() };
    let list = List::new(ctx, &filters);
    let page = page::take(asked, &list, &mut faults);
    let status = pb::TeamStatus::try_from(request.status).unwrap_or_else(|_| {
        faults.add("status", format!("has no value {}", request.status));
        pb::TeamStatus::Active
    });
    let mut team_ids = text::ids("team_ids", &request.team_ids, TeamId::parse, &mut faults);
    let team_id = text::team_id("team_id", &request.team_id, &mut faults);
    if team_id.is_some() && !team_ids.is_empty() {
        faults.add("team_ids", "must not be set together with team_id");
    }
    team_ids.extend(team_id);
    if request.no_organization && !request.organization_id.is_empty() {
        faults.add("no_organization", "must not be set together with organization_id");
    }
    let command = Command {
        member: text::user_id("user_id", &request.user_id, &mut faults),
        team_ids,
        organization_id: text::organization_id("organization_id", &request.organization_id, &mut faults),
        no_organization: request.no_organization,
        order: page::order(&request.order_by, &sortable::TEAMS, newest_first(&sortable::TEAMS), &mut faults),
        alias_contains: text::part("team_alias_contains", request.team_alias_contains, &mut faults),
        search: text::part("search", request.search, &mut faults),
        blocked: request.blocked,
        deleted: status == pb::TeamStatus::Deleted,
        page,
        list,
    };
    faults.finish()?;
    Ok(command)
}

fn visible_to(ctx: &Ctx) -> Option<TeamScope> {
    if ctx.scope.is_all() {
        return None;
    }
    Some(match (ctx.caller.user_id(), ctx.caller.team_of_its_own()) {
        (Some(user), _) => TeamScope::OfUser(user.clone()),
        (None, Some(team)) => TeamScope::Only(team.clone()),
        (None, None) => TeamScope::Nothing,
    })
}
