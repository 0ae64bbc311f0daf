//! `AddTeamMembers`: users join a team, each with a result of its own.

use std::collections::HashSet;

use crate::auth::Reach;
use crate::domain::fault::Refusal;
use crate::domain::ids::TeamId;
use crate::domain::money::Usd;
use crate::domain::reason::Reason;
use crate::domain::role::TeamRole;
use crate::domain::team::{AskedLimits, Member, Team};
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::access::{TeamStanding, managed_team};
use crate::services::wire::answer::{Answer, Slot, once};
use crate::services::wire::correction::{Owner, begin_at_zero};
use crate::services::wire::faults::Faults;
use crate::services::wire::hold::hold_team;
use crate::services::wire::people;
use crate::services::wire::{status, team, text};
use crate::store::{Tx, View};

use super::super::membership::{self, Admission, Asked, admit};

/// How many users join in one transaction when all do.
const BATCH: u64 = 500;

/// A valid request.
struct Command {
    id: TeamId,
    members: Vec<Asked>,
    all_users: bool,
    limits: AskedLimits,
    atomic: bool,
    into_organization: bool,
}

/// What became of the members so far.
#[derive(Default)]
struct Tally {
    results: Vec<pb::TeamMemberResult>,
    added: i64,
    unchanged: i64,
    failed: i64,
}

/// Adds members to a team.
pub(in crate::services::teams) async fn add_team_members(
    ctx: Ctx,
    request: pb::AddTeamMembersRequest,
) -> Result<pb::AddTeamMembersResponse, Error> {
    let command = parse(&request)?;
    if command.all_users && !ctx.scope.is_all() {
        let message = "only a proxy admin may add all users";
        return Err(Refusal::denied(Reason::FieldNotAllowed, message).with("field", "all_users").into());
    }
    once(&ctx, &request.request_id, &request, |slot| add(&ctx, command, slot)).await
}

fn parse(request: &pb::AddTeamMembersRequest) -> Result<Command, Error> {
    let mut faults = Faults::default();
    text::request_id("request_id", &request.request_id, &mut faults);
    let id = text::required_id("team_id", &request.team_id, TeamId::parse, &mut faults);
    if request.members.is_empty() != request.all_users {
        faults.add("members", "must have 1-500 entries, or all_users must be set, not both");
    }
    let members = membership::take("members", &request.members, &mut faults);
    let max = faults.money("max_budget_in_team", request.max_budget_in_team.as_ref());
    faults.finish()?;
    Ok(Command {
        id: id.ok_or_else(|| Error::internal("a team id vanished"))?,
        members,
        all_users: request.all_users,
        limits: AskedLimits { max, ..AskedLimits::default() },
        atomic: request.atomic,
        into_organization: request.add_members_to_organization,
    })
}

async fn add(ctx: &Ctx, command: Command, slot: Slot) -> Result<pb::AddTeamMembersResponse, Error> {
    let mut tally = if command.all_users { add_everybody(ctx, &command).await? } else { Tally::default() };
    let (mut tx, team, standing) = begin(ctx, &command).await?;
    let admission = Admission::of(&standing, &team, command.into_organization)?;
    let mut seen = HashSet::new();
    for (index, asked) in command.members.iter().enumerate() {
        let limits = AskedLimits { max: asked.limits.max.or(command.limits.max), ..asked.limits.clone() };
        let asked = Asked { limits, ..asked.clone() };
        let path = format!("members[{index}]");
        let joined = join(ctx, &mut tx, &team, &asked, &path, &admission).await;
        match joined.and_then(|result| once_only(&mut seen, path, result)) {
            Ok(result) => tally.count(result),
            // A database that fails fails the call: nothing of it has happened.
            Err(error) if command.atomic || !status::is_of_the_entry(&error) => return Err(error),
            Err(error) => tally.fail(&asked, &error),
        }
    }
    let answer = pb::AddTeamMembersResponse {
        team: Some(shown(ctx, &tx, &command.id).await?),
        results: tally.results,
        added_count: tally.added,
        unchanged_count: tally.unchanged,
        failed_count: tally.failed,
    };
    slot.keep(ctx, &mut tx, &answer).await?;
    ctx.commit(tx).await?;
    Ok(answer)
}

/// Begins with the team locked: its members join one after another, and nobody
/// leaves its organization meanwhile.
async fn begin(ctx: &Ctx, command: &Command) -> Result<(Tx, Team, TeamStanding), Error> {
    let mut tx = ctx.begin().await?;
    hold_team(&mut tx, &command.id, None).await?;
    let (team, standing) = place(ctx, tx.view(), command).await?;
    Ok((tx, team, standing))
}

/// The team, which the caller manages, or else joins by itself.
async fn place(ctx: &Ctx, view: View<'_>, command: &Command) -> Result<(Team, TeamStanding), Error> {
    let joins = ctx.scope.has(Reach::Own) && ctx.app.rules.available_teams.contains(&command.id);
    match managed_team(ctx, view, &command.id).await {
        Err(Error::Refused(_)) if joins => {
            let not_found = || Refusal::not_found(Reason::TeamNotFound, "team", [&command.id]);
            let team = view.find_team(&command.id).await?.ok_or_else(not_found)?;
            check_self_join(ctx, view, command).await?;
            Ok((team, TeamStanding::Outsider))
        }
        managed => managed,
    }
}

