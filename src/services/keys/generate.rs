//! `GenerateKey`: a key and, once, its secret.

use crate::auth::Reach;
use crate::domain::fault::Refusal;
use crate::domain::ids::{TeamId, new_uuid};
use crate::domain::key::KeyType;
use crate::domain::key_rules::{Adjusted, Lifetime, NewKey, keep_below_ceiling};
use crate::domain::money::Usd;
use crate::domain::policy::Action;
use crate::domain::reason::Reason;
use crate::domain::role::{MemberPermission, TeamRole};
use crate::domain::secret::Secret;
use crate::domain::team::Team;
use crate::domain::throughput::ThroughputType;
use crate::domain::tier::{Tier, in_force};
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::access::{TeamStanding, manages_home_of_id, not_your_user, visible_team};
use crate::services::wire::answer::{Answer, Slot, once};
use crate::services::wire::consent::{self, with_consent};
use crate::services::wire::correction::{Owner, begin_with};
use crate::services::wire::faults::Faults;
use crate::services::wire::hold::hold_team;
use crate::services::wire::people::{self, MayMake, Person};
use crate::services::wire::{key, key_limits, new_key, secret, taken, text};
use crate::store::{Addition, Constraint, Spend, StoreError, StoredKey, View};

use super::rules;

/// A valid request.
#[derive(Clone)]
struct Command {
    new: NewKey,
    is_service_account: bool,
    /// Whether the request says what the key is for.
    names_type: bool,
    secret: Option<Secret>,
    spend: Option<Usd>,
    /// Whether the owner is made if there is none.
    makes_owner: bool,
    /// The request, as policies see it.
    asked: Box<pb::GenerateKeyRequest>,
}

/// Makes a key.
pub(super) async fn generate_key(ctx: Ctx, request: pb::GenerateKeyRequest) -> Result<pb::GenerateKeyResponse, Error> {
    let command = parse(&ctx, &request)?;
    once(&ctx, &request.request_id, &request, |slot| {
        with_consent(&ctx, move |ctx| generate(ctx, command.clone(), slot.clone()))
    })
    .await
}

fn parse(ctx: &Ctx, request: &pb::GenerateKeyRequest) -> Result<Command, Error> {
    let mut faults = Faults::default();
    let no_key = pb::Key::default();
    let sent = request.key.as_ref().unwrap_or(&no_key);
    text::request_id("request_id", &request.request_id, &mut faults);
    let mut new = new_key::take(sent, ("duration", request.duration.as_ref()), "key.", &mut faults);
    if request.service_account {
        if new.user_id.is_some() {
            faults.add("key.user_id", "must be absent: a service account has no owner");
        }
        if sent.team_id.as_ref().is_none_or(String::is_empty) {
            faults.add("key.team_id", "is required: a service account belongs to a team");
        }
    } else if new.service_account_id.is_some() {
        faults.add("key.service_account_id", "can be set on service accounts only");
    }
    if request.create_missing_user && new.user_id.is_none() {
        faults.add("create_missing_user", "can be set with key.user_id only");
    }
    if new.key_type == KeyType::Gateway {
        check_gateway(&new, &mut faults);
    }
    let secret = new_key::own_secret("new_secret", request.new_secret.as_ref(), &mut faults);
    let spend = faults.money("key.spend", sent.spend.as_ref());
    key_limits::check_increase(&new.limits, "key.", ctx.now, &mut faults);
    let auto_rotate = sent.auto_rotate.unwrap_or_default();
    new_key::check_rotation(auto_rotate, new.rotation_interval, "key.", &ctx.app.rules, &mut faults);
    require(ctx, &new, &mut faults);
    faults.finish()?;
    choose_owner(ctx, &mut new, request.service_account);
    let names_type = sent.key_type != 0;
    Ok(Command {
        new,
        is_service_account: request.service_account,
        names_type,
        secret,
        spend,
        makes_owner: request.create_missing_user,
        asked: Box::new(request.clone()),
    })
}

/// A sidecar's credential belongs to nobody and spends nothing.
fn check_gateway(new: &NewKey, faults: &mut Faults) {
    let set = [
        ("key.user_id", new.user_id.is_some()),
        ("key.team_id", new.team_id.is_some()),
        ("key.max_budget", new.max_budget.is_some()),
        ("key.soft_budget", new.soft_budget.is_some()),
        ("key.budget_duration", new.budget_duration.is_some()),
        ("key.budget_id", new.budget_id.is_some()),
        ("key.budget_limits", !new.limits.windows.is_empty()),
        ("key.model_max_budget", !new.limits.models.is_empty()),
        ("key.temp_budget_increase", new.limits.increase.is_some()),
    ];
    for (field, _) in set.into_iter().filter(|(_, set)| *set) {
        faults.add(field, "must be absent: a gateway key has no owner, no team and no budget");
    }
}

