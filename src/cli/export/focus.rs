//! The columns of FOCUS 1.2, the `FinOps` Open Cost and Usage Specification, and
//! some of Bursar's own, which begin with `x_`.
//!
//! A call is a charge. The billing account is the organization, the sub account
//! the team, the resource the key, the SKU the model.

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use serde_json::{Map, Value};

use super::columns::{Cell, Column, instant, money, text};
use crate::pb::{CostSource, UsageEvent};

/// The account of what belongs to no organization.
const NO_ACCOUNT: &str = "default";

/// Columns that hold nothing for calls of models: no commitments, capacities,
/// invoices and zones.
macro_rules! nothing {
    ($name:literal) => {
        Column::text($name, |_| Cell::Absent)
    };
}

/// Money that is not known.
macro_rules! no_money {
    ($name:literal) => {
        Column::money($name, |_| Cell::Absent)
    };
}

/// Text that is the same for all.
macro_rules! always {
    ($name:literal, $text:literal) => {
        Column::text($name, |_| Cell::Text($text.to_owned()))
    };
}

/// The columns, in the order of the specification.
pub(super) fn columns() -> Vec<Column> {
    vec![
        nothing!("AvailabilityZone"),
        Column::money("BilledCost", cost),
        Column::text("BillingAccountId", account),
        Column::text("BillingAccountName", account),
        always!("BillingAccountType", "Organization"),
        always!("BillingCurrency", "USD"),
        Column::instant("BillingPeriodEnd", |event| month(event, 1)),
        Column::instant("BillingPeriodStart", |event| month(event, 0)),
        nothing!("CapacityReservationId"),
        nothing!("CapacityReservationStatus"),
        Column::text("ChargeCategory", |event| one_of(event, "Adjustment", "Usage")),
        nothing!("ChargeClass"),
        Column::text("ChargeDescription", description),
        Column::text("ChargeFrequency", |event| one_of(event, "One-Time", "Usage-Based")),
        Column::instant("ChargePeriodEnd", |event| instant(event.end_time.as_ref())),
        Column::instant("ChargePeriodStart", |event| instant(event.start_time.as_ref())),
        nothing!("CommitmentDiscountCategory"),
        nothing!("CommitmentDiscountId"),
        nothing!("CommitmentDiscountName"),
        Column::number("CommitmentDiscountQuantity", |_| Cell::Absent),
        nothing!("CommitmentDiscountStatus"),
        nothing!("CommitmentDiscountType"),
        nothing!("CommitmentDiscountUnit"),
        Column::number("ConsumedQuantity", tokens),
        Column::text("ConsumedUnit", unit),
        Column::money("ContractedCost", cost),
        no_money!("ContractedUnitPrice"),
        Column::money("EffectiveCost", cost),
        nothing!("InvoiceId"),
        Column::text("InvoiceIssuerName", |event| text(&event.provider)),
        Column::money("ListCost", |event| money(event.list_cost.as_ref().or(event.cost.as_ref()))),
        no_money!("ListUnitPrice"),
        Column::text("PricingCategory", |event| one_of(event, "", "Standard")),
        always!("PricingCurrency", "USD"),
        no_money!("PricingCurrencyContractedUnitPrice"),
        Column::money("PricingCurrencyEffectiveCost", cost),
        no_money!("PricingCurrencyListUnitPrice"),
        Column::number("PricingQuantity", tokens),
        Column::text("PricingUnit", unit),
        Column::text("ProviderName", |event| text(&event.provider)),
        Column::text("PublisherName", |event| text(&event.provider)),
        Column::text("RegionId", |event| text(&event.region)),
        Column::text("RegionName", |event| text(&event.region)),
        Column::text("ResourceId", |event| text(&event.key_id)),
        Column::text("ResourceName", |event| text(&event.key_alias)),
        always!("ResourceType", "Virtual key"),
        always!("ServiceCategory", "AI and Machine Learning"),
        Column::text("ServiceName", |event| text(&event.model_group)),
        always!("ServiceSubcategory", "Generative AI"),
        Column::text("SkuId", |event| text(&event.model)),
        Column::text("SkuMeter", |event| text(&event.call_type)),
        nothing!("SkuPriceDetails"),
        Column::text("SkuPriceId", |event| text(&event.price_id)),
        Column::text("SubAccountId", |event| text(&event.team_id)),
        Column::text("SubAccountName", |event| text(&event.team_id)),
        Column::text("SubAccountType", |event| text(if event.team_id.is_empty() { "" } else { "Team" })),
        Column::text("Tags", tags),
        Column::text("x_RequestId", |event| text(&event.request_id)),
        Column::text("x_UserId", |event| text(&event.user_id)),
        Column::text("x_CustomerId", |event| text(&event.customer_id)),
        Column::text("x_Deployment", |event| text(&event.deployment)),
        Column::number("x_PromptTokens", |event| Cell::Number(event.prompt_tokens)),
        Column::number("x_CompletionTokens", |event| Cell::Number(event.completion_tokens)),
    ]
}

