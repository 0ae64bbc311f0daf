//! `CreateTeam`: a team with its members, all or nothing.

use crate::auth::Reach;
use crate::domain::fault::Refusal;
use crate::domain::ids::TeamId;
use crate::domain::money::Usd;
use crate::domain::organization::check_team;
use crate::domain::policy::Action;
use crate::domain::reason::Reason;
use crate::domain::role::TeamRole;
use crate::domain::team::{AskedLimits, Member, Team, bound_by_creator};
use crate::domain::throughput::{Pool, Share};
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::access::{TeamStanding, managed_organization};
use crate::services::wire::answer::{Answer, Slot, once};
use crate::services::wire::correction::{Owner, begin_at_zero, begin_with};
use crate::services::wire::faults::Faults;
use crate::services::wire::{people, policies, taken, team, text};
use crate::store::{Constraint, Spend, StoredTeam, Tx};

use super::fields;
use super::membership::{self, Admission, Asked, admit, outside_of};
use super::update::organization_of;

/// A valid request.
struct Command {
    team: Team,
    members: Vec<Asked>,
    spend: Option<Usd>,
    add_creator: bool,
    into_organization: bool,
}

/// Makes a team.
pub(super) async fn create_team(ctx: Ctx, request: pb::CreateTeamRequest) -> Result<pb::CreateTeamResponse, Error> {
    let in_organization = ctx.app.rules.teams.organization_id.is_some()
        || request.team.as_ref().is_some_and(|team| team.organization_id.is_some());
    let may_make =
        ctx.app.rules.allow_user_created_teams || (in_organization && ctx.scope.has(Reach::AdminOrganization));
    if !ctx.scope.is_all() && !may_make {
        let message = "only proxy admins make teams, and organization admins in their organization_id \
                       (setting allow_user_created_teams)";
        return Err(ctx.caller.role_refused(ctx.rpc, "proxy_admin,organization_admin", message).into());
    }
    let command = parse(&ctx, &request)?;
    once(&ctx, &request.request_id, &request, |slot| create(&ctx, command, &request, slot)).await
}

fn parse(ctx: &Ctx, request: &pb::CreateTeamRequest) -> Result<Command, Error> {
    let mut faults = Faults::default();
    let no_team = pb::Team::default();
    let sent = request.team.as_ref().unwrap_or(&no_team);
    text::request_id("request_id", &request.request_id, &mut faults);
    let id = fields::new_team_id(&sent.team_id, &mut faults).unwrap_or_else(TeamId::generate);
    let mut team = fields::take(sent, id, ctx.now, &mut faults);
    ctx.app.rules.teams.fill(&mut team, ctx.now);
    if faults.0.is_empty() {
        // A default may be what the soft budget is not below.
        team.budget.check_new("team.", &mut faults.0);
    }
    let members = membership::take("team.members", &sent.members, &mut faults);
    people::check_repeats("team.members", members.iter().map(|asked| &asked.person), &mut faults);
    let command = Command {
        team,
        members,
        spend: faults.money("team.spend", sent.spend.as_ref()),
        add_creator: request.add_creator,
        into_organization: request.add_members_to_organization,
    };
    faults.finish()?;
    Ok(command)
}

async fn create(
    ctx: &Ctx,
    command: Command,
    asked: &pb::CreateTeamRequest,
    slot: Slot,
) -> Result<pb::CreateTeamResponse, Error> {
    let Command { mut team, members, spend, add_creator, into_organization } = command;
    let standing = standing(ctx, &team).await?;
    bound(ctx, &mut team, &standing, spend).await?;
    let admission = match standing {
        TeamStanding::Outsider => Admission::NOTHING,
        _ => Admission::of(&standing, &team, into_organization)?,
    };
    let mut tx = ctx.begin().await?;
    if let Some(id) = &team.organization_id {
        let organization = organization_of(&mut tx, id).await?;
        check_team(&organization, &team, &ctx.app.gate.prices())?;
        Pool::to_teams(&organization).check(&Share::from(&team), &tx.view().shares(id, None).await?)?;
    }
    policies::check(ctx, Action::CreateTeam, asked, || (None, draft(ctx, &team)))?;
    tx.insert_team(&team).await.map_err(|error| {
        taken::explain(error, |constraint| (constraint == Constraint::TeamId).then(|| team.team_id.to_string()))
    })?;
    let mut joined = join(ctx, &mut tx, &team, &members, &admission).await?;
    add_the_creator(ctx, &mut tx, &team, &mut joined, (add_creator, into_organization)).await?;
    let memberships = joined.iter().map(|member| Owner::Member(&team.team_id, &member.user_id));
    let owners: Vec<Owner<'_>> = memberships.chain([Owner::Team(&team.team_id)]).collect();
    begin_at_zero(&mut tx, &owners).await?;
    if let Some(spend) = spend {
        begin_with(ctx, &mut tx, &Owner::Team(&team.team_id), &team.budget, spend).await?;
    }
    let calendar = &ctx.app.rules.calendar;
    let spent = spend.unwrap_or_default();
    let shown = joined.iter().map(|member| team::member_to_wire(member, &team, Usd::ZERO, calendar, ctx.now)).collect();
    let stored = StoredTeam {
        team,
        spend: Spend { window: spent, lifetime: spent, ..Spend::default() },
        member_count: i64::try_from(joined.len()).unwrap_or(i64::MAX),
        key_count: 0,
    };
    let answer =
        pb::CreateTeamResponse { team: Some(pb::Team { members: shown, ..team::to_wire(&stored, calendar, ctx.now) }) };
    slot.keep(ctx, &mut tx, &answer).await?;
    ctx.commit(tx).await?;
    Ok(answer)
}

