//! `RemoveTeamMember`: a user leaves a team, and its keys there die.

use crate::domain::fault::{Refusal, Violation};
use crate::domain::ids::{TeamId, UserId};
use crate::domain::reason::Reason;
use crate::domain::role::TeamRole;
use crate::domain::team::Member;
use crate::domain::user::Email;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::access::{TeamStanding, not_your_team, visible_team};
use crate::services::wire::faults::Faults;
use crate::services::wire::text;
use crate::store::Tx;

use super::super::get;

/// A valid request.
struct Command {
    team_id: TeamId,
    user_id: Option<UserId>,
    email: Option<Email>,
}

/// Removes a member from a team.
pub(in crate::services::teams) async fn remove_team_member(
    ctx: Ctx,
    request: pb::RemoveTeamMemberRequest,
) -> Result<pb::RemoveTeamMemberResponse, Error> {
    let command = parse(&request)?;
    visible_team(&ctx, ctx.app.store.view(), &command.team_id).await?;
    let mut tx = ctx.begin().await?;
    tx.lock_teams(std::slice::from_ref(&command.team_id)).await?;
    let (_, standing) = visible_team(&ctx, tx.view(), &command.team_id).await?;
    let user_id = resolve(&tx, &command).await?;
    if !standing.manages() && !ctx.caller.is_user(&user_id) {
        return Err(not_your_team(&command.team_id).into());
    }
    let member = tx.view().find_member(&command.team_id, &user_id).await?;
    let member = member.ok_or_else(|| not_a_member(user_id.as_str()))?;
    keep_an_admin(&tx, &member, &standing).await?;
    let keys = tx.view().keys_of(Some(&user_id), Some(&command.team_id)).await?;
    for key in &keys {
        tx.delete_key(key).await?;
    }
    tx.delete_member(&member).await?;
    ctx.commit(tx).await?;
    Ok(pb::RemoveTeamMemberResponse {
        team: Some(get::stored_team(&ctx, &command.team_id).await?),
        deleted_key_count: i64::try_from(keys.len()).unwrap_or(i64::MAX),
    })
}

fn parse(request: &pb::RemoveTeamMemberRequest) -> Result<Command, Error> {
    let mut faults = Faults::default();
    let team_id = text::required_id("team_id", &request.team_id, TeamId::parse, &mut faults);
    if request.user_id.is_empty() && request.user_email.is_empty() {
        faults.add_named("user_id", Reason::UserReferenceMissing, "must be set, or user_email");
    }
    let email = (!request.user_email.is_empty()).then_some(&request.user_email);
    let command = (
        text::user_id("user_id", &request.user_id, &mut faults),
        email.and_then(|email| faults.take("user_email", Email::parse(email))),
    );
    faults.finish()?;
    let team_id = team_id.ok_or_else(|| Error::internal("a team id vanished"))?;
    Ok(Command { team_id, user_id: command.0, email: command.1 })
}

fn not_a_member(name: &str) -> Refusal {
    Refusal::not_found(Reason::MemberNotFound, "member", [name])
}

/// The user that is meant: by id, by address, or by both if they agree.
async fn resolve(tx: &Tx, command: &Command) -> Result<UserId, Error> {
    let Some(email) = &command.email else {
        return command.user_id.clone().ok_or_else(|| Error::internal("a user reference vanished"));
    };
    let user = tx.view().find_user_by_email(email).await?.ok_or_else(|| not_a_member(email.as_str()))?;
    match &command.user_id {
        Some(id) if *id != user.user_id => {
            let rule = "and user_email must name the same user";
            Err(Error::invalid(Violation::named("user_id", Reason::UserIdEmailMismatch, rule)))
        }
        _ => Ok(user.user_id),
    }
}

/// The last admin of a team leaves only by a proxy admin's hand.
async fn keep_an_admin(tx: &Tx, member: &Member, standing: &TeamStanding) -> Result<(), Error> {
    if member.role != TeamRole::Admin || *standing == TeamStanding::ProxyAdmin {
        return Ok(());
    }
    if tx.view().count_team_admins(&member.team_id).await? > 1 {
        return Ok(());
    }
    let message = "this is the last admin of the team; only a proxy admin may remove it";
    Err(Refusal::precondition(Reason::LastTeamAdmin, message).about("team", &member.team_id).into())
}