fn cost(event: &UsageEvent) -> Cell {
    money(event.cost.as_ref())
}

fn account(event: &UsageEvent) -> Cell {
    let id = &event.organization_id;
    Cell::Text(if id.is_empty() { NO_ACCOUNT.to_owned() } else { id.clone() })
}

fn is_adjustment(event: &UsageEvent) -> bool {
    event.cost_source() == CostSource::Adjustment
}

/// One word for corrections, and another one for calls.
fn one_of(event: &UsageEvent, adjustment: &str, call: &str) -> Cell {
    text(if is_adjustment(event) { adjustment } else { call })
}

fn description(event: &UsageEvent) -> Cell {
    if is_adjustment(event) {
        return Cell::Text("A correction of what was spent".to_owned());
    }
    Cell::Text(format!("A call of {} ({} tokens)", event.model, event.total_tokens))
}

fn tokens(event: &UsageEvent) -> Cell {
    if is_adjustment(event) { Cell::Absent } else { Cell::Number(event.total_tokens) }
}

fn unit(event: &UsageEvent) -> Cell {
    one_of(event, "", "Tokens")
}

/// The first instant of the month of an event, or of one after it.
fn month(event: &UsageEvent, after: u32) -> Cell {
    let Cell::Instant(micros) = instant(event.start_time.as_ref()) else { return Cell::Absent };
    let first = DateTime::<Utc>::from_timestamp_micros(micros).and_then(|at| {
        let months = at.year().checked_mul(12)?.checked_add_unsigned(at.month0() + after)?;
        NaiveDate::from_ymd_opt(months.div_euclid(12), months.rem_euclid(12).unsigned_abs() + 1, 1)
    });
    let begins = first.and_then(|day| day.and_hms_opt(0, 0, 0));
    begins.map_or(Cell::Absent, |begins| Cell::Instant(begins.and_utc().timestamp_micros()))
}

/// Tags have no values here: each is a key with `true`.
fn tags(event: &UsageEvent) -> Cell {
    let tags: Map<String, Value> = event.tags.iter().map(|tag| (tag.clone(), Value::Bool(true))).collect();
    Cell::Text(Value::Object(tags).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_are_those_of_the_specification_each_once() {
        let names: Vec<&str> = columns().iter().map(|column| column.name).collect();
        let standard: Vec<&&str> = names.iter().filter(|name| !name.starts_with("x_")).collect();
        assert_eq!(standard.len(), 57);
        assert!(standard.is_sorted() && names.iter().collect::<std::collections::BTreeSet<_>>().len() == names.len());
    }

    #[test]
    fn a_charge_belongs_to_its_month() {
        let event = |seconds| UsageEvent {
            start_time: Some(prost_types::Timestamp { seconds, nanos: 0 }),
            ..UsageEvent::default()
        };
        // 2025-12-31T23:59:59Z.
        let december = event(1_767_225_599);
        assert_eq!(month(&december, 0), Cell::Instant(1_764_547_200_000_000));
        assert_eq!(month(&december, 1), Cell::Instant(1_767_225_600_000_000));
        assert_eq!(month(&event(1_767_225_600), 0), Cell::Instant(1_767_225_600_000_000));
    }
}