/// The team on the wire, before it is stored.
fn draft(ctx: &Ctx, team: &Team) -> pb::Team {
    let stored = StoredTeam { team: team.clone(), spend: Spend::default(), member_count: 0, key_count: 0 };
    team::to_wire(&stored, &ctx.app.rules.calendar, ctx.now)
}

/// Where the caller will stand above the team that it makes.
async fn standing(ctx: &Ctx, team: &Team) -> Result<TeamStanding, Error> {
    if ctx.scope.has(Reach::All) {
        return Ok(TeamStanding::ProxyAdmin);
    }
    match &team.organization_id {
        None => Ok(TeamStanding::Outsider),
        Some(id) => {
            managed_organization(ctx, ctx.app.store.view(), id).await?;
            Ok(TeamStanding::OrganizationAdmin)
        }
    }
}

/// A caller without admin rights makes a team within its own limits.
async fn bound(ctx: &Ctx, team: &mut Team, standing: &TeamStanding, spend: Option<Usd>) -> Result<(), Error> {
    if *standing == TeamStanding::ProxyAdmin {
        return Ok(());
    }
    if spend.is_some() {
        let message = "only a proxy admin may set spend";
        return Err(Refusal::denied(Reason::FieldNotAllowed, message).with("field", "spend").into());
    }
    if *standing == TeamStanding::OrganizationAdmin {
        return Ok(());
    }
    let id = ctx.caller.user_id().ok_or_else(|| Error::internal("an internal user without a user"))?;
    let user = ctx.app.store.view().find_user(id).await?.ok_or_else(|| Error::internal("a user vanished"))?;
    let key = ctx.caller.key().map(|key| (&key.models, &key.rates));
    bound_by_creator(team, &user, key, &ctx.app.gate.prices())?;
    // What was taken over may be what the soft budget is not below.
    let mut faults = Faults::default();
    team.budget.check_new("team.", &mut faults.0);
    faults.finish()
}

async fn join(
    ctx: &Ctx,
    tx: &mut Tx,
    team: &Team,
    members: &[Asked],
    admission: &Admission,
) -> Result<Vec<Member>, Error> {
    let mut joined = Vec::with_capacity(members.len());
    for (index, asked) in members.iter().enumerate() {
        let path = format!("team.members[{index}]");
        let (user, _) = admit(ctx, tx, team, asked, &path, admission).await?;
        let member = Member {
            team_id: team.team_id.clone(),
            user_id: user.user_id,
            user_email: user.user_email,
            role: asked.role,
            own_limits: asked.limits.complete(&team.member_defaults, ctx.now),
            added_at: ctx.now,
        };
        if !tx.insert_member(&member).await? {
            let mut faults = Faults::default();
            faults.add_named(path, Reason::DuplicateMember, "is named twice, once by id and once by e-mail address");
            return faults.finish().map(|()| joined);
        }
        joined.push(member);
    }
    Ok(joined)
}

/// Who makes a team administers it, unless it is a proxy admin who does not
/// ask for that; and is in its organization, or joins that, too.
async fn add_the_creator(
    ctx: &Ctx,
    tx: &mut Tx,
    team: &Team,
    joined: &mut Vec<Member>,
    (add_creator, into_organization): (bool, bool),
) -> Result<(), Error> {
    let joins = add_creator || !ctx.caller.is_proxy_admin();
    let Some(user) = ctx.caller.user().filter(|_| joins) else { return Ok(()) };
    if joined.iter().any(|member| member.user_id == user.user_id) {
        return Ok(());
    }
    if let Some(id) = &team.organization_id
        && tx.view().find_organization_member(id, &user.user_id).await?.is_none()
    {
        if !into_organization {
            return Err(outside_of(Reason::MemberNotInOrganization, id, &[&user.user_id]).into());
        }
        people::enter_organization(ctx, tx, id, &user.user_id).await?;
    }
    let member = Member {
        team_id: team.team_id.clone(),
        user_id: user.user_id.clone(),
        user_email: None,
        role: TeamRole::Admin,
        own_limits: AskedLimits::default().complete(&team.member_defaults, ctx.now),
        added_at: ctx.now,
    };
    tx.insert_member(&member).await?;
    joined.push(member);
    Ok(())
}

impl Answer for pb::CreateTeamResponse {}
