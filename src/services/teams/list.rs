//! `ListTeams`: teams by filters, page by page; also deleted ones.

use crate::domain::ids::{TeamId, UserId};
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
    team_id: Option<TeamId>,
    alias_contains: String,
    blocked: Option<bool>,
    deleted: bool,
    order: Order,
    page: PageRequest,
    list: List,
}

/// Lists teams.
pub(super) async fn list_teams(ctx: Ctx, request: pb::ListTeamsRequest) -> Result<pb::ListTeamsResponse, Error> {
    let command = parse(&ctx, request)?;
    if let Some(member) = command.member.as_ref().filter(|member| !ctx.scope.is_all() && !ctx.caller.is_user(member)) {
        return Err(access::not_your_user(member).into());
    }
    let calendar = &ctx.app.rules.calendar;
    let view = ctx.app.store.view();
    if command.deleted {
        if !ctx.scope.is_all() {
            let message = "only proxy admins and viewers see deleted teams";
            return Err(ctx.caller.role_refused(ctx.rpc, "proxy_admin,proxy_admin_viewer", message).into());
        }
        let filter = DeletedTeamFilter {
            team_id: command.team_id,
            alias_contains: command.alias_contains,
            member: command.member,
        };
        let found = view.list_deleted_teams(&filter, &command.page).await?;
        let (next, total_size) = (found.next, found.total);
        let teams = found.items.into_iter().map(|deleted| team::deleted_to_wire(deleted, calendar, ctx.now)).collect();
        return Ok(pb::ListTeamsResponse { teams, next_page_token: page::token(&command.list, next), total_size });
    }
    let filter = TeamFilter {
        team_id: command.team_id,
        member: command.member,
        alias_contains: command.alias_contains,
        blocked: command.blocked,
        visible_to: visible_to(&ctx),
    };
    let found = view.list_teams(&filter, command.order, &command.page, ctx.now).await?;
    Ok(pb::ListTeamsResponse {
        teams: found.items.iter().map(|stored| team::to_wire(stored, calendar, ctx.now)).collect(),
        next_page_token: page::token(&command.list, found.next),
        total_size: found.total,
    })
}

fn parse(ctx: &Ctx, request: pb::ListTeamsRequest) -> Result<Command, Error> {
    let mut faults = Faults::default();
    let asked =
        Asked { page_size: request.page_size, page_token: &request.page_token, include_total: request.include_total };
    let filters =
        pb::ListTeamsRequest { page_size: 0, page_token: String::new(), include_total: false, ..request.clone() };
    let list = List::new(ctx.rpc, &filters);
    let page = page::take(asked, &list, &mut faults);
    let status = pb::TeamStatus::try_from(request.status).unwrap_or_else(|_| {
        faults.add("status", format!("has no value {}", request.status));
        pb::TeamStatus::Active
    });
    let command = Command {
        member: text::user_id("user_id", &request.user_id, &mut faults),
        team_id: text::team_id("team_id", &request.team_id, &mut faults),
        order: page::order(&request.order_by, &sortable::TEAMS, newest_first(&sortable::TEAMS), &mut faults),
        alias_contains: text::part("team_alias_contains", request.team_alias_contains, &mut faults),
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
        (Some(user), _) => TeamScope::OfMember(user.clone()),
        (None, Some(team)) => TeamScope::Only(team.clone()),
        (None, None) => TeamScope::Nothing,
    })
}
