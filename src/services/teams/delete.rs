//! `DeleteTeams`: teams with their keys and memberships, all or none.

use crate::auth::Reach;
use crate::domain::fault::Refusal;
use crate::domain::ids::TeamId;
use crate::domain::reason::Reason;
use crate::domain::team::Team;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::access::{TeamStanding, not_your_team, standing_to};
use crate::services::wire::faults::Faults;
use crate::services::wire::text;
use crate::store::Tx;

/// Deletes teams.
pub(super) async fn delete_teams(ctx: Ctx, request: pb::DeleteTeamsRequest) -> Result<pb::DeleteTeamsResponse, Error> {
    let may_delete = ctx.scope.has(Reach::AdminOrganization) || ctx.app.rules.team_admins_may_delete;
    if !ctx.scope.is_all() && !may_delete {
        let message = "only proxy admins and organization admins delete teams (setting team_admins_may_delete)";
        return Err(ctx.caller.role_refused(ctx.rpc, "proxy_admin,organization_admin", message).into());
    }
    let mut faults = Faults::default();
    let ids = text::ids_to_delete("team_ids", &request.team_ids, TeamId::parse, &mut faults);
    faults.finish()?;
    let mut tx = ctx.begin().await?;
    let teams = tx.lock_teams(&ids).await?;
    check(&ctx, &tx, &teams, &ids).await?;
    let mut deleted_key_count = 0;
    for team in &teams {
        deleted_key_count += tx.remove_team(team).await?;
    }
    ctx.commit(tx).await?;
    Ok(pb::DeleteTeamsResponse {
        deleted_team_ids: teams.iter().map(|team| team.team_id.to_string()).collect(),
        deleted_key_count,
    })
}

async fn check(ctx: &Ctx, tx: &Tx, teams: &[Team], ids: &[TeamId]) -> Result<(), Error> {
    let mut unseen: Vec<&TeamId> = ids.iter().filter(|id| !teams.iter().any(|team| team.team_id == **id)).collect();
    let mut foreign = None;
    for team in teams {
        let standing = standing_to(ctx, tx.view(), team).await?;
        if !standing.sees() {
            unseen.push(&team.team_id);
        } else if !may_delete(ctx, &standing) {
            foreign = Some(&team.team_id);
        }
    }
    if !unseen.is_empty() {
        return Err(Refusal::not_found(Reason::TeamNotFound, "team", unseen).into());
    }
    foreign.map_or(Ok(()), |id| Err(not_your_team(id).into()))
}

/// Whoever stands above a team deletes it; its own admins by setting.
fn may_delete(ctx: &Ctx, standing: &TeamStanding) -> bool {
    standing.is_above() || (standing.manages() && ctx.app.rules.team_admins_may_delete)
}
