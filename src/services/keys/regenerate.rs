//! `RegenerateKey`: another secret for the same key.

use crate::domain::clock::Timestamp;
use crate::domain::fault::Refusal;
use crate::domain::key::{Key, KeyType};
use crate::domain::limit::is_raised;
use crate::domain::policy::Action;
use crate::domain::reason::Reason;
use crate::domain::role::MemberPermission;
use crate::domain::rotation::GRACE_MAX_DAYS;
use crate::domain::routes::routes_allow;
use crate::domain::secret::{KeyHash, Secret};
use crate::domain::window::Length;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::access::KeyStanding;
use crate::services::wire::answer::{Answer, Slot, once};
use crate::services::wire::consent::with_consent;
use crate::services::wire::faults::Faults;
use crate::services::wire::{instant, key, key_ref, new_key, secret, text};

use crate::store::View;

use super::change::KeyChange;
use super::rules;

/// What a rotation that changes more does, too.
const UPDATE_KEY: &str = "bursar.v1.KeyService/UpdateKey";

/// The grace period that is none.
const NO_GRACE: &str = "0";

/// A valid request.
#[derive(Clone)]
struct Command {
    hash: KeyHash,
    secret: Option<Secret>,
    grace: Option<Length>,
    /// Whether the request has an update.
    changes_more: bool,
    change: KeyChange,
}

/// Gives a key another secret.
pub(super) async fn regenerate_key(
    ctx: Ctx,
    request: pb::RegenerateKeyRequest,
) -> Result<pb::RegenerateKeyResponse, Error> {
    let command = parse(&ctx, &request)?;
    once(&ctx, &request.request_id, &request, |slot| {
        with_consent(&ctx, move |ctx| regenerate(ctx, command.clone(), slot.clone()))
    })
    .await
}

fn parse(ctx: &Ctx, request: &pb::RegenerateKeyRequest) -> Result<Command, Error> {
    let mut faults = Faults::default();
    let hash = key_ref::required("key", &request.key, &mut faults);
    text::request_id("request_id", &request.request_id, &mut faults);
    let secret = new_key::own_secret("new_secret", request.new_secret.as_ref(), &mut faults);
    let grace = match request.grace_period.as_deref() {
        None => ctx.app.rules.rotation.grace,
        Some(NO_GRACE) => None,
        Some(_) => faults.length("grace_period", request.grace_period.as_ref()),
    };
    if grace.is_some_and(|grace| grace.nominal_seconds() > GRACE_MAX_DAYS * 86_400) {
        faults.add("grace_period", format!("must be at most {GRACE_MAX_DAYS}d"));
    }
    let update = request.update.clone().unwrap_or_default();
    if update.key.as_ref().is_some_and(|key| !key.key_hash.is_empty()) {
        faults.add("update.key.key_hash", "must be absent: the key is named by key");
    }
    let change = KeyChange::take(Action::RegenerateKey, &update, "update.", &mut faults);
    faults.finish()?;
    let hash = hash.ok_or_else(|| Error::internal("a key reference vanished"))?;
    Ok(Command { hash, secret, grace, changes_more: request.update.is_some(), change })
}

async fn regenerate(ctx: Ctx, command: Command, slot: Slot) -> Result<pb::RegenerateKeyResponse, Error> {
    let ctx = &ctx;
    let Command { hash, secret, grace, changes_more, change } = command;
    let mut tx = ctx.begin().await?;
    let (before, standing) = change.hold(ctx, &mut tx, &hash).await?;
    check_rights(ctx, &standing, &before, changes_more)?;
    check_ceiling(ctx, tx.view(), &before).await?;
    new_key::check_own_secret(ctx, secret.as_ref())?;
    let secret = secret.map_or_else(secret::fresh_secret, Ok)?;
    let grace: Option<Timestamp> = grace.map(|length| length.after(ctx.now));
    let mut changed = change.apply(ctx, &mut tx, &standing, &before).await?;
    changed.after.rotate(&secret, grace, ctx.now)?;
    changed.save(ctx, &mut tx, &before).await?;
    let stored = tx.view().find_stored_key(&changed.after.key_hash, ctx.now).await?;
    let stored = stored.ok_or_else(|| Error::internal("a key vanished in its own transaction"))?;
    let answer = pb::RegenerateKeyResponse {
        secret: secret.reveal().to_owned(),
        key: Some(key::to_wire(&stored, &ctx.app.rules.calendar, ctx.now)),
        previous_key_valid_until: grace.map(instant::to_wire),
        adjusted_fields: rules::adjusted_to_wire(changed.adjusted),
    };
    slot.keep(ctx, &mut tx, &answer).await?;
    ctx.commit(tx).await?;
    Ok(answer)
}

/// Who rotates a key learns its secret, and must not gain rights by it.
fn check_rights(ctx: &Ctx, standing: &KeyStanding, key: &Key, changes_more: bool) -> Result<(), Refusal> {
    let refused = |message: &str| Err(Refusal::denied(Reason::NotYourKey, message).about("key", key.key_hash));
    if !standing.may(MemberPermission::KeyRegenerate) {
        return refused("the key is not yours to rotate; ask its owner, an admin of its team, or a proxy admin");
    }
    if ctx.caller.shows_former_secret() {
        return refused("you use a former secret, which ends soon; rotate with the current one");
    }
    let own_routes = ctx.caller.key().map(|key| &key.allowed_routes).filter(|routes| !routes.is_empty());
    let is_beyond = |routes: &[Box<str>]| {
        let knows = |route: &String| routes.iter().any(|own| **own == *route);
        key.allowed_routes.is_empty() || !key.allowed_routes.iter().all(knows)
    };
    if changes_more && own_routes.is_some_and(|routes| !routes_allow(routes, UPDATE_KEY)) {
        return refused("your key may not call UpdateKey, which `update` does");
    }
    if own_routes.is_some_and(|routes| is_beyond(routes)) {
        return refused("your key may call some RPCs only, and rotates no key that may call others");
    }
    let is_of_another = key.user_id.as_ref().is_some_and(|owner| !ctx.caller.is_user(owner));
    if is_of_another && key.key_type != KeyType::LlmApi && *standing != KeyStanding::ProxyAdmin {
        return refused(
            "the key carries the rights of its owner, who alone rotates it, or a proxy admin; you may block or delete it",
        );
    }
    Ok(())
}

/// A key gives nobody more to spend than it has itself.
async fn check_ceiling(ctx: &Ctx, view: View<'_>, key: &Key) -> Result<(), Error> {
    let Some(own) = ctx.caller.key().filter(|own| own.id() != Some(key.key_id)) else { return Ok(()) };
    let max = view.budget_of_key(key).await?.max;
    if ctx.caller.is_proxy_admin() || !is_raised(own.budget.max.as_ref(), max.as_ref()) {
        return Ok(());
    }
    let message = "the key may spend more than the one that you use; rotate it with a session, or with itself";
    Err(Refusal::denied(Reason::AboveOwnBudget, message).about("key", key.key_hash).into())
}

impl Answer for pb::RegenerateKeyResponse {
    fn take_secret(&mut self) -> Option<String> {
        Some(std::mem::take(&mut self.secret))
    }

    fn put_secret(&mut self, secret: String) {
        self.secret = secret;
    }
}
