//! `CreateUser`: a user, its memberships and its first key, all or nothing.

use crate::domain::ids::{OrganizationId, TeamId, UserId};
use crate::domain::invitation::DEFAULT_SECONDS;
use crate::domain::key::KeyType;
use crate::domain::key_rules::NewKey;
use crate::domain::money::Usd;
use crate::domain::organization::OrganizationMember;
use crate::domain::password::PasswordHash;
use crate::domain::policy::Action;
use crate::domain::role::{OrganizationRole, Role, TeamRole};
use crate::domain::team::Member;
use crate::domain::user::{NewUser, User};
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::answer::{Answer, Slot, once};
use crate::services::wire::consent::{self, with_consent};
use crate::services::wire::correction::{Owner, begin_at_zero, begin_with};
use crate::services::wire::faults::Faults;
use crate::services::wire::user::Shown;
use crate::services::wire::{key, key_limits, new_key, secret, taken, text, user};
use crate::store::{Constraint, Spend, StoredKey, StoredUser};

use super::invitations::create::invite;
use super::{admission, fields};

/// A valid request.
#[derive(Clone)]
pub(super) struct Command {
    pub(super) new: NewUser,
    pub(super) key: Option<NewKey>,
    /// Whether the request names the type of the key.
    pub(super) names_key_type: bool,
    pub(super) spend: Option<Usd>,
    pub(super) organizations: Vec<OrganizationId>,
    pub(super) invites: bool,
    pub(super) password: Option<PasswordHash>,
    /// The request, as policies see it.
    pub(super) asked: Box<pb::CreateUserRequest>,
}

/// Makes a user.
pub(super) async fn create_user(ctx: Ctx, request: pb::CreateUserRequest) -> Result<pb::CreateUserResponse, Error> {
    let command = parse(&request)?;
    once(&ctx, &request.request_id, &request, |slot| create(&ctx, command, slot)).await
}

fn parse(request: &pb::CreateUserRequest) -> Result<Command, Error> {
    let mut faults = Faults::default();
    let (no_user, no_key) = (pb::User::default(), pb::Key::default());
    let user = request.user.as_ref().unwrap_or(&no_user);
    text::request_id("request_id", &request.request_id, &mut faults);
    let wants_key = request.auto_create_key.unwrap_or(true);
    if !wants_key && request.key.is_some() {
        faults.add("key", "must not be set when auto_create_key is false");
    }
    let asked = request.key.as_ref().unwrap_or(&no_key);
    for (field, set) in [
        ("key.user_id", asked.user_id.is_some()),
        ("key.service_account_id", asked.service_account_id.is_some()),
        ("key.spend", asked.spend.is_some()),
        ("key.budget_id", asked.budget_id.is_some()),
        ("key.auto_rotate", asked.auto_rotate == Some(true)),
        ("key.rotation_interval", asked.rotation_interval.is_some()),
        ("key.tpm_limit_type", asked.tpm_limit_type() != pb::LimitType::Unspecified),
        ("key.rpm_limit_type", asked.rpm_limit_type() != pb::LimitType::Unspecified),
    ] {
        if set {
            faults.add(field, "can't be set here");
        }
    }
    if asked.key_type() == pb::KeyType::Gateway {
        faults.add("key.key_type", "can't be KEY_TYPE_GATEWAY: a gateway key has no owner");
    }
    let key = new_key::take(asked, ("key_duration", request.key_duration.as_ref()), "key.", &mut faults);
    let command = Command {
        new: fields::take_new(user, &mut faults),
        key: wants_key.then_some(key),
        names_key_type: asked.key_type() != pb::KeyType::Unspecified,
        spend: faults.money("user.spend", user.spend.as_ref()),
        organizations: fields::memberships(
            "organization_ids",
            &request.organization_ids,
            OrganizationId::parse,
            &mut faults,
        ),
        invites: request.send_invitation,
        password: None,
        asked: Box::new(request.clone()),
    };
    faults.finish()?;
    Ok(command)
}

/// Makes a user by a valid request; also for `UpdateUser` with `allow_missing`.
pub(super) async fn create(ctx: &Ctx, mut command: Command, slot: Slot) -> Result<pb::CreateUserResponse, Error> {
    // The same one each time that the work is done.
    command.new.user_id.get_or_insert_with(UserId::generate);
    with_consent(ctx, |ctx| make(ctx, command.clone(), slot.clone())).await
}

