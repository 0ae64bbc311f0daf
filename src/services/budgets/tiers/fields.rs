//! The fields of a tier.

use crate::domain::ids::BudgetId;
use crate::domain::key_limits::KeyLimits;
use crate::domain::limit::Budget;
use crate::domain::tier::Tier;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::{etag, instant, key_limits, zone};
use crate::store::TierUsers;

/// Takes a tier that is to be made, or to follow another one.
pub(super) fn take(sent: &pb::Budget, id: BudgetId, ctx: &Ctx, faults: &mut Faults) -> Tier {
    let max = faults.money("budget.max_budget", sent.max_budget.as_ref());
    let soft = faults.money("budget.soft_budget", sent.soft_budget.as_ref());
    let duration = faults.length("budget.budget_duration", sent.budget_duration.as_ref());
    let zone = zone::take("budget.time_zone", &sent.time_zone, faults);
    let budget = Budget { zone, ..Budget::new(max, soft, duration, ctx.now) };
    budget.check_new("budget.", &mut faults.0);
    let models = key_limits::models("budget.model_max_budget", &sent.model_max_budget, faults);
    let anchored = KeyLimits { models, ..KeyLimits::default() }.following(&KeyLimits::default(), ctx.now);
    Tier {
        budget_id: id,
        budget,
        rates: faults.rates("budget.", sent.tpm_limit, sent.rpm_limit, sent.max_parallel_requests),
        models: anchored.models,
        created_at: ctx.now,
        updated_at: ctx.now,
        version: 1,
    }
}

/// A tier on the wire.
pub(super) fn to_wire(tier: &Tier, users: TierUsers, ctx: &Ctx) -> pb::Budget {
    let calendar = &ctx.app.rules.calendar;
    pb::Budget {
        budget_id: tier.budget_id.to_string(),
        max_budget: tier.budget.max.map(|max| max.to_string()),
        soft_budget: tier.budget.soft.map(|soft| soft.to_string()),
        budget_duration: tier.budget.duration.map(|length| length.to_string()),
        // Each key and customer has windows of its own.
        budget_resets_at: None,
        time_zone: zone::to_wire(tier.budget.zone),
        tpm_limit: tier.rates.tpm,
        rpm_limit: tier.rates.rpm,
        max_parallel_requests: tier.rates.parallel,
        model_max_budget: key_limits::models_to_wire(&tier.models, calendar, ctx.now),
        key_count: users.keys,
        customer_count: users.customers,
        created_at: Some(instant::to_wire(tier.created_at)),
        updated_at: Some(instant::to_wire(tier.updated_at)),
        etag: etag::of(tier.version),
    }
}
