//! Keys on the wire.

use super::{etag, instant, key_limits, metadata, role, spend};
use crate::domain::clock::Timestamp;
use crate::domain::key::{Key, KeyState};
use crate::domain::tier::{Tier, in_force};
use crate::domain::window::Calendar;
use crate::pb;
use crate::services::Ctx;
use crate::store::{DeletedKey, Spend, StoredKey};

/// A key on the wire that is not stored yet, or was before.
pub(crate) fn draft(ctx: &Ctx, key: &Key, tier: Option<&Tier>) -> pb::Key {
    let stored = StoredKey { key: key.clone(), spend: Spend::default(), organization_id: None, tier: tier.cloned() };
    to_wire(&stored, &ctx.app.rules.calendar, ctx.now)
}

/// Takes away what a key is named by: one that is not made yet has no names that
/// last.
pub(crate) fn take_names(key: &mut pb::Key) {
    for name in [&mut key.key_id, &mut key.key_hash, &mut key.key_name] {
        name.clear();
    }
}

/// A live key on the wire.
pub(crate) fn to_wire(stored: &StoredKey, calendar: &Calendar, now: Timestamp) -> pb::Key {
    let key = &stored.key;
    let budget = in_force(&key.budget, stored.tier.as_ref());
    let mut shown = pb::Key {
        key_id: key.key_id.to_string(),
        key_hash: key.key_hash.to_string(),
        key_name: key.key_name.clone(),
        key_type: role::key_type_to_wire(key.key_type).into(),
        state: role::key_state_to_wire(key.state(now)).into(),
        key_alias: key.key_alias.clone(),
        user_id: key.user_id.as_ref().map(ToString::to_string),
        team_id: key.team_id.as_ref().map(ToString::to_string),
        service_account_id: key.service_account_id.clone(),
        models: key.models.iter().map(str::to_owned).collect(),
        model_aliases: key.model_aliases.iter().map(|(name, to)| (name.to_owned(), to.to_owned())).collect(),
        max_budget: key.budget.max.map(|max| max.to_string()),
        soft_budget: key.budget.soft.map(|soft| soft.to_string()),
        budget_duration: key.budget.duration.map(|length| length.to_string()),
        tpm_limit: key.rates.tpm,
        rpm_limit: key.rates.rpm,
        max_parallel_requests: key.rates.parallel,
        tpd_limit: key.rates.tpd,
        allowed_routes: key.allowed_routes.clone(),
        tags: key.tags.clone(),
        metadata: metadata::to_wire_if_any(&key.metadata),
        blocked: Some(key.blocked),
        spend: Some(stored.spend.window.to_string()),
        lifetime_spend: stored.spend.lifetime.to_string(),
        budget_resets_at: spend::resets_at(&budget, calendar, now),
        expires_at: key.expires_at.map(instant::to_wire),
        created_at: Some(instant::to_wire(key.created_at)),
        created_by: key.created_by.clone(),
        updated_at: Some(instant::to_wire(key.updated_at)),
        last_used_at: stored.spend.last_used_at.map(instant::to_wire),
        deleted_at: None,
        etag: etag::of(key.version),
        previous_key_valid_until: key.former_valid_until(now).map(instant::to_wire),
        budget_id: key.budget_id.as_ref().map(ToString::to_string),
        auto_rotate: Some(key.rotation.interval.is_some()),
        rotation_interval: key.rotation.interval.map(|length| length.to_string()),
        next_rotation_at: key.rotation.next_at.map(instant::to_wire),
        rotation_count: key.rotation.count,
        last_rotated_at: key.rotation.last_at.map(instant::to_wire),
        block_reason: key.block_reason.clone().unwrap_or_default(),
        organization_id: stored.organization_id.as_ref().map(ToString::to_string).unwrap_or_default(),
        ..pb::Key::default()
    };
    key_limits::show(&key.limits, &mut shown, calendar, now);
    shown
}

/// A deleted key on the wire.
pub(crate) fn deleted_to_wire(deleted: DeletedKey, spend: Spend, calendar: &Calendar, now: Timestamp) -> pb::Key {
    let DeletedKey { key, deleted_at } = deleted;
    pb::Key {
        state: role::key_state_to_wire(KeyState::Deleted).into(),
        deleted_at: Some(instant::to_wire(deleted_at)),
        ..to_wire(&StoredKey { key, spend, organization_id: None, tier: None }, calendar, now)
    }
}
