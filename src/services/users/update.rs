//! `UpdateUser`: changes of a user, by its admins or by itself.

use crate::auth::{Credential, Reach};
use crate::domain::audit::{Change, ObjectType};
use crate::domain::fault::{Refusal, Violation};
use crate::domain::ids::{OrganizationId, UserId};
use crate::domain::model_limit::{ModelLimits, following};
use crate::domain::models::{ListOwner, ModelList};
use crate::domain::money::Usd;
use crate::domain::password::Password;
use crate::domain::patch::Patch;
use crate::domain::reason::Reason;
use crate::domain::role::Role;
use crate::domain::user::{Email, HOME_ADMIN_FIELDS, SELF_FIELDS, User};
use crate::domain::window::Length;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::answer::Slot;
use crate::services::wire::correction::{Owner, keep_window, set_spend};
use crate::services::wire::faults::Faults;
use crate::services::wire::mask::Mask;
use crate::services::wire::metadata::MetadataPatch;
use crate::services::wire::{access, etag, role, taken, text, user};
use crate::store::{Constraint, Tx};

use super::create::{self, Command as CreateCommand};
use super::{fields, password, shown};

/// The fields that a mask may name.
const FIELDS: [&str; 17] = [
    "user_email",
    "user_alias",
    "user_role",
    "models",
    "max_budget",
    "soft_budget",
    "budget_duration",
    "tpm_limit",
    "rpm_limit",
    "max_parallel_requests",
    "model_max_budget",
    "metadata",
    "metadata.*",
    "blocked",
    "home_organization_id",
    "password",
    "spend",
];

/// A valid request.
struct Command {
    who: Who,
    etag: String,
    patch: UserPatch,
    /// Whether the request holds both budgets, so that a bad pair is its fault.
    missing: Option<CreateCommand>,
    password: Patch<Password>,
    old_password: String,
}

enum Who {
    Id(UserId),
    Email(Email),
}

#[derive(Default)]
struct UserPatch {
    email: Patch<Email>,
    alias: Patch<String>,
    role: Patch<Role>,
    models: Patch<ModelList>,
    max: Patch<Usd>,
    soft: Patch<Usd>,
    duration: Patch<Length>,
    tpm: Patch<i64>,
    rpm: Patch<i64>,
    parallel: Patch<i64>,
    model_limits: Patch<ModelLimits>,
    metadata: MetadataPatch,
    blocked: Patch<bool>,
    home: Patch<OrganizationId>,
    spend: Patch<Usd>,
}

/// Changes a user.
pub(super) async fn update_user(ctx: Ctx, request: pb::UpdateUserRequest) -> Result<pb::UpdateUserResponse, Error> {
    let command = parse(&ctx, &request)?;
    let view = ctx.app.store.view();
    let found = match &command.who {
        Who::Id(id) => view.find_user(id).await?,
        Who::Email(email) => view.find_user_by_email(email).await?,
    };
    let Some(before) = found else { return create_missing(&ctx, command).await };
    let id = before.user_id.clone();
    let manages_home = access::manages_home_of(&ctx, view, &before).await?;
    if !ctx.scope.is_all() && !manages_home && !ctx.caller.is_user(&id) {
        let sees = ctx.caller.user().is_some_and(|user| user.role == Role::ProxyAdminViewer)
            || access::sees_user(&ctx, view, &id).await?;
        return Err(if sees { access::not_your_user(&id).into() } else { not_found(&command.who).into() });
    }
    // Large, and awaited once for each of a batch.
    Box::pin(change(&ctx, before, manages_home, command)).await?;
    let stored = ctx.app.store.view().find_stored_user(&id, ctx.now).await?;
    let stored = stored.ok_or_else(|| Refusal::not_found(Reason::UserNotFound, "user", [&id]))?;
    let shown = shown::of_one(&ctx, &id).await?;
    Ok(pb::UpdateUserResponse { user: Some(user::to_wire(&stored, &shown, &ctx.app.rules.calendar, ctx.now)) })
}