/// Who leaves the owner out means itself, unless it is an admin.
fn choose_owner(ctx: &Ctx, new: &mut NewKey, is_service_account: bool) {
    if new.user_id.is_none() && !is_service_account && !ctx.caller.is_proxy_admin() {
        new.user_id = ctx.caller.user_id().cloned();
    }
    if is_service_account && new.service_account_id.is_none() {
        new.service_account_id = Some(new.key_alias.clone().unwrap_or_else(|| new_uuid().to_string()));
    }
}

/// The setting `key_generation_settings` may require fields; not of admins.
fn require(ctx: &Ctx, new: &NewKey, faults: &mut Faults) {
    if !ctx.caller.is_proxy_admin() {
        let generation = &ctx.app.rules.generation;
        let required = if new.team_id.is_some() { &generation.team_required } else { &generation.personal_required };
        new_key::require(new, required, "key.", faults);
    }
}

async fn generate(ctx: Ctx, command: Command, slot: Slot) -> Result<pb::GenerateKeyResponse, Error> {
    let ctx = &ctx;
    let Command { mut new, is_service_account, names_type, secret, spend, makes_owner, asked } = command;
    check_reserved(ctx, &new, secret.as_ref(), (spend.is_some(), makes_owner))?;
    if new.rotation_interval.is_some() {
        ctx.app.rules.rotation.check_sink()?;
    }
    lend_no_rights(ctx, &mut new, names_type)?;
    new_key::narrow(ctx, &mut new)?;
    if new.team_id.is_none() {
        check_personal(ctx, &new).await?;
    }
    if new.team_id.is_none() && new.budget_id.is_none() && spend.is_none() && !makes_owner {
        let made = make(ctx, ctx.app.store.view(), new, secret, &asked, Place::default()).await?;
        return add(ctx, made, slot).await;
    }
    let mut tx = ctx.begin().await?;
    let team = if let Some(id) = &new.team_id {
        // Nobody leaves the team until its key is there, to die with the membership.
        if new.limits.throughput.guarantees_any() {
            hold_team(&mut tx, id, None).await?;
        } else {
            tx.lock_teams(std::slice::from_ref(id)).await?;
        }
        Some(check_team(ctx, tx.view(), &new, id, is_service_account).await?)
    } else {
        None
    };
    if let Some(owner) = new.user_id.as_ref().filter(|_| makes_owner) {
        let owner = Person::of_id(owner);
        if people::find(tx.view(), &owner, "key.user_id").await?.is_none() {
            people::make(ctx, &mut tx, &owner, &MayMake::Any).await?;
        }
    }
    let tier = rules::tier(&mut tx, new.budget_id.as_ref()).await?;
    let mut made = make(ctx, tx.view(), new, secret, &asked, Place { team: team.clone(), tier }).await?;
    rules::check_throughput(tx.view(), team.as_ref(), &made.stored.key, made.stored.tier.as_ref()).await?;
    tx.insert_key(&made.stored.key).await.map_err(|error| made.explain(error))?;
    if let Some(spend) = spend {
        let StoredKey { key, tier, .. } = &made.stored;
        begin_with(ctx, &mut tx, &Owner::Key(key.key_id), &in_force(&key.budget, tier.as_ref()), spend).await?;
        made.stored.spend = Spend { window: spend, lifetime: spend, ..Spend::default() };
    }
    let answer = made.to_answer(ctx);
    slot.keep(ctx, &mut tx, &answer).await?;
    ctx.commit(tx).await?;
    Ok(answer)
}

/// Adds a key that needs nothing to be locked, together with others that are
/// made at this moment.
async fn add(ctx: &Ctx, made: Made, slot: Slot) -> Result<pb::GenerateKeyResponse, Error> {
    let answer = made.to_answer(ctx);
    let record = slot.record(ctx, &answer)?;
    let addition =
        Addition { key: made.stored.key.clone(), record, author: ctx.author(ctx.caller.name()), now: ctx.now };
    let committed = ctx.app.store.add_key(addition).await.map_err(|error| made.explain(error))?;
    ctx.app.gate.absorb(&committed).await?;
    Ok(answer)
}

