//! New keys: the message, and what becomes of it before it is stored.

use super::faults::Faults;
use super::{key_limits, metadata, role, text};
use crate::config::Rules;
use crate::domain::clock::Timestamp;
use crate::domain::fault::{Refusal, Violation};
use crate::domain::ids::KeyId;
use crate::domain::key::{Key, check_alias};
use crate::domain::key_limits::KeyLimits;
use crate::domain::key_rules::{Adjusted, Bounded, FOREVER, Lifetime, NewKey};
use crate::domain::limit::{Budget, Rates};
use crate::domain::models::{ListOwner, ModelAliases, ModelList};
use crate::domain::reason::Reason;
use crate::domain::rotation::Rotation;
use crate::domain::routes::Group;
use crate::domain::secret::Secret;
use crate::domain::tier::Tier;
use crate::domain::window::Length;
use crate::pb;
use crate::services::Ctx;

/// The most entries of `allowed_routes`.
const ROUTES_MAX: usize = 200;

/// A key that may call some RPCs only makes keys that may call no others.
///
/// # Errors
/// `PERMISSION_DENIED` if the new one is to call others.
pub(crate) fn narrow(ctx: &Ctx, new: &mut NewKey) -> Result<(), Refusal> {
    let Some(key) = ctx.caller.key().filter(|key| !key.allowed_routes.is_empty()) else { return Ok(()) };
    let own: Vec<String> = key.allowed_routes.iter().map(ToString::to_string).collect();
    if new.allowed_routes.is_empty() {
        new.allowed_routes = own;
    } else if !new.allowed_routes.iter().all(|route| own.contains(route)) {
        let message = "only a proxy admin may set allowed_routes";
        return Err(Refusal::denied(Reason::FieldNotAllowed, message).with("field", "allowed_routes"));
    }
    Ok(())
}

/// Takes the message of a key that is to be made. Its duration stands beside
/// it, under a name of its own.
pub(crate) fn take(key: &pb::Key, duration: (&str, Option<&String>), prefix: &str, faults: &mut Faults) -> NewKey {
    let in_team = key.team_id.as_ref().is_some_and(|id| !id.is_empty());
    take_of(if in_team { ListOwner::TeamKey } else { ListOwner::PersonalKey }, key, duration, prefix, faults)
}

/// The same of a key that is, or may be, in a team or outside.
pub(crate) fn take_of(
    owner: ListOwner,
    key: &pb::Key,
    duration: (&str, Option<&String>),
    prefix: &str,
    faults: &mut Faults,
) -> NewKey {
    let field = |name: &str| format!("{prefix}{name}");
    let empty = String::new();
    let new = NewKey {
        key_type: role::key_type_from_wire(&field("key_type"), key.key_type, faults).unwrap_or_default(),
        key_alias: alias(&field("key_alias"), key.key_alias.as_ref(), faults),
        user_id: text::user_id(&field("user_id"), key.user_id.as_ref().unwrap_or(&empty), faults),
        team_id: text::team_id(&field("team_id"), key.team_id.as_ref().unwrap_or(&empty), faults),
        service_account_id: text::label(&field("service_account_id"), key.service_account_id.as_ref(), faults),
        models: ModelList::parse(&key.models, owner, &field("models"), &mut faults.0),
        model_aliases: ModelAliases::parse(&key.model_aliases, &field("model_aliases"), &mut faults.0),
        max_budget: faults.money(field("max_budget"), key.max_budget.as_ref()),
        soft_budget: faults.money(field("soft_budget"), key.soft_budget.as_ref()),
        budget_duration: faults.length(field("budget_duration"), key.budget_duration.as_ref()),
        rates: Rates {
            tpd: faults.limit(field("tpd_limit"), key.tpd_limit),
            ..faults.rates(prefix, key.tpm_limit, key.rpm_limit, key.max_parallel_requests)
        },
        budget_id: text::budget_id(&field("budget_id"), key.budget_id.as_ref().unwrap_or(&empty), faults),
        limits: key_limits::take(key, prefix, faults),
        allowed_routes: routes(&field("allowed_routes"), &key.allowed_routes, faults),
        tags: text::tags(&field("tags"), &key.tags, faults),
        metadata: metadata::take(&field("metadata"), key.metadata.as_ref(), metadata::METADATA_MAX_BYTES, faults),
        blocked: key.blocked.unwrap_or(false),
        rotation_interval: faults.length(field("rotation_interval"), key.rotation_interval.as_ref()),
        duration: lifetime(duration.0, duration.1, faults),
    };
    Budget::new(new.max_budget, new.soft_budget, None, Timestamp::EPOCH).check_new(prefix, &mut faults.0);
    new
}

/// Takes a secret that somebody chose; empty is none.
pub(crate) fn own_secret(field: &str, text: Option<&String>, faults: &mut Faults) -> Option<Secret> {
    let text = text.filter(|text| !text.is_empty())?;
    faults.take(field, Secret::chosen(text))
}

