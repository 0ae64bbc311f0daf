//! The parts of a cost.

use rust_decimal::Decimal;

use crate::domain::clock::Timestamp;
use crate::domain::pricing::{self, Cost, Price, PriceError};
use crate::domain::usage::{CostSource, Event, Usage};
use crate::pb;
use crate::services::Ctx;

/// What a usage costs, with the discount and margin of its provider.
///
/// # Errors
/// [`PriceError`] if it can't be worked out.
pub(super) fn price(ctx: &Ctx, price: &Price, usage: &Usage, at: Timestamp) -> Result<Cost, PriceError> {
    let provider =
        if usage.provider.is_empty() { price.provider.as_deref().unwrap_or_default() } else { &usage.provider };
    let markup = ctx.app.gate.rules().costs.markups.of(provider);
    pricing::price(price, &usage.billable(at), &markup)
}

/// The parts of what was booked for an event: from its price, which never
/// changes. `None` if its cost was not computed, if its price belonged to a model
/// that is deleted, or if settings that have a part in it are others now.
pub(super) fn of_event(ctx: &Ctx, event: &Event) -> Option<pb::CostBreakdown> {
    if event.costing.source != CostSource::Computed {
        return None;
    }
    let prices = ctx.app.gate.prices();
    // The provider that is stored may be the price's, not one that was told.
    let untold = Usage { provider: String::new(), ..event.usage.clone() };
    let mut found = [&event.usage, &untold].into_iter().filter_map(|usage| prices.find_for(usage, event.started_at));
    let found = found.find(|found| found.price_id == event.costing.price_id)?;
    let cost = price(ctx, found, &event.usage, event.started_at).ok()?;
    (cost.booked() == Some(event.costing.cost)).then(|| to_wire(&cost))
}

/// The parts on the wire.
pub(super) fn to_wire(cost: &Cost) -> pb::CostBreakdown {
    let shown = |usd: Decimal| usd.normalize().to_string();
    pb::CostBreakdown {
        input: shown(cost.input),
        output: shown(cost.output),
        cache_read: shown(cost.cache_read),
        cache_write: shown(cost.cache_write),
        units: shown(cost.units),
        tools: shown(cost.tools),
        additional: shown(cost.additional),
        original: shown(cost.original().unwrap_or_default()),
        discount: shown(cost.discount),
        margin: shown(cost.margin),
    }
}
