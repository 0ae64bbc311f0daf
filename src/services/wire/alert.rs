//! Alerts on the wire.

use super::{budget, instant, role};
use crate::domain::alert::BudgetAlert;
use crate::pb;

/// An alert on the wire.
pub(crate) fn to_wire(alert: &BudgetAlert) -> pb::BudgetAlert {
    pb::BudgetAlert {
        alert_id: alert.alert_id.clone(),
        kind: role::alert_kind_to_wire(alert.kind).into(),
        threshold: alert.threshold.map(i32::from),
        scope: budget::scope_to_wire(alert.scope).into(),
        id: alert.id.clone(),
        label: alert.label.clone(),
        spend: alert.spend.to_string(),
        max_budget: alert.max_budget.map(|max| max.to_string()),
        soft_budget: alert.soft_budget.map(|soft| soft.to_string()),
        window_start: alert.window_start.map(instant::to_wire),
        resets_at: alert.resets_at.map(instant::to_wire),
    }
}
