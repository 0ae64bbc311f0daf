//! Spend on the wire.

use crate::domain::clock::Timestamp;
use crate::domain::limit::Budget;
use crate::domain::window::Calendar;
use crate::services::wire::instant;

/// When a budget's window ends, for budgets that have a duration.
pub(crate) fn resets_at(budget: &Budget, calendar: &Calendar, now: Timestamp) -> Option<prost_types::Timestamp> {
    budget.window(calendar, now).end.map(instant::to_wire)
}