fn parse(ctx: &Ctx, request: &pb::UpdateUserRequest) -> Result<Command, Error> {
    let mut faults = Faults::default();
    let no_user = pb::User::default();
    let sent = request.user.as_ref().unwrap_or(&no_user);
    let id = text::user_id("user.user_id", &sent.user_id, &mut faults);
    let email = fields::email("user.user_email", sent.user_email.as_ref(), &mut faults);
    let mask = Mask::new(request.update_mask.as_ref(), &FIELDS, &mut faults);
    if sent.user_id.is_empty() && sent.user_email.as_ref().is_none_or(String::is_empty) {
        let rule = "must be set, or user.user_email";
        faults.add_named("user.user_id", Reason::UserReferenceMissing, rule);
    }
    let email_patch = match &id {
        // Without an id the address says who is meant.
        None => Patch::Keep,
        Some(_) => mask.field("user_email", email.clone()),
    };
    let new = fields::take_new(sent, &mut faults);
    let patch = UserPatch {
        email: email_patch,
        alias: mask.field("user_alias", new.user_alias.clone()),
        role: mask.field("user_role", role::role_from_wire("user.user_role", sent.user_role, &mut Faults::default())),
        models: mask.list(
            "models",
            ModelList::parse(&sent.models, ListOwner::UserOrTeam, "user.models", &mut Vec::new()),
            sent.models.is_empty(),
        ),
        max: mask.field("max_budget", new.max_budget),
        soft: mask.field("soft_budget", new.soft_budget),
        duration: mask.field("budget_duration", new.budget_duration),
        tpm: mask.field("tpm_limit", sent.tpm_limit),
        rpm: mask.field("rpm_limit", sent.rpm_limit),
        parallel: mask.field("max_parallel_requests", sent.max_parallel_requests),
        model_limits: mask.list("model_max_budget", new.model_limits.clone(), sent.model_max_budget.is_empty()),
        metadata: MetadataPatch::take("user.metadata", &mask, sent.metadata.as_ref(), &mut Faults::default()),
        blocked: mask.field("blocked", sent.blocked),
        home: mask.field("home_organization_id", new.home_organization_id.clone()),
        spend: mask.field("spend", faults.money("user.spend", sent.spend.as_ref())),
    };
    let password = request.password.as_ref().and_then(|text| faults.take("password", Password::chosen(text)));
    let password = mask.field("password", password);
    if patch.role == Patch::Clear {
        faults.add("user.user_role", "can't be cleared: every user has a role");
    }
    faults.finish()?;
    let who = match (id, email) {
        (Some(id), _) => Who::Id(id),
        (None, Some(email)) => Who::Email(email),
        // Reported above.
        (None, None) => return Err(Error::internal("a user reference vanished")),
    };
    let spend = if let Patch::Set(spend) = patch.spend { Some(spend) } else { None };
    let missing = request.allow_missing.then_some(CreateCommand {
        new,
        key: None,
        names_key_type: false,
        spend,
        organizations: Vec::new(),
        invites: false,
        password: None,
        asked: Box::default(),
    });
    if missing.is_some() && !ctx.caller.is_proxy_admin() {
        let message = "only proxy admins may make users, as allow_missing would";
        return Err(ctx.caller.role_refused(ctx.rpc, "proxy_admin", message).into());
    }
    Ok(Command { who, etag: sent.etag.clone(), patch, missing, password, old_password: request.old_password.clone() })
}

fn not_found(who: &Who) -> Refusal {
    match who {
        Who::Id(id) => Refusal::not_found(Reason::UserNotFound, "user", [id.as_str()]),
        Who::Email(email) => Refusal::not_found(Reason::UserNotFound, "user", [email.as_str()]),
    }
}

async fn create_missing(ctx: &Ctx, command: Command) -> Result<pb::UpdateUserResponse, Error> {
    let Some(mut create) = command.missing else { return Err(not_found(&command.who).into()) };
    if let Patch::Set(password) = command.password {
        create.password = Some(ctx.app.sign_in.passwords.hash(password).await?);
    }
    // Rarely taken, and large.
    let made = Box::pin(create::create(ctx, create, Slot::none())).await?;
    Ok(pb::UpdateUserResponse { user: made.user })
}

async fn change(ctx: &Ctx, before: User, manages_home: bool, command: Command) -> Result<(), Error> {
    let Command { etag: sent_etag, mut patch, password, old_password, .. } = command;
    let spend = std::mem::take(&mut patch.spend);
    let metadata = std::mem::take(&mut patch.metadata);
    let mut after = apply(ctx, &before, patch);
    if !metadata.apply(&mut after.metadata) {
        return Err(Error::invalid(Violation::new("user.metadata", "must have at most 65536 bytes as JSON")));
    }
    if !password.is_keep() {
        let set = password::change(ctx, &before, password, &old_password).await?;
        after.set_password(set, ctx.now);
    }
    check_rights(ctx, &before, &after, manages_home, &spend)?;
    etag::check(&sent_etag, before.version, "user", &before.user_id)?;
    after.budget.check_updated()?;
    let mut tx = ctx.begin().await?;
    keep_an_admin(ctx, &mut tx, &before, &after).await?;
    check_home(&tx, &before, &after).await?;
    let email = after.user_email.clone();
    tx.update_user(&before, &mut after).await.map_err(|error| match error {
        crate::store::StoreError::Stale => Refusal::stale("user", &before.user_id).into(),
        error => taken::explain(error, |constraint| {
            email.as_ref().filter(|_| constraint == Constraint::UserEmail).map(ToString::to_string)
        }),
    })?;
    keep_window(ctx, &mut tx, &Owner::User(&before.user_id), &before.budget, &after.budget).await?;
    if let Patch::Set(wanted) = spend {
        set_spend(ctx, &mut tx, &Owner::User(&before.user_id), &after.budget, wanted).await?;
    }
    ctx.commit(tx).await
}