/// Refuses a secret that somebody chose who may not.
///
/// # Errors
/// `PERMISSION_DENIED`.
pub(crate) fn check_own_secret(ctx: &Ctx, secret: Option<&Secret>) -> Result<(), Refusal> {
    if secret.is_none() || ctx.caller.is_proxy_admin() || ctx.app.rules.allow_custom_keys {
        return Ok(());
    }
    let message = "only proxy admins choose secrets (setting allow_custom_keys)";
    Err(Refusal::denied(Reason::CustomKeysDisabled, message))
}

/// Reports rotation that is half said, or too often.
pub(crate) fn check_rotation(auto: bool, interval: Option<Length>, prefix: &str, rules: &Rules, faults: &mut Faults) {
    let field = format!("{prefix}rotation_interval");
    match interval {
        Some(_) if !auto => faults.add(field, "must be set with auto_rotate, and only then"),
        None if auto => faults.add(field, "must be set with auto_rotate"),
        Some(interval) => drop(faults.take(field, rules.rotation.check_interval(interval))),
        None => {}
    }
}

/// Takes an alias; empty is none.
pub(crate) fn alias(field: &str, alias: Option<&String>, faults: &mut Faults) -> Option<String> {
    let alias = alias.filter(|alias| !alias.is_empty())?;
    faults.take(field, check_alias(alias)).map(|()| alias.clone())
}

/// Takes how long a key lives; `-1` is for ever.
pub(crate) fn lifetime(field: &str, text: Option<&String>, faults: &mut Faults) -> Option<Lifetime> {
    match text.map(String::as_str) {
        None => None,
        Some(FOREVER) => Some(Lifetime::Forever),
        Some(_) => faults.length(field, text).map(Lifetime::For),
    }
}

/// Takes the RPCs that a key may call: `package.Service/Method`, a prefix that
/// ends in `*`, or a group of them.
pub(crate) fn routes(field: &str, routes: &[String], faults: &mut Faults) -> Vec<String> {
    if routes.len() > ROUTES_MAX {
        faults.add(field, format!("must have at most {ROUTES_MAX} entries"));
    }
    for (index, route) in routes.iter().enumerate() {
        let name = route.strip_suffix('*').unwrap_or(route);
        let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "._/".contains(c));
        let is_group = route.parse::<Group>().is_ok();
        let whole = route.ends_with('*') || crate::auth::rule_of(route).is_some();
        if !is_group && (route.is_empty() || !plain || !whole) {
            let rule = "must be an RPC such as \"bursar.v1.KeyService/GetKey\", a prefix that ends in \"*\", \
                        llm_api_routes, management_routes or info_routes";
            faults.add(format!("{field}[{index}]"), rule);
        }
    }
    routes.to_vec()
}

/// Fills the configured defaults and keeps the configured bounds, of a key that
/// may be in a tier.
///
/// # Errors
/// Every value above its bound, where the setting rejects them.
pub(crate) fn shape(new: &mut NewKey, rules: &Rules, tier: Option<&Tier>) -> Result<Vec<Adjusted>, Vec<Violation>> {
    rules.keys.fill(new);
    let values = Bounded {
        max_budget: Some(&mut new.max_budget),
        budget_duration: Some(&mut new.budget_duration),
        duration: Some(&mut new.duration),
        tpm: Some(&mut new.rates.tpm),
        rpm: Some(&mut new.rates.rpm),
        parallel: Some(&mut new.rates.parallel),
        tpd: Some(&mut new.rates.tpd),
    };
    rules.key_bounds.apply(values, tier)
}

/// Reports a soft budget that a default or a bound left without room.
pub(crate) fn check_shaped(new: &NewKey, prefix: &str, violations: &mut Vec<Violation>) {
    Budget::new(new.max_budget, new.soft_budget, None, Timestamp::EPOCH).check_new(prefix, violations);
}

/// The key that is stored.
pub(crate) fn issue(new: NewKey, secret: &Secret, created_by: String, now: Timestamp) -> Key {
    Key {
        key_id: KeyId::generate(),
        key_hash: secret.hash(),
        key_name: secret.name(),
        key_type: new.key_type,
        key_alias: new.key_alias,
        user_id: new.user_id,
        team_id: new.team_id,
        service_account_id: new.service_account_id,
        models: new.models,
        model_aliases: new.model_aliases,
        budget: Budget::new(new.max_budget, new.soft_budget, new.budget_duration, now),
        rates: new.rates,
        budget_id: new.budget_id,
        limits: new.limits.following(&KeyLimits::default(), now),
        allowed_routes: new.allowed_routes,
        tags: new.tags,
        metadata: new.metadata,
        blocked: new.blocked,
        block_reason: None,
        expires_at: new.duration.and_then(|duration| duration.expiry(now)),
        former_secrets: Vec::new(),
        rotation: Rotation::new(new.rotation_interval, now),
        created_at: now,
        created_by,
        updated_at: now,
        version: 1,
    }
}

/// The required fields that a request leaves out, as faults.
pub(crate) fn require(new: &NewKey, required: &[String], prefix: &str, faults: &mut Faults) {
    for name in new.missing(required) {
        let field = if name == "duration" { name } else { format!("{prefix}{name}") };
        faults.add_named(field, Reason::RequiredParamMissing, "is required by the setting key_generation_settings");
    }
}
