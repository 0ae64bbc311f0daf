//! What a request writes and clears of a key.

use std::collections::BTreeMap;

use crate::domain::clock::Timestamp;
use crate::domain::fault::Violation;
use crate::domain::ids::{BudgetId, TeamId, UserId};
use crate::domain::key::{Key, KeyType};
use crate::domain::key_limits::KeyLimits;
use crate::domain::key_rules::{Adjusted, Bounded, Lifetime, NewKey};
use crate::domain::limit::Budget;
use crate::domain::model_limit::ModelLimits;
use crate::domain::models::{ListOwner, ModelAliases, ModelList};
use crate::domain::money::Usd;
use crate::domain::patch::Patch;
use crate::domain::reason::Reason;
use crate::domain::throughput::ThroughputType;
use crate::domain::tier::Tier;
use crate::domain::window::Length;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::mask::Mask;
use crate::services::wire::metadata::MetadataPatch;
use crate::services::wire::{key_limits, new_key};

/// The fields that a mask may name.
const FIELDS: [&str; 34] = [
    "key_alias",
    "key_type",
    "user_id",
    "team_id",
    "service_account_id",
    "models",
    "model_aliases",
    "max_budget",
    "soft_budget",
    "budget_duration",
    "tpm_limit",
    "rpm_limit",
    "max_parallel_requests",
    "tpd_limit",
    "tpm_limit_type",
    "rpm_limit_type",
    "allowed_routes",
    "tags",
    "metadata",
    "metadata.*",
    "blocked",
    "spend",
    "duration",
    "previous_key_valid_until",
    "auto_rotate",
    "rotation_interval",
    "budget_id",
    "budget_limits",
    "model_max_budget",
    "model_tpm_limit",
    "model_rpm_limit",
    "budget_fallbacks",
    "temp_budget_increase",
    "temp_budget_expires_at",
];

/// What a request writes and clears.
#[derive(Clone, Default)]
pub(super) struct KeyPatch {
    pub(super) new: NewKey,
    pub(super) alias: Patch<String>,
    pub(super) key_type: Patch<KeyType>,
    pub(super) user_id: Patch<UserId>,
    pub(super) team_id: Patch<TeamId>,
    pub(super) service_account_id: Patch<String>,
    pub(super) models: Patch<ModelList>,
    pub(super) model_aliases: Patch<ModelAliases>,
    pub(super) max: Patch<Usd>,
    pub(super) soft: Patch<Usd>,
    pub(super) budget_duration: Patch<Length>,
    pub(super) tpm: Patch<i64>,
    pub(super) rpm: Patch<i64>,
    pub(super) parallel: Patch<i64>,
    pub(super) tpd: Patch<i64>,
    pub(super) tpm_type: Patch<ThroughputType>,
    pub(super) rpm_type: Patch<ThroughputType>,
    pub(super) budget_id: Patch<BudgetId>,
    pub(super) windows: Patch<Vec<Budget>>,
    pub(super) model_limits: Patch<ModelLimits>,
    pub(super) model_tpm: Patch<BTreeMap<String, i64>>,
    pub(super) model_rpm: Patch<BTreeMap<String, i64>>,
    pub(super) fallbacks: Patch<BTreeMap<String, Vec<String>>>,
    pub(super) increase: Patch<Usd>,
    pub(super) increase_until: Patch<Timestamp>,
    pub(super) routes: Patch<Vec<String>>,
    pub(super) tags: Patch<Vec<String>>,
    pub(super) metadata: MetadataPatch,
    pub(super) blocked: Patch<bool>,
    pub(super) spend: Patch<Usd>,
    pub(super) lifetime: Patch<Lifetime>,
    pub(super) auto_rotate: Patch<bool>,
    pub(super) rotation_interval: Patch<Length>,
    /// Whether former secrets end.
    pub(super) ends_grace: bool,
}

