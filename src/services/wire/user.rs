//! Users on the wire.

use super::{etag, instant, key_limits, metadata, role, spend};
use crate::domain::clock::Timestamp;
use crate::domain::ids::TeamId;
use crate::domain::window::Calendar;
use crate::pb;
use crate::store::StoredUser;

/// What is shown of a user beside its row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shown {
    /// The teams it is in.
    pub(crate) team_ids: Vec<TeamId>,
    /// How many live keys it has.
    pub(crate) key_count: i64,
}

/// A user on the wire.
pub(crate) fn to_wire(stored: &StoredUser, shown: &Shown, calendar: &Calendar, now: Timestamp) -> pb::User {
    let user = &stored.user;
    pb::User {
        user_id: user.user_id.to_string(),
        user_email: user.user_email.as_ref().map(ToString::to_string),
        user_alias: user.user_alias.clone(),
        user_role: role::role_to_wire(user.user_role).into(),
        team_ids: shown.team_ids.iter().map(ToString::to_string).collect(),
        models: user.models.iter().map(str::to_owned).collect(),
        max_budget: user.budget.max.map(|max| max.to_string()),
        soft_budget: user.budget.soft.map(|soft| soft.to_string()),
        budget_duration: user.budget.duration.map(|length| length.to_string()),
        tpm_limit: user.rates.tpm,
        rpm_limit: user.rates.rpm,
        max_parallel_requests: user.rates.parallel,
        model_max_budget: key_limits::models_to_wire(&user.model_limits, calendar, now),
        metadata: metadata::to_wire_if_any(&user.metadata),
        blocked: Some(user.blocked),
        spend: Some(stored.spend.window.to_string()),
        personal_spend: stored.spend.personal.to_string(),
        lifetime_spend: stored.spend.lifetime.to_string(),
        budget_resets_at: spend::resets_at(&user.budget, calendar, now),
        key_count: shown.key_count,
        created_at: Some(instant::to_wire(user.created_at)),
        updated_at: Some(instant::to_wire(user.updated_at)),
        home_organization_id: user.home_organization_id.as_ref().map(ToString::to_string),
        etag: etag::of(user.version),
    }
}