async fn make(ctx: Ctx, command: Command, slot: Slot) -> Result<pb::CreateUserResponse, Error> {
    let ctx = &ctx;
    let mut tx = ctx.begin().await?;
    admission::check_rights(ctx, &mut tx, &command).await?;
    let Command { mut new, key, names_key_type: _, spend, mut organizations, invites, password, asked } = command;
    if !ctx.scope.is_all() {
        // Who made the user goes on managing it.
        new.home_organization_id = organizations.first().cloned();
    }
    organizations.sort_unstable();
    let asked_teams = new.team_ids.clone();
    let (mut made, mut teams) = new.complete(&ctx.app.rules.users, Role::InternalUserViewer, ctx.now);
    if password.is_some() {
        made.set_password(password, ctx.now);
    }
    teams.sort_unstable();
    let mut faults = Faults::default();
    made.budget.check_new("user.", &mut faults.0);
    let mut key = key.map(|key| shape_key(ctx, key, &made, &mut faults));
    faults.finish()?;
    if let Some(key) = &mut key {
        new_key::narrow(ctx, key)?;
        admission::check_team_of_key(key, &made.user_id, &teams)?;
    }

    admission::check_organizations(&mut tx, &made, &organizations).await?;
    admission::check_teams(ctx, &tx, &asked_teams, &teams, &organizations).await?;
    let alias = key.as_ref().and_then(|key| key.key_alias.clone());
    let explain = |error| taken::explain(error, |constraint| name_of(constraint, &made, alias.as_ref()));
    tx.insert_user(&made).await.map_err(explain)?;
    for organization_id in &organizations {
        tx.insert_organization_member(&organization_member(organization_id, &made, ctx)).await?;
    }
    for team_id in &teams {
        tx.insert_member(&member(team_id, &made, ctx)).await?;
    }
    let memberships = teams.iter().map(|team_id| Owner::Member(team_id, &made.user_id));
    let places = organizations.iter().map(|id| Owner::OrganizationMember(id, &made.user_id));
    let owners: Vec<Owner<'_>> = memberships.chain(places).chain([Owner::User(&made.user_id)]).collect();
    begin_at_zero(&mut tx, &owners).await?;
    if let Some(spend) = spend {
        begin_with(ctx, &mut tx, &Owner::User(&made.user_id), &made.budget, spend).await?;
    }
    let (secret, stored_key) = match key {
        None => (String::new(), None),
        Some(key) => {
            let secret = secret::fresh_secret()?;
            let key = new_key::issue(key, &secret, ctx.caller.name(), ctx.now);
            consent::check(ctx, Action::GenerateKey, &*asked, || (None, key::draft(ctx, &key, None)))?;
            tx.insert_key(&key).await.map_err(explain)?;
            (
                secret.reveal().to_owned(),
                Some(StoredKey { key, spend: Spend::default(), organization_id: None, tier: None }),
            )
        }
    };

    let (invitation, invitation_token) = if invites {
        let (invitation, token) = invite(ctx, &mut tx, &made, DEFAULT_SECONDS).await?;
        (Some(invitation), token)
    } else {
        (None, String::new())
    };

    let calendar = &ctx.app.rules.calendar;
    let shown = Shown { team_ids: teams, key_count: i64::from(stored_key.is_some()) };
    let imported = spend.unwrap_or_default();
    let spend = Spend { window: imported, personal: imported, lifetime: imported, last_used_at: None };
    let answer = pb::CreateUserResponse {
        user: Some(user::to_wire(&StoredUser { user: made.clone(), spend }, &shown, calendar, ctx.now)),
        secret,
        key: stored_key.map(|stored| key::to_wire(&stored, calendar, ctx.now)),
        invitation,
        invitation_token,
    };
    slot.keep(ctx, &mut tx, &answer).await?;
    ctx.commit(tx).await?;
    Ok(answer)
}

/// The key that comes with a user: what its request leaves out is taken from
/// the user, then from the settings.
fn shape_key(ctx: &Ctx, mut key: NewKey, user: &User, faults: &mut Faults) -> NewKey {
    key.user_id = Some(user.user_id.clone());
    if !ctx.scope.is_all() {
        // Who learns the secret of a key for another gains no rights by it.
        key.key_type = KeyType::LlmApi;
    }
    if key.models.is_empty() {
        key.models.clone_from(&inherited_models(user));
    }
    key.rates.tpm = key.rates.tpm.or(user.rates.tpm);
    key.rates.rpm = key.rates.rpm.or(user.rates.rpm);
    key.rates.parallel = key.rates.parallel.or(user.rates.parallel);
    if key.metadata.is_empty() {
        key.metadata.clone_from(&user.metadata);
    }
    if let Err(violations) = new_key::shape(&mut key, &ctx.app.rules, None) {
        faults.0.extend(violations);
    }
    new_key::check_shaped(&key, "key.", &mut faults.0);
    key_limits::check_increase(&key.limits, "key.", ctx.now, faults);
    key
}

/// A user's models as a key can have them.
fn inherited_models(user: &User) -> crate::domain::models::ModelList {
    use crate::domain::models::{ModelList, NO_DEFAULT_MODELS};
    ModelList::stored(user.models.iter().filter(|name| *name != NO_DEFAULT_MODELS).map(str::to_owned).collect())
}

fn member(team_id: &TeamId, user: &User, ctx: &Ctx) -> Member {
    Member {
        team_id: team_id.clone(),
        user_id: user.user_id.clone(),
        user_email: None,
        role: TeamRole::User,
        own_limits: None,
        added_at: ctx.now,
    }
}

fn organization_member(organization_id: &OrganizationId, user: &User, ctx: &Ctx) -> OrganizationMember {
    OrganizationMember {
        organization_id: organization_id.clone(),
        user_id: user.user_id.clone(),
        user_email: None,
        role: OrganizationRole::InternalUser,
        max_budget_in_organization: None,
        added_at: ctx.now,
    }
}

fn name_of(constraint: Constraint, user: &User, alias: Option<&String>) -> Option<String> {
    match constraint {
        Constraint::UserId => Some(user.user_id.to_string()),
        Constraint::UserEmail => user.user_email.as_ref().map(ToString::to_string),
        Constraint::KeyAlias => alias.cloned(),
        _ => None,
    }
}

/// Two secrets are kept as one, a line each.
impl Answer for pb::CreateUserResponse {
    fn take_secret(&mut self) -> Option<String> {
        let secret = std::mem::take(&mut self.secret);
        let token = std::mem::take(&mut self.invitation_token);
        (!secret.is_empty() || !token.is_empty()).then(|| format!("{secret}\n{token}"))
    }

    fn put_secret(&mut self, secrets: String) {
        if let Some((secret, token)) = secrets.split_once('\n') {
            secret.clone_into(&mut self.secret);
            token.clone_into(&mut self.invitation_token);
        }
    }
}