impl KeyPatch {
    /// Whether it says what the limits are.
    pub(super) const fn touches_throughput(&self) -> bool {
        !self.tpm_type.is_keep() || !self.rpm_type.is_keep()
    }

    /// Takes it from a request whose fields have this prefix.
    pub(super) fn take(request: &pb::UpdateKeyRequest, prefix: &str, faults: &mut Faults) -> Self {
        let field = |name: &str| format!("{prefix}key.{name}");
        let no_key = pb::Key::default();
        let sent = request.key.as_ref().unwrap_or(&no_key);
        let mut of_mask = Faults::default();
        let mask = Mask::new(request.update_mask.as_ref(), &FIELDS, &mut of_mask);
        faults.0.extend(of_mask.0.into_iter().map(|fault| fault.under(prefix)));
        // Whether it has a team is known once the key is read.
        let new = new_key::take_of(
            ListOwner::TeamKey,
            sent,
            (&format!("{prefix}duration"), request.duration.as_ref()),
            &format!("{prefix}key."),
            faults,
        );
        let lifetime = new.duration.filter(|lifetime| *lifetime != Lifetime::Forever);
        let forever = new.duration == Some(Lifetime::Forever);
        let patch = Self {
            alias: mask.field("key_alias", new.key_alias.clone()),
            key_type: mask.field("key_type", (sent.key_type != 0).then_some(new.key_type)),
            user_id: mask.field("user_id", new.user_id.clone()),
            team_id: mask.field("team_id", new.team_id.clone()),
            service_account_id: mask.field("service_account_id", new.service_account_id.clone()),
            models: mask.list("models", new.models.clone(), sent.models.is_empty()),
            model_aliases: mask.list("model_aliases", new.model_aliases.clone(), sent.model_aliases.is_empty()),
            max: mask.field("max_budget", new.max_budget),
            soft: mask.field("soft_budget", new.soft_budget),
            budget_duration: mask.field("budget_duration", new.budget_duration),
            tpm: mask.field("tpm_limit", sent.tpm_limit),
            rpm: mask.field("rpm_limit", sent.rpm_limit),
            parallel: mask.field("max_parallel_requests", sent.max_parallel_requests),
            tpd: mask.field("tpd_limit", sent.tpd_limit),
            tpm_type: mask.field("tpm_limit_type", new.limits.throughput.tpm_limit_type),
            rpm_type: mask.field("rpm_limit_type", new.limits.throughput.rpm_limit_type),
            budget_id: mask.field("budget_id", new.budget_id.clone()),
            windows: mask.list("budget_limits", new.limits.windows.clone(), sent.budget_limits.is_empty()),
            model_limits: mask.list("model_max_budget", new.limits.models.clone(), sent.model_max_budget.is_empty()),
            model_tpm: mask.list(
                "model_tpm_limit",
                new.limits.model_rates.tpm.clone(),
                sent.model_tpm_limit.is_empty(),
            ),
            model_rpm: mask.list(
                "model_rpm_limit",
                new.limits.model_rates.rpm.clone(),
                sent.model_rpm_limit.is_empty(),
            ),
            increase: mask.field("temp_budget_increase", new.limits.increase),
            fallbacks: mask.list("budget_fallbacks", new.limits.fallbacks.clone(), sent.budget_fallbacks.is_empty()),
            increase_until: mask.field("temp_budget_expires_at", new.limits.increase_until),
            routes: mask.list("allowed_routes", sent.allowed_routes.clone(), sent.allowed_routes.is_empty()),
            tags: mask.list("tags", new.tags.clone(), sent.tags.is_empty()),
            metadata: MetadataPatch::take(&field("metadata"), &mask, sent.metadata.as_ref(), &mut Faults::default()),
            blocked: mask.field("blocked", sent.blocked),
            spend: mask.field("spend", faults.money(field("spend"), sent.spend.as_ref())),
            // "-1" and a named, absent duration both mean for ever.
            lifetime: match mask.field("duration", forever.then_some(())) {
                Patch::Set(()) => Patch::Clear,
                _ => mask.field("duration", lifetime),
            },
            auto_rotate: mask.field("auto_rotate", sent.auto_rotate),
            rotation_interval: mask.field("rotation_interval", new.rotation_interval),
            ends_grace: mask.names("previous_key_valid_until"),
            new,
        };
        if patch.key_type == Patch::Clear {
            faults.add(field("key_type"), "can't be cleared");
        }
        if patch.ends_grace && sent.previous_key_valid_until.is_some() {
            let rule = "can't be set, only cleared by a mask that names it";
            faults.add(field("previous_key_valid_until"), rule);
        }
        patch
    }