/// Where a key is made.
#[derive(Default)]
struct Place {
    team: Option<Team>,
    tier: Option<Tier>,
}

/// A key that may be added.
struct Made {
    stored: StoredKey,
    secret: Secret,
    adjusted: Vec<Adjusted>,
}

impl Made {
    fn to_answer(&self, ctx: &Ctx) -> pb::GenerateKeyResponse {
        pb::GenerateKeyResponse {
            secret: self.secret.reveal().to_owned(),
            key: Some(key::to_wire(&self.stored, &ctx.app.rules.calendar, ctx.now)),
            adjusted_fields: rules::adjusted_to_wire(self.adjusted.clone()),
        }
    }

    fn explain(&self, error: StoreError) -> Error {
        let alias = |constraint| self.stored.key.key_alias.clone().filter(|_| constraint == Constraint::KeyAlias);
        taken::explain(error, alias)
    }
}

/// The key that is asked for, if its owner may have it there.
async fn make(
    ctx: &Ctx,
    view: View<'_>,
    mut new: NewKey,
    secret: Option<Secret>,
    asked: &pb::GenerateKeyRequest,
    Place { team, tier }: Place,
) -> Result<Made, Error> {
    check_owner(ctx, view, &new, team.as_ref()).await?;
    let adjusted = shape(ctx, &mut new, team.as_ref(), tier.as_ref())?;
    let secret = secret.map_or_else(secret::fresh_secret, Ok)?;
    let mut key = new_key::issue(new, &secret, ctx.caller.name(), ctx.now);
    if let Some(tier) = &tier {
        key.budget.anchor = tier.anchor_of_new(&key.budget, ctx.now);
    }
    consent::check(ctx, Action::GenerateKey, asked, || (None, key::draft(ctx, &key, tier.as_ref())))?;
    let organization_id = team.and_then(|team| team.organization_id);
    Ok(Made { stored: StoredKey { key, spend: Spend::default(), organization_id, tier }, secret, adjusted })
}

/// Some values only a proxy admin sets.
fn check_reserved(
    ctx: &Ctx,
    new: &NewKey,
    secret: Option<&Secret>,
    (sets_spend, makes_owner): (bool, bool),
) -> Result<(), Refusal> {
    if ctx.caller.is_proxy_admin() {
        return Ok(());
    }
    if !new.allowed_routes.is_empty() {
        return Err(rules::field_refused("allowed_routes"));
    }
    if matches!(new.key_type, KeyType::Management | KeyType::Gateway) {
        return Err(rules::field_refused("key_type"));
    }
    if new.budget_id.is_some() {
        return Err(rules::field_refused("budget_id"));
    }
    if new.limits.increase.is_some() {
        return Err(rules::field_refused("temp_budget_increase"));
    }
    if sets_spend {
        return Err(rules::field_refused("spend"));
    }
    if makes_owner {
        return Err(rules::field_refused("create_missing_user"));
    }
    new_key::check_own_secret(ctx, secret)
}

/// May the caller, who is no proxy admin, make limits what they are to be?
fn check_limit_types(new: &NewKey, manages_team: bool) -> Result<(), Refusal> {
    let refused = |(_, kind): &(&str, Option<ThroughputType>)| kind.is_some_and(|kind| !kind.is_given(manages_team));
    match new.limits.throughput.fields().into_iter().find(refused) {
        Some((field, _)) => Err(rules::field_refused(field)),
        None => Ok(()),
    }
}

/// A key carries the rights of its owner. Whoever makes one for somebody else
/// learns its secret, and must not gain these: such a key calls models, no more.
fn lend_no_rights(ctx: &Ctx, new: &mut NewKey, names_type: bool) -> Result<(), Refusal> {
    let is_for_another = new.user_id.as_ref().is_some_and(|owner| !ctx.caller.is_user(owner));
    if ctx.caller.is_proxy_admin() || !is_for_another || new.key_type == KeyType::LlmApi {
        return Ok(());
    }
    if names_type {
        return Err(rules::field_refused("key_type"));
    }
    new.key_type = KeyType::LlmApi;
    Ok(())
}

