//! The fields of a customer.

use crate::domain::clock::Timestamp;
use crate::domain::customer::Customer;
use crate::domain::ids::CustomerId;
use crate::domain::limit::Budget;
use crate::domain::model_limit::{ModelLimits, following};
use crate::domain::models::{ListOwner, ModelList};
use crate::domain::window::Calendar;
use crate::pb;
use crate::services::wire::faults::Faults;
use crate::services::wire::{etag, instant, key_limits, metadata, spend, text};
use crate::store::StoredCustomer;

/// Takes the values of a customer; what is absent is empty.
pub(super) fn take(sent: &pb::Customer, id: CustomerId, now: Timestamp, faults: &mut Faults) -> Customer {
    let max = faults.money("customer.max_budget", sent.max_budget.as_ref());
    let soft = faults.money("customer.soft_budget", sent.soft_budget.as_ref());
    let duration = faults.length("customer.budget_duration", sent.budget_duration.as_ref());
    let budget = Budget::new(max, soft, duration, now);
    budget.check_new("customer.", &mut faults.0);
    text::check("customer.alias", &sent.alias, text::LABEL_MAX_BYTES, faults);
    let models =
        ModelList::parse(&sent.allowed_models, ListOwner::UserOrTeam, "customer.allowed_models", &mut faults.0);
    let budget_id = sent.budget_id.as_deref().unwrap_or_default();
    Customer {
        alias: sent.alias.clone(),
        blocked: sent.blocked.unwrap_or(false),
        allowed_models: models,
        budget,
        rates: faults.rates("customer.", sent.tpm_limit, sent.rpm_limit, sent.max_parallel_requests),
        model_limits: following(
            key_limits::models("customer.model_max_budget", &sent.model_max_budget, faults),
            &ModelLimits::new(),
            now,
        ),
        budget_id: text::budget_id("customer.budget_id", budget_id, faults),
        metadata: metadata::take("customer.metadata", sent.metadata.as_ref(), metadata::METADATA_MAX_BYTES, faults),
        version: Customer::UNTOUCHED + 1,
        ..Customer::unheard_of(id, now)
    }
}

/// A customer on the wire.
pub(super) fn to_wire(stored: &StoredCustomer, calendar: &Calendar, now: Timestamp) -> pb::Customer {
    let StoredCustomer { customer, budget, spend } = stored;
    pb::Customer {
        customer_id: customer.customer_id.to_string(),
        alias: customer.alias.clone(),
        blocked: Some(customer.blocked),
        max_budget: customer.budget.max.map(|max| max.to_string()),
        soft_budget: customer.budget.soft.map(|soft| soft.to_string()),
        budget_duration: customer.budget.duration.map(|length| length.to_string()),
        budget_id: customer.budget_id.as_ref().map(ToString::to_string),
        tpm_limit: customer.rates.tpm,
        rpm_limit: customer.rates.rpm,
        max_parallel_requests: customer.rates.parallel,
        allowed_models: customer.allowed_models.iter().map(str::to_owned).collect(),
        model_max_budget: key_limits::models_to_wire(&customer.model_limits, calendar, now),
        metadata: metadata::to_wire_if_any(&customer.metadata),
        spend: Some(spend.window.to_string()),
        lifetime_spend: spend.lifetime.to_string(),
        budget_resets_at: spend::resets_at(budget, calendar, now),
        created_at: Some(instant::to_wire(customer.created_at)),
        updated_at: Some(instant::to_wire(customer.updated_at)),
        etag: etag::of(customer.version),
    }
}
