//! Welcome: what happens when a token of an identity provider is seen for the
//! first time. Its organization, teams and user are made, and its role and memberships
//! become those of the token, as far as the issuer's settings say so.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::auth::{Newcomer, Welcome};
use crate::domain::clock::Timestamp;
use crate::domain::fault::Refusal;
use crate::domain::ids::{OrganizationId, TeamId, UserId};
use crate::domain::organization::{Organization, check_team};
use crate::domain::reason::Reason;
use crate::domain::role::{Role, TeamRole};
use crate::domain::team::{Member, Team};
use crate::domain::token::Changes;
use crate::domain::user::{NewUser, User};
use crate::error::Error;
use crate::services::wire::correction::{Owner, begin_at_zero};
use crate::services::wire::people;
use crate::services::{App, Ctx};
use crate::store::{Constraint, StoreError, Tx, View};
use crate::traces::carried;

/// What audit entries name in place of an RPC.
const SIGN_IN: &str = "sign-in";

/// The most teams of one user that are looked at.
const TEAMS_MAX: u64 = 10_000;

/// Welcomes users whom identity providers know.
pub struct Host(pub Arc<App>);

impl Welcome for Host {
    fn welcome(&self, newcomer: Newcomer, now: Timestamp) -> BoxFuture<'_, Result<(), Error>> {
        let ctx = Ctx::of_nobody(&self.0, SIGN_IN, now);
        // To its end, whether the client waits for it or not.
        let task = tokio::spawn(carried(async move {
            if may_come_in(&ctx, &newcomer).await? {
                make_organization(&ctx, &newcomer).await?;
                make_teams(&ctx, &newcomer).await?;
            }
            match &newcomer.stated.user_id {
                Some(user_id) => welcome(&ctx, &newcomer, user_id).await,
                None => Ok(()),
            }
        }));
        Box::pin(async { task.await.unwrap_or_else(|error| Err(Error::internal(error))) })
    }
}

/// Nothing is made for a user that is blocked, or is not there and won't be.
async fn may_come_in(ctx: &Ctx, newcomer: &Newcomer) -> Result<bool, Error> {
    let Some(id) = &newcomer.stated.user_id else { return Ok(true) };
    let user = ctx.app.store.view().find_user(id).await?;
    Ok(user.map_or(newcomer.realm.creates_users, |user| !user.blocked))
}

/// Makes the organization if it is not there yet; somebody else may be faster.
async fn make_organization(ctx: &Ctx, newcomer: &Newcomer) -> Result<(), Error> {
    let Some(id) = newcomer.realm.organization_to_make(&newcomer.stated) else { return Ok(()) };
    if ctx.app.store.view().find_organization(id).await?.is_some() {
        return Ok(());
    }
    let mut tx = ctx.begin_as(actor(newcomer)).await?;
    match tx.insert_organization(&Organization::new(id.clone(), ctx.now)).await {
        Err(StoreError::Taken(Constraint::OrganizationId)) => return Ok(()),
        made => made?,
    }
    begin_at_zero(&mut tx, &[Owner::Organization(id)]).await?;
    ctx.commit(tx).await
}

/// Makes the teams that are not there yet; somebody else may be faster.
async fn make_teams(ctx: &Ctx, newcomer: &Newcomer) -> Result<(), Error> {
    let view = ctx.app.store.view();
    for id in newcomer.realm.teams_to_make(&newcomer.stated) {
        if view.find_team(id).await?.is_some() {
            continue;
        }
        let mut team = Team::new(id.clone(), ctx.now);
        ctx.app.rules.teams.fill(&mut team, ctx.now);
        team.idp_managed_by = Some(newcomer.realm.name.to_string());
        let mut tx = ctx.begin_as(actor(newcomer)).await?;
        if let Some(id) = &team.organization_id {
            let not_found = || Refusal::not_found(Reason::OrganizationNotFound, "organization", [id]);
            let organization = tx.lock_organizations(std::slice::from_ref(id)).await?.into_iter().next();
            check_team(&organization.ok_or_else(not_found)?, &team, &ctx.app.gate.prices())?;
        }
        match tx.insert_team(&team).await {
            Err(StoreError::Taken(Constraint::TeamId)) => continue,
            made => made?,
        }
        begin_at_zero(&mut tx, &[Owner::Team(id)]).await?;
        ctx.commit(tx).await?;
    }
    Ok(())
}

/// Who makes changes for a newcomer, in audit entries.
fn actor(newcomer: &Newcomer) -> String {
    format!("idp:{}", newcomer.realm.name)
}

