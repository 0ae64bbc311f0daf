//! `DeleteTeams`: teams with their keys and memberships, all or none.

use crate::domain::fault::Refusal;
use crate::domain::ids::TeamId;
use crate::domain::reason::Reason;
use crate::domain::team::Team;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::access::{not_your_team, standing_to};
use crate::services::wire::faults::Faults;
use crate::services::wire::text;
use crate::store::Tx;

/// The most members of one team: its archive holds them all.
const MEMBERS_MAX: u64 = 1_000_000;

/// Deletes teams.
pub(super) async fn delete_teams(ctx: Ctx, request: pb::DeleteTeamsRequest) -> Result<pb::DeleteTeamsResponse, Error> {
    if !ctx.scope.is_all() && !ctx.app.rules.team_admins_may_delete {
        let message = "only proxy admins delete teams (setting team_admins_may_delete)";
        return Err(ctx.caller.role_refused(ctx.rpc, "proxy_admin", message).into());
    }
    let mut faults = Faults::default();
    let ids = text::ids_to_delete("team_ids", &request.team_ids, TeamId::parse, &mut faults);
    faults.finish()?;
    let mut tx = ctx.begin().await?;
    let teams = tx.lock_teams(&ids).await?;
    check(&ctx, &tx, &teams, &ids).await?;
    let mut deleted_key_count = 0;
    for team in &teams {
        deleted_key_count += delete(&mut tx, team).await?;
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
        } else if !standing.manages() {
            foreign = Some(&team.team_id);
        }
    }
    if !unseen.is_empty() {
        return Err(Refusal::not_found(Reason::TeamNotFound, "team", unseen).into());
    }
    foreign.map_or(Ok(()), |id| Err(not_your_team(id).into()))
}

/// Deletes a team; returns how many keys died with it.
async fn delete(tx: &mut Tx, team: &Team) -> Result<i64, Error> {
    let members = tx.view().members_after(&team.team_id, None, MEMBERS_MAX).await?;
    tx.archive_team(team, &members).await?;
    let keys = tx.view().keys_of(None, Some(&team.team_id)).await?;
    for key in &keys {
        tx.delete_key(key).await?;
    }
    for member in &members {
        tx.delete_member(member).await?;
    }
    tx.delete_team(team).await?;
    Ok(i64::try_from(keys.len()).unwrap_or(i64::MAX))
}