/// May the caller make this key in this team?
async fn check_team(
    ctx: &Ctx,
    view: View<'_>,
    new: &NewKey,
    id: &TeamId,
    is_service_account: bool,
) -> Result<Team, Error> {
    let (team, standing) = visible_team(ctx, view, id).await?;
    let role = match standing {
        TeamStanding::ProxyAdmin => return Ok(team),
        TeamStanding::OrganizationAdmin | TeamStanding::Admin => TeamRole::Admin,
        TeamStanding::Member(_) | TeamStanding::Viewer | TeamStanding::Outsider => TeamRole::User,
    };
    if !ctx.app.rules.generation.team_roles.contains(&role) {
        return Err(generation_refused(role.into()));
    }
    check_limit_types(new, role == TeamRole::Admin)?;
    if role == TeamRole::Admin {
        return Ok(team);
    }
    let is_ownerless = is_service_account || new.user_id.is_none();
    let permission =
        if is_ownerless { MemberPermission::KeyGenerateServiceAccount } else { MemberPermission::KeyGenerate };
    if !ctx.scope.has(Reach::Permitted) || !standing.may(permission) {
        let name: &'static str = permission.into();
        let message = format!("the team does not permit {name} to its members");
        let refusal = Refusal::denied(Reason::TeamPermissionMissing, message);
        return Err(refusal.with("permission", name).with("team_id", id).into());
    }
    match &new.user_id {
        Some(user) if !ctx.caller.is_user(user) => Err(not_your_user(user).into()),
        _ => Ok(team),
    }
}

/// May the caller make this key outside a team?
async fn check_personal(ctx: &Ctx, new: &NewKey) -> Result<(), Error> {
    if ctx.caller.is_proxy_admin() {
        return Ok(());
    }
    check_limit_types(new, false)?;
    let manages_owner = match new.user_id.as_ref().filter(|owner| !ctx.caller.is_user(owner)) {
        Some(owner) => manages_home_of_id(ctx, ctx.app.store.view(), owner).await?,
        None => false,
    };
    let Some(user) = ctx.caller.user().filter(|_| manages_owner || ctx.scope.has(Reach::Own)) else {
        let message = "your role makes no keys outside a team";
        return Err(ctx.caller.role_refused(ctx.rpc, "proxy_admin,internal_user", message).into());
    };
    match &new.user_id {
        Some(owner) if *owner != user.user_id && !manages_owner => Err(not_your_user(owner).into()),
        _ if !ctx.app.rules.generation.user_roles.contains(&user.role) => Err(generation_refused(user.role.into())),
        _ => Ok(()),
    }
}

fn generation_refused(role: &'static str) -> Error {
    let message = format!("the setting key_generation_settings does not let the role {role} make such keys");
    Refusal::denied(Reason::GenerationNotAllowed, message).with("role", role).into()
}

/// The owner must exist, be active, and be in the team.
async fn check_owner(ctx: &Ctx, view: View<'_>, new: &NewKey, team: Option<&Team>) -> Result<(), Error> {
    let Some(id) = &new.user_id else { return Ok(()) };
    let user = rules::owner(view, id).await?;
    if let Some(team) = team {
        rules::check_membership(view, &team.team_id, id).await?;
    }
    rules::check_active(&user)?;
    match team {
        Some(_) => Ok(()),
        None if ctx.caller.is_proxy_admin() => Ok(()),
        None => Ok(rules::check_models(ctx, &new.models, &user.models, "user")?),
    }
}

/// Defaults, bounds, and what nobody can give away.
fn shape(ctx: &Ctx, new: &mut NewKey, team: Option<&Team>, tier: Option<&Tier>) -> Result<Vec<Adjusted>, Error> {
    if new.key_type == KeyType::Gateway {
        return Ok(Vec::new());
    }
    if let Some(team) = team.filter(|_| new.user_id.is_some()) {
        new.duration = new.duration.or(team.team_member_key_duration.map(Lifetime::For));
    }
    let asks_for_budget = new.max_budget.is_some();
    let mut adjusted = new_key::shape(new, &ctx.app.rules, tier).map_err(Error::Invalid)?;
    if !ctx.caller.is_proxy_admin() {
        let ceiling = rules::ceiling(ctx, team);
        if let Some(filled) = keep_below_ceiling(&mut new.max_budget, asks_for_budget, ceiling)? {
            adjusted.retain(|earlier| earlier.path != filled.path);
            adjusted.push(filled);
        }
        if let Some(team) = team {
            rules::check_models(ctx, &new.models, &team.models, "team")?;
        }
    }
    let mut faults = Faults::default();
    new_key::check_shaped(new, "key.", &mut faults.0);
    faults.finish()?;
    Ok(adjusted)
}

impl Answer for pb::GenerateKeyResponse {
    fn take_secret(&mut self) -> Option<String> {
        Some(std::mem::take(&mut self.secret))
    }

    fn put_secret(&mut self, secret: String) {
        self.secret = secret;
    }
}