async fn welcome(ctx: &Ctx, newcomer: &Newcomer, user_id: &UserId) -> Result<(), Error> {
    let view = ctx.app.store.view();
    let user = view.find_user(user_id).await?;
    if user.is_none() && !newcomer.realm.creates_users {
        return Ok(());
    }
    if let Some(user) = user
        && changes_of(view, newcomer, &user).await?.are_none()
    {
        return Ok(());
    }
    let mut tx = ctx.begin_as(actor(newcomer)).await?;
    // The order of locks: proxy admins, organizations, teams.
    if newcomer.realm.sets_roles {
        tx.lock_proxy_admins().await?;
    }
    let teams = lock_teams(ctx, &mut tx, newcomer, user_id).await?;
    let (user, first_teams) = match tx.view().find_user(user_id).await? {
        Some(user) => (user, Vec::new()),
        None => make(ctx, &mut tx, newcomer, user_id).await?,
    };
    let mut changes = changes_of(tx.view(), newcomer, &user).await?;
    changes.joins.extend(first_teams);
    if let Some(role) = changes.role {
        set_role(ctx, &mut tx, &user, role).await?;
    }
    for team in teams.iter().filter(|team| changes.joins.contains(&team.team_id)) {
        join(ctx, &mut tx, &user, team).await?;
    }
    for team in &changes.leaves {
        if let Some(member) = tx.view().find_member(team, user_id).await? {
            tx.remove_member(&member).await?;
        }
    }
    ctx.commit(tx).await
}

async fn changes_of(view: View<'_>, newcomer: &Newcomer, user: &User) -> Result<Changes, Error> {
    let memberships = view.memberships(&user.user_id, TEAMS_MAX).await?;
    let ids: Vec<_> = memberships.into_iter().map(|member| member.team_id).collect();
    let teams = view.teams_by_id(&ids).await?;
    let named: Vec<_> = newcomer.stated.teams.all().cloned().collect();
    let named = view.teams_by_id(&named).await?;
    Ok(Changes::of(&newcomer.stated, &newcomer.realm, user.user_role, &teams, &named))
}

/// Locks the teams of the token, of its user and of new users, and their
/// organizations, as far as they exist.
async fn lock_teams(ctx: &Ctx, tx: &mut Tx, newcomer: &Newcomer, user_id: &UserId) -> Result<Vec<Team>, Error> {
    let memberships = tx.view().memberships(user_id, TEAMS_MAX).await?;
    let mut ids: Vec<_> = newcomer.stated.teams.all().chain(&ctx.app.rules.users.team_ids).cloned().collect();
    ids.extend(memberships.into_iter().map(|member| member.team_id));
    ids.sort_unstable();
    ids.dedup();
    let teams = tx.view().teams_by_id(&ids).await?;
    let mut organizations: Vec<OrganizationId> = teams.into_iter().filter_map(|team| team.organization_id).collect();
    organizations.sort_unstable();
    organizations.dedup();
    tx.lock_organizations(&organizations).await?;
    Ok(tx.lock_teams(&ids).await?)
}

/// Makes the user, with the configured defaults, and says which teams those
/// name; somebody else may have made it at the same moment.
async fn make(ctx: &Ctx, tx: &mut Tx, newcomer: &Newcomer, user_id: &UserId) -> Result<(User, Vec<TeamId>), Error> {
    let new = NewUser {
        user_id: Some(user_id.clone()),
        user_email: newcomer.stated.email.clone(),
        user_role: newcomer.stated.role,
        ..NewUser::default()
    };
    let (user, teams) = new.complete(&ctx.app.rules.users, Role::InternalUserViewer, ctx.now);
    if tx.insert_user_if_absent(&user).await? {
        begin_at_zero(tx, &[Owner::User(user_id)]).await?;
        return Ok((user, teams));
    }
    let email = newcomer.stated.email.as_ref();
    let address_is_taken = || {
        let message = "another user has the token's e-mail address; a proxy admin must give it up there first";
        Refusal::exists(Reason::UserEmailExists, message).with("user_email", email.map_or("", |email| email.as_str()))
    };
    let user = tx.view().find_user(user_id).await?.ok_or_else(address_is_taken)?;
    Ok((user, Vec::new()))
}

/// The last proxy admin stays one, whatever its issuer says.
async fn set_role(ctx: &Ctx, tx: &mut Tx, user: &User, role: Role) -> Result<(), Error> {
    let is_last = user.user_role == Role::ProxyAdmin
        && !user.blocked
        && tx.view().count_other_proxy_admins(std::slice::from_ref(&user.user_id)).await? == 0;
    if is_last {
        return Ok(());
    }
    let mut after = User { updated_at: ctx.now, ..user.clone() };
    after.set_role(role, &ctx.app.rules.users, &ctx.app.rules.calendar, ctx.now);
    Ok(tx.update_user(user, &mut after).await?)
}

async fn join(ctx: &Ctx, tx: &mut Tx, user: &User, team: &Team) -> Result<(), Error> {
    let user_id = &user.user_id;
    if let Some(organization_id) = &team.organization_id {
        people::enter_organization(ctx, tx, organization_id, user_id).await?;
    }
    let member = Member {
        team_id: team.team_id.clone(),
        user_id: user_id.clone(),
        user_email: None,
        role: TeamRole::User,
        own_limits: None,
        added_at: ctx.now,
    };
    if tx.insert_member(&member).await? {
        begin_at_zero(tx, &[Owner::Member(&team.team_id, user_id)]).await?;
    }
    Ok(())
}