    /// The key with what the request writes and clears, within the configured
    /// bounds; and what the bounds changed.
    pub(super) fn apply(self, ctx: &Ctx, before: &Key, tier: Option<&Tier>) -> Result<(Key, Vec<Adjusted>), Error> {
        let mut patch = self;
        let adjusted = bound(ctx, &mut patch, before, tier)?;
        let mut after = before.clone();
        patch.alias.apply(&mut after.key_alias);
        patch.key_type.apply_or_default(&mut after.key_type);
        patch.user_id.apply(&mut after.user_id);
        patch.team_id.apply(&mut after.team_id);
        patch.service_account_id.apply(&mut after.service_account_id);
        patch.models.apply_or_default(&mut after.models);
        patch.model_aliases.apply_or_default(&mut after.model_aliases);
        patch.max.apply(&mut after.budget.max);
        patch.soft.apply(&mut after.budget.soft);
        patch.budget_duration.apply(&mut after.budget.duration);
        patch.tpm.apply(&mut after.rates.tpm);
        patch.rpm.apply(&mut after.rates.rpm);
        patch.parallel.apply(&mut after.rates.parallel);
        patch.tpd.apply(&mut after.rates.tpd);
        patch.tpm_type.apply(&mut after.limits.throughput.tpm_limit_type);
        patch.rpm_type.apply(&mut after.limits.throughput.rpm_limit_type);
        patch.budget_id.apply(&mut after.budget_id);
        patch.windows.apply_or_default(&mut after.limits.windows);
        patch.model_limits.apply_or_default(&mut after.limits.models);
        patch.model_tpm.apply_or_default(&mut after.limits.model_rates.tpm);
        patch.model_rpm.apply_or_default(&mut after.limits.model_rates.rpm);
        patch.increase.apply(&mut after.limits.increase);
        patch.fallbacks.apply_or_default(&mut after.limits.fallbacks);
        patch.increase_until.apply(&mut after.limits.increase_until);
        after.limits = after.limits.following(&before.limits, ctx.now);
        let increase = |limits: &KeyLimits| (limits.increase, limits.increase_until);
        if increase(&after.limits) != increase(&before.limits) {
            let mut faults = Faults::default();
            key_limits::check_increase(&after.limits, "key.", ctx.now, &mut faults);
            faults.finish()?;
        }
        patch.routes.apply_or_default(&mut after.allowed_routes);
        patch.tags.apply_or_default(&mut after.tags);
        patch.blocked.apply_or_default(&mut after.blocked);
        after.block_reason = after.block_reason.filter(|_| after.blocked);
        match patch.lifetime {
            Patch::Keep => {}
            Patch::Clear => after.expires_at = None,
            Patch::Set(lifetime) => after.expires_at = lifetime.expiry(ctx.now),
        }
        rotate_by_itself(ctx, &mut after, patch.auto_rotate, patch.rotation_interval)?;
        if patch.ends_grace {
            after.former_secrets.clear();
        }
        if !patch.metadata.apply(&mut after.metadata) {
            return Err(Error::invalid(Violation::new("key.metadata", "must have at most 65536 bytes as JSON")));
        }
        if after.service_account_id != before.service_account_id {
            let rule = "can't be changed: it names the service account for ever";
            return Err(Error::invalid(Violation::named(
                "key.service_account_id",
                Reason::ServiceAccountIdImmutable,
                rule,
            )));
        }
        if after.key_type != before.key_type && [before.key_type, after.key_type].contains(&KeyType::Gateway) {
            return Err(Error::invalid(Violation::new(
                "key.key_type",
                "a gateway key stays one, and others do not become one",
            )));
        }
        Ok((after, adjusted))
    }
}

