//! `GetTeamDailyActivity`: what teams used, by day.

use crate::domain::fault::Refusal;
use crate::domain::ids::TeamId;
use crate::domain::reason::Reason;
use crate::domain::role::MemberPermission;
use crate::domain::rollup::Dimension;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::reports::activity::{self, asked};
use crate::services::wire::faults::Faults;
use crate::services::wire::page::List;
use crate::services::wire::text;
use crate::store::{Among, EventScope, TeamFilter, TeamScope};

/// A valid request.
struct Command {
    question: activity::Question,
    ids: Vec<TeamId>,
    except: Vec<TeamId>,
}

/// Shows what teams used.
pub(super) async fn get_team_daily_activity(
    ctx: Ctx,
    request: pb::GetTeamDailyActivityRequest,
) -> Result<pb::GetTeamDailyActivityResponse, Error> {
    let Command { question, ids, except } = parse(&ctx, &request)?;
    let visible_to = visible_to(&ctx, &ids).await?;
    let among = Among {
        dimension: Dimension::Team,
        ids: ids.iter().map(ToString::to_string).collect(),
        except: except.iter().map(ToString::to_string).collect(),
        of_some: true,
    };
    let found = activity::answer(&ctx, question, pb::SpendDimension::Team, among, visible_to).await?;
    Ok(pb::GetTeamDailyActivityResponse {
        days: found.days,
        totals: Some(found.totals),
        next_page_token: found.next_page_token,
        total_size: found.total_size,
    })
}

fn parse(ctx: &Ctx, request: &pb::GetTeamDailyActivityRequest) -> Result<Command, Error> {
    let mut faults = Faults::default();
    let without_page = pb::GetTeamDailyActivityRequest {
        page_size: 0,
        page_token: String::new(),
        include_total: false,
        ..request.clone()
    };
    let question = activity::take(ctx, &asked!(request), List::new(ctx, &without_page), &mut faults);
    let ids = text::ids("team_ids", &request.team_ids, TeamId::parse, &mut faults);
    let except = text::ids("exclude_team_ids", &request.exclude_team_ids, TeamId::parse, &mut faults);
    faults.finish()?;
    Ok(Command { question: question.ok_or_else(|| Error::internal("a question vanished"))?, ids, except })
}

/// The usage that the caller may see, if all of these teams are its own.
async fn visible_to(ctx: &Ctx, ids: &[TeamId]) -> Result<EventScope, Error> {
    if ctx.scope.is_all() {
        return Ok(EventScope::All);
    }
    let caller = ctx.caller.user_id();
    let (teams, usage) = match (caller, ctx.caller.team_of_its_own(), ctx.caller.key_id()) {
        (Some(user), ..) => {
            (TeamScope::OfUser(user.clone()), EventScope::InTeamsOf(user.clone(), MemberPermission::TeamDailyActivity))
        }
        (None, Some(team), Some(key)) => (TeamScope::Only(team.clone()), EventScope::OfKey(key)),
        (None, ..) => return Err(Error::internal("a caller without a user and a team")),
    };
    if !ids.is_empty() {
        let filter = TeamFilter { team_ids: ids.to_vec(), visible_to: Some(teams), ..TeamFilter::default() };
        let seen = ctx.app.store.view().team_ids(&filter).await?;
        if let Some(foreign) = ids.iter().find(|id| !seen.contains(id)) {
            return Err(Refusal::not_found(Reason::TeamNotFound, "team", [foreign]).into());
        }
    }
    Ok(usage)
}
