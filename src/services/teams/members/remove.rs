//! `RemoveTeamMember`: a user leaves a team, and its keys there die.

use crate::domain::fault::Refusal;
use crate::domain::ids::TeamId;
use crate::domain::reason::Reason;
use crate::domain::role::TeamRole;
use crate::domain::team::Member;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::access::{TeamStanding, not_your_team, visible_team};
use crate::services::wire::faults::Faults;
use crate::services::wire::hold::hold_team;
use crate::services::wire::people::{self, Person};
use crate::services::wire::text;
use crate::store::Tx;

use super::super::get;

/// Removes a member from a team.
pub(in crate::services::teams) async fn remove_team_member(
    ctx: Ctx,
    request: pb::RemoveTeamMemberRequest,
) -> Result<pb::RemoveTeamMemberResponse, Error> {
    let mut faults = Faults::default();
    let team_id = text::required_id("team_id", &request.team_id, TeamId::parse, &mut faults);
    let person = Person::take("", &request.user_id, &request.user_email, &mut faults);
    faults.finish()?;
    let team_id = team_id.ok_or_else(|| Error::internal("a team id vanished"))?;
    let mut tx = ctx.begin().await?;
    hold_team(&mut tx, &team_id, None).await?;
    let (_, standing) = visible_team(&ctx, tx.view(), &team_id).await?;
    let user_id = if standing.manages() {
        people::member(tx.view(), &person).await?
    } else {
        people::itself(&ctx, tx.view(), &person).await?.ok_or_else(|| not_your_team(&team_id))?
    };
    let member = tx.view().find_member(&team_id, &user_id).await?;
    let member = member.ok_or_else(|| people::not_a_member(person.name()))?;
    keep_an_admin(&tx, &member, &standing).await?;
    let deleted_key_count = tx.remove_member(&member).await?;
    ctx.commit(tx).await?;
    Ok(pb::RemoveTeamMemberResponse { team: Some(get::stored_team(&ctx, &team_id).await?), deleted_key_count })
}

/// The last admin of a team leaves, or is demoted, only by somebody above it.
pub(super) async fn keep_an_admin(tx: &Tx, member: &Member, standing: &TeamStanding) -> Result<(), Error> {
    if member.role != TeamRole::Admin || standing.is_above() {
        return Ok(());
    }
    if tx.view().count_team_admins(&member.team_id).await? > 1 {
        return Ok(());
    }
    let message =
        "this is the last admin of the team; only a proxy admin or an organization admin may remove or demote it";
    Err(Refusal::precondition(Reason::LastTeamAdmin, message).about("team", &member.team_id).into())
}