/// Bounds apply to the fields that are written; what is cleared is written, too,
/// and so is what comes from another tier.
fn bound(ctx: &Ctx, patch: &mut KeyPatch, before: &Key, tier: Option<&Tier>) -> Result<Vec<Adjusted>, Error> {
    let joins = !patch.budget_id.is_keep();
    let (budget, rates) = (&before.budget, &before.rates);
    let mut max = Written::new(&patch.max, budget.max, joins);
    let mut duration = Written::new(&patch.budget_duration, budget.duration, joins);
    let mut tpm = Written::new(&patch.tpm, rates.tpm, joins);
    let mut rpm = Written::new(&patch.rpm, rates.rpm, joins);
    let mut parallel = Written::new(&patch.parallel, rates.parallel, joins);
    let mut tpd = Written::new(&patch.tpd, rates.tpd, false);
    let mut lifetime = patch.new.duration;
    let values = Bounded {
        max_budget: max.as_mut(),
        budget_duration: duration.as_mut(),
        duration: (!patch.lifetime.is_keep()).then_some(&mut lifetime),
        tpm: tpm.as_mut(),
        rpm: rpm.as_mut(),
        parallel: parallel.as_mut(),
        tpd: tpd.as_mut(),
    };
    let adjusted = ctx.app.rules.key_bounds.apply(values, tier).map_err(Error::Invalid)?;
    max.write(&mut patch.max);
    duration.write(&mut patch.budget_duration);
    tpm.write(&mut patch.tpm);
    rpm.write(&mut patch.rpm);
    parallel.write(&mut patch.parallel);
    tpd.write(&mut patch.tpd);
    if let Some(Lifetime::For(length)) = lifetime {
        patch.lifetime.bound_to(Some(Lifetime::For(length)));
    }
    Ok(adjusted)
}

/// A value, and whether a request writes it.
struct Written<T> {
    is_written: bool,
    value: Option<T>,
}

impl<T: Copy> Written<T> {
    fn new(patch: &Patch<T>, own: Option<T>, joins: bool) -> Self {
        let value = if let Patch::Set(value) = patch { Some(*value) } else { None };
        Self { is_written: !patch.is_keep() || (joins && own.is_none()), value }
    }

    fn as_mut(&mut self) -> Option<&mut Option<T>> {
        self.is_written.then_some(&mut self.value)
    }

    /// Writes the value that a bound left, or put in its place.
    fn write(self, patch: &mut Patch<T>) {
        if let Some(value) = self.value {
            *patch = Patch::Set(value);
        }
    }
}

/// Sets how long the secrets of a key live, or that they live until somebody
/// rotates it.
fn rotate_by_itself(ctx: &Ctx, key: &mut Key, auto: Patch<bool>, interval: Patch<Length>) -> Result<(), Error> {
    if auto.is_keep() && interval.is_keep() {
        return Ok(());
    }
    let mut is_auto = Some(key.rotation.interval.is_some());
    auto.apply(&mut is_auto);
    let is_auto = is_auto.unwrap_or_default();
    // Without rotation there is no interval, but the one that is said.
    let mut wanted = key.rotation.interval.filter(|_| is_auto);
    interval.apply(&mut wanted);
    let was = key.rotation.interval;
    if wanted != was || is_auto != was.is_some() {
        let mut faults = Faults::default();
        new_key::check_rotation(is_auto, wanted, "key.", &ctx.app.rules, &mut faults);
        faults.finish()?;
        if wanted.is_some() {
            ctx.app.rules.rotation.check_sink()?;
        }
    }
    key.rotation.set_interval(wanted, ctx.now);
    Ok(())
}
