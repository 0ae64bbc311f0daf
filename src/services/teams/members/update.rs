//! `UpdateTeamMember`: a member's role or limits.

use crate::domain::fault::Refusal;
use crate::domain::ids::TeamId;
use crate::domain::reason::Reason;
use crate::domain::team::{Member, MemberPatch, Team, check_rates, loosens};
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::access::{TeamStanding, managed_team};
use crate::services::wire::correction::{Owner, keep_window};
use crate::services::wire::faults::Faults;
use crate::services::wire::hold::hold_team;
use crate::services::wire::mask::Mask;
use crate::services::wire::people::{self, Person};
use crate::services::wire::{team, text};

use super::super::get::member_spend;
use super::super::membership::{Asked, take_one};
use super::remove::keep_an_admin;

/// The fields that a mask may name.
const FIELDS: [&str; 5] = ["role", "max_budget_in_team", "budget_duration", "tpm_limit", "rpm_limit"];

/// A valid request.
struct Command {
    team_id: TeamId,
    person: Person,
    patch: MemberPatch,
}

/// Changes a member of a team.
pub(in crate::services::teams) async fn update_team_member(
    ctx: Ctx,
    request: pb::UpdateTeamMemberRequest,
) -> Result<pb::UpdateTeamMemberResponse, Error> {
    let Command { team_id, person, patch } = parse(&request)?;
    let mut tx = ctx.begin().await?;
    // Two admins who demote each other at once must not both succeed.
    hold_team(&mut tx, &team_id, None).await?;
    let (of, standing) = managed_team(&ctx, tx.view(), &team_id).await?;
    let user_id = people::member(tx.view(), &person).await?;
    let before = tx.view().find_member(&team_id, &user_id).await?;
    let before = before.ok_or_else(|| people::not_a_member(person.name()))?;
    let mut after = patch.apply(&before, &of.member_defaults, &ctx.app.rules.calendar, ctx.now);
    check(&ctx, &of, &standing, &before, &after)?;
    if after.role != before.role {
        keep_an_admin(&tx, &before, &standing).await?;
    }
    tx.update_member(&before, &after).await?;
    let owner = Owner::Member(&team_id, &user_id);
    let [(was, _), (is, _)] = [&before, &after].map(|member| team::effective(member, &of));
    keep_window(&ctx, &mut tx, &owner, &was, &is).await?;
    ctx.commit(tx).await?;
    let user = ctx.app.store.view().find_user(&user_id).await?;
    after.user_email = user.and_then(|user| user.user_email);
    let spends = member_spend(&ctx, &of, std::slice::from_ref(&after)).await?;
    let spend = spends.get(&user_id).copied().unwrap_or_default();
    let member = team::member_to_wire(&after, &of, spend, &ctx.app.rules.calendar, ctx.now);
    Ok(pb::UpdateTeamMemberResponse { member: Some(member) })
}

fn parse(request: &pb::UpdateTeamMemberRequest) -> Result<Command, Error> {
    let mut faults = Faults::default();
    let team_id = text::required_id("team_id", &request.team_id, TeamId::parse, &mut faults);
    let nobody = pb::TeamMember::default();
    let sent = request.member.as_ref().unwrap_or(&nobody);
    let Asked { person, role, limits } = take_one("member", sent, &mut faults);
    let mask = Mask::new(request.update_mask.as_ref(), &FIELDS, &mut faults);
    let patch = MemberPatch {
        role: mask.field("role", (sent.role != 0).then_some(role)),
        max: mask.field("max_budget_in_team", limits.max),
        duration: mask.field("budget_duration", limits.duration),
        rpm: mask.field("rpm_limit", limits.rpm),
        tpm: mask.field("tpm_limit", limits.tpm),
    };
    faults.finish()?;
    let team_id = team_id.ok_or_else(|| Error::internal("a team id vanished"))?;
    Ok(Command { team_id, person, patch })
}

/// A member's rates are within the team's; a team admin does not give itself
/// more.
fn check(ctx: &Ctx, of: &Team, standing: &TeamStanding, before: &Member, after: &Member) -> Result<(), Refusal> {
    let [was, is] = [before, after].map(|member| team::effective(member, of));
    if !standing.is_above() && ctx.caller.is_user(&before.user_id) && loosens(&was, &is) {
        let message = "you may not loosen your own limits; ask another admin above you";
        return Err(Refusal::denied(Reason::BudgetRaiseNeedsAdmin, message).with("field", "member"));
    }
    after.own_limits.as_ref().map_or(Ok(()), |limits| check_rates(limits, &of.rates))
}