fn apply(ctx: &Ctx, before: &User, patch: UserPatch) -> User {
    let mut after = before.clone();
    patch.email.apply(&mut after.user_email);
    patch.alias.apply(&mut after.user_alias);
    patch.models.apply_or_default(&mut after.models);
    patch.max.apply(&mut after.budget.max);
    patch.soft.apply(&mut after.budget.soft);
    after.budget.set_duration(patch.duration, &ctx.app.rules.calendar, ctx.now);
    patch.tpm.apply(&mut after.rates.tpm);
    patch.rpm.apply(&mut after.rates.rpm);
    patch.parallel.apply(&mut after.rates.parallel);
    patch.model_limits.apply_or_default(&mut after.model_limits);
    after.model_limits = following(after.model_limits, &before.model_limits, ctx.now);
    patch.blocked.apply_or_default(&mut after.blocked);
    patch.home.apply(&mut after.home_organization_id);
    if let Patch::Set(role) = patch.role
        && role != before.user_role
    {
        after.set_role(role, &ctx.app.rules.users, &ctx.app.rules.calendar, ctx.now);
    }
    after
}

/// Everybody changes some fields of itself, the admins of its home some more;
/// only proxy admins the rest.
fn check_rights(ctx: &Ctx, before: &User, after: &User, manages_home: bool, spend: &Patch<Usd>) -> Result<(), Refusal> {
    if ctx.scope.has(Reach::All) {
        return Ok(());
    }
    let change = Change::updated(ObjectType::User, &before.user_id, before, after);
    let mut changed = change.iter().flat_map(Change::fields).chain((!spend.is_keep()).then_some("spend"));
    let may_write = |field: &str| {
        let own = ctx.caller.is_user(&before.user_id) && SELF_FIELDS.contains(&field);
        // Nobody raises its own limits.
        own || (manages_home && !ctx.caller.is_user(&before.user_id) && HOME_ADMIN_FIELDS.contains(&field))
    };
    match changed.find(|field| !may_write(field)) {
        None => Ok(()),
        Some(field) => {
            let message = format!("you may not change {field}; ask a proxy admin");
            Err(Refusal::denied(Reason::FieldNotAllowed, message).with("field", field))
        }
    }
}

/// The home of a user is an organization that it is in.
async fn check_home(tx: &Tx, before: &User, after: &User) -> Result<(), Error> {
    let Some(home) = &after.home_organization_id else { return Ok(()) };
    if before.home_organization_id.as_ref() == Some(home)
        || tx.view().find_organization_member(home, &after.user_id).await?.is_some()
    {
        return Ok(());
    }
    Err(not_in_organization(&after.user_id, home).into())
}

/// The refusal of a home that the user is not in.
pub(super) fn not_in_organization(user: &UserId, home: &OrganizationId) -> Refusal {
    let message = format!("user {:?} is not in organization {:?}; add it first", user.as_str(), home.as_str());
    let refusal = Refusal::precondition(Reason::UserNotInOrganization, message);
    refusal.with("user_id", user).with("organization_id", home)
}

/// The last unblocked proxy admin stays one, unless the master key says
/// otherwise.
async fn keep_an_admin(ctx: &Ctx, tx: &mut Tx, before: &User, after: &User) -> Result<(), Error> {
    let counts = |user: &User| user.user_role == Role::ProxyAdmin && !user.blocked;
    if !counts(before) || counts(after) || matches!(ctx.caller.credential, Credential::Master) {
        return Ok(());
    }
    tx.lock_proxy_admins().await?;
    if tx.view().count_other_proxy_admins(std::slice::from_ref(&before.user_id)).await? == 0 {
        let message = "this is the last unblocked proxy admin; only the master key may change that";
        return Err(Refusal::precondition(Reason::LastProxyAdmin, message).into());
    }
    Ok(())
}