/// Who joins an available team by itself is the only member that it names, and
/// asks for nothing.
async fn check_self_join(ctx: &Ctx, view: View<'_>, command: &Command) -> Result<(), Error> {
    let asks_for_nothing = |asked: &Asked| asked.role == TeamRole::User && asked.limits == AskedLimits::default();
    if let [asked] = command.members.as_slice()
        && asks_for_nothing(asked)
        && command.limits == AskedLimits::default()
        && people::find(view, &asked.person, "members[0]").await?.is_some_and(|user| ctx.caller.is_user(&user.user_id))
    {
        return Ok(());
    }
    let message = "you may only add yourself to this team, as a plain member without limits of your own";
    Err(Refusal::denied(Reason::SelfJoinOnly, message).about("team", &command.id).into())
}

async fn shown(ctx: &Ctx, tx: &Tx, id: &TeamId) -> Result<pb::Team, Error> {
    let stored = tx.view().find_stored_team(id, ctx.now).await?;
    let stored = stored.ok_or_else(|| Refusal::not_found(Reason::TeamNotFound, "team", [id]))?;
    Ok(team::to_wire(&stored, &ctx.app.rules.calendar, ctx.now))
}

/// Refuses whoever was named before, by its id or by its e-mail address.
fn once_only(
    seen: &mut HashSet<String>,
    path: String,
    result: pb::TeamMemberResult,
) -> Result<pb::TeamMemberResult, Error> {
    let user_id = result.member.as_ref().map(|member| member.user_id.clone()).unwrap_or_default();
    if seen.insert(user_id) { Ok(result) } else { Err(Error::invalid(people::named_twice(path))) }
}

async fn join(
    ctx: &Ctx,
    tx: &mut Tx,
    team: &Team,
    asked: &Asked,
    path: &str,
    admission: &Admission,
) -> Result<pb::TeamMemberResult, Error> {
    let (user, created_user) = admit(ctx, tx, team, asked, path, admission).await?;
    let member = Member {
        team_id: team.team_id.clone(),
        user_id: user.user_id,
        user_email: user.user_email,
        role: asked.role,
        own_limits: asked.limits.complete(&team.member_defaults, ctx.now),
        added_at: ctx.now,
    };
    let joined = tx.insert_member(&member).await?;
    if joined {
        begin_at_zero(tx, &[Owner::Member(&team.team_id, &member.user_id)]).await?;
    }
    let stored =
        if joined { member } else { tx.view().find_member(&team.team_id, &member.user_id).await?.unwrap_or(member) };
    Ok(pb::TeamMemberResult {
        member: Some(team::member_to_wire(&stored, team, Usd::ZERO, &ctx.app.rules.calendar, ctx.now)),
        success: joined,
        already_member: !joined,
        created_user,
        error: None,
    })
}

/// Adds every user there is, batch by batch, each in a transaction of its own;
/// who joins meanwhile is found by its id.
async fn add_everybody(ctx: &Ctx, command: &Command) -> Result<Tally, Error> {
    let mut tally = Tally::default();
    let mut last = None;
    loop {
        let (mut tx, team, _) = begin(ctx, command).await?;
        check_everybody(&team, command)?;
        let users = tx.view().users_after(last.as_ref(), BATCH).await?;
        let Some(end) = users.last() else { return Ok(tally) };
        last = Some(end.user_id.clone());
        let mut joined = Vec::with_capacity(users.len());
        for user in users {
            if let Some(organization) = &team.organization_id {
                people::enter_organization(ctx, &mut tx, organization, &user.user_id).await?;
            }
            let member = Member {
                team_id: team.team_id.clone(),
                user_id: user.user_id,
                user_email: None,
                role: TeamRole::User,
                own_limits: command.limits.complete(&team.member_defaults, ctx.now),
                added_at: ctx.now,
            };
            if tx.insert_member(&member).await? {
                joined.push(member.user_id);
                tally.added += 1;
            } else {
                tally.unchanged += 1;
            }
        }
        let owners: Vec<Owner<'_>> = joined.iter().map(|user_id| Owner::Member(&team.team_id, user_id)).collect();
        begin_at_zero(&mut tx, &owners).await?;
        ctx.commit(tx).await?;
    }
}

/// Everybody is in the organization of a team that everybody joins.
fn check_everybody(team: &Team, command: &Command) -> Result<(), Refusal> {
    match &team.organization_id {
        Some(organization) if !command.into_organization => {
            let message = "the team belongs to an organization: set add_members_to_organization, too";
            let refusal = Refusal::precondition(Reason::MemberNotInOrganization, message);
            Err(refusal.with("organization_id", organization).about("organization", organization))
        }
        _ => Ok(()),
    }
}

impl Tally {
    fn count(&mut self, result: pb::TeamMemberResult) {
        if result.success {
            self.added += 1;
        } else {
            self.unchanged += 1;
        }
        self.results.push(result);
    }

    fn fail(&mut self, asked: &Asked, error: &Error) {
        let member = pb::TeamMember {
            user_id: asked.person.user_id(),
            user_email: asked.person.user_email(),
            ..pb::TeamMember::default()
        };
        let error = Some(status::of(error));
        self.failed += 1;
        self.results.push(pb::TeamMemberResult { member: Some(member), error, ..Default::default() });
    }
}

impl Answer for pb::AddTeamMembersResponse {}
