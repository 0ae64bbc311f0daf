//! `BlockTeam` and `UnblockTeam`: all keys of a team, at once.

use crate::domain::fault::Refusal;
use crate::domain::ids::TeamId;
use crate::domain::reason::Reason;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::access::managed_team;
use crate::services::wire::faults::Faults;
use crate::services::wire::hold::hold_team;
use crate::services::wire::text;

use super::get;

/// Refuses the keys of a team.
pub(super) async fn block_team(ctx: Ctx, request: pb::BlockTeamRequest) -> Result<pb::BlockTeamResponse, Error> {
    let team = Some(set_blocked(&ctx, &request.team_id, true).await?);
    Ok(pb::BlockTeamResponse { team })
}

/// Undoes it.
pub(super) async fn unblock_team(ctx: Ctx, request: pb::UnblockTeamRequest) -> Result<pb::UnblockTeamResponse, Error> {
    let team = Some(set_blocked(&ctx, &request.team_id, false).await?);
    Ok(pb::UnblockTeamResponse { team })
}

async fn set_blocked(ctx: &Ctx, id: &str, blocked: bool) -> Result<pb::Team, Error> {
    let mut faults = Faults::default();
    let id = text::required_id("team_id", id, TeamId::parse, &mut faults);
    faults.finish()?;
    let id = id.ok_or_else(|| Error::internal("a team id vanished"))?;
    let mut tx = ctx.begin().await?;
    // Two admins may block at the same moment.
    hold_team(&mut tx, &id, None).await?;
    let (before, standing) = managed_team(ctx, tx.view(), &id).await?;
    let is_admin = standing.is_above();
    if !blocked && before.blocked_by_admin && !is_admin {
        let message = "an admin above the team blocked it; ask a proxy admin or an organization admin";
        return Err(Refusal::denied(Reason::FieldNotAllowed, message)
            .with("field", "blocked")
            .about("team", &id)
            .into());
    }
    let mut after = before.clone();
    after.blocked = blocked;
    after.blocked_by_admin = blocked && (is_admin || before.blocked_by_admin);
    tx.update_team(&before, &mut after).await?;
    ctx.commit(tx).await?;
    get::stored_team(ctx, &id).await
}
