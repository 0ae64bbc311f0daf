//! `ListAvailableTeams`: the teams that everybody may join.

use crate::domain::fault::Violation;
use crate::domain::reason::Reason;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::page::{self, Asked, List};
use crate::store::{Order, StoredTeam, TeamFilter, sortable};

/// Lists the teams that the caller may join.
pub(super) async fn list_available_teams(
    ctx: Ctx,
    request: pb::ListAvailableTeamsRequest,
) -> Result<pb::ListAvailableTeamsResponse, Error> {
    let mut faults = Faults::default();
    let asked =
        Asked { page_size: request.page_size, page_token: &request.page_token, include_total: request.include_total };
    let list = List::new(&ctx, &pb::ListAvailableTeamsRequest::default());
    let page = page::take(asked, &list, &mut faults);
    faults.finish()?;
    let Some(user) = ctx.caller.user_id() else {
        let rule = "your credential has no user, who could join a team";
        return Err(Error::invalid(Violation::named("", Reason::CallerHasNoUser, rule)));
    };
    let available = &ctx.app.rules.available_teams;
    if available.is_empty() {
        let total_size = request.include_total.then_some(0);
        return Ok(pb::ListAvailableTeamsResponse { total_size, ..pb::ListAvailableTeamsResponse::default() });
    }
    let filter = TeamFilter { team_ids: available.clone(), not_member: Some(user.clone()), ..TeamFilter::default() };
    let key = sortable::TEAMS.iter().find(|key| key.name == "team_alias").copied().unwrap_or(sortable::TEAMS[0]);
    let order = Order { key, descending: false };
    let found = ctx.app.store.view().list_teams(&filter, order, &page, ctx.now).await?;
    Ok(pb::ListAvailableTeamsResponse {
        teams: found.items.iter().map(to_wire).collect(),
        next_page_token: page::token(&list, found.next),
        total_size: found.total,
    })
}

fn to_wire(stored: &StoredTeam) -> pb::AvailableTeam {
    let team = &stored.team;
    let description = team.metadata.get("description").and_then(|value| value.as_str());
    pb::AvailableTeam {
        team_id: team.team_id.to_string(),
        team_alias: team.team_alias.clone().unwrap_or_default(),
        description: description.unwrap_or_default().to_owned(),
        member_count: stored.member_count,
    }
}
