//! `ImportPrices`: a price list into the price table.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::domain::clock::Timestamp;
use crate::domain::pricing::catalogue::{self, Catalogue, Difference};
use crate::domain::reason::Reason;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::{instant, metadata};

/// How many changes and refusals are told.
const TOLD_MAX: usize = 1_000;

/// A valid request.
struct Command {
    list: Catalogue,
    valid_from: Timestamp,
    dry_run: bool,
}

/// Imports a price list.
pub(super) async fn import_prices(
    ctx: Ctx,
    request: pb::ImportPricesRequest,
) -> Result<pb::ImportPricesResponse, Error> {
    // Reading a long list takes a while.
    let now = ctx.now;
    let parsed = tokio::task::spawn_blocking(move || parse(&request, now)).await.map_err(Error::internal)?;
    let Command { list, valid_from, dry_run } = parsed?;
    let difference = if dry_run {
        ctx.app.store.view().price_difference(&list, valid_from).await?
    } else {
        let mut tx = ctx.begin().await?;
        let difference = tx.import_prices(&list, valid_from).await?;
        ctx.commit(tx).await?;
        difference
    };
    Ok(render(difference, list.not_billed()))
}

fn parse(request: &pb::ImportPricesRequest, now: Timestamp) -> Result<Command, Error> {
    let mut faults = Faults::default();
    let valid_from = instant::from_wire("valid_from", request.valid_from.as_ref(), &mut faults);
    let list = match catalogue::parse(&request.catalogue, request.allow_implausible) {
        Ok(list) => list,
        Err(error) => {
            faults.add_named("catalogue", Reason::PriceListMalformed, format!("is {error}"));
            Catalogue::default()
        }
    };
    faults.finish()?;
    Ok(Command { list, valid_from: valid_from.unwrap_or(now), dry_run: request.dry_run })
}

fn render(difference: Difference, not_billed: BTreeMap<String, usize>) -> pb::ImportPricesResponse {
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let Difference { added, changed, unchanged, rejected } = difference;
    pb::ImportPricesResponse {
        added: count(added.len()),
        changed: count(changed.len()),
        unchanged: count(unchanged),
        rejected: count(rejected.len()),
        changes: changed
            .into_iter()
            .take(TOLD_MAX)
            .map(|(model, (before, after))| change(model, before, after))
            .collect(),
        rejections: rejected
            .into_iter()
            .take(TOLD_MAX)
            .map(|(model, rule)| pb::RejectedPrice { model, rule })
            .collect(),
        not_billed_fields: not_billed.into_iter().map(|(field, models)| (field, count(models))).collect(),
    }
}

fn change(model: String, mut before: Map<String, Value>, mut after: Map<String, Value>) -> pb::PriceChange {
    let same: Vec<String> =
        before.iter().filter(|(name, value)| after.get(*name) == Some(*value)).map(|(name, _)| name.clone()).collect();
    for name in same {
        before.remove(&name);
        after.remove(&name);
    }
    pb::PriceChange { model, before: Some(metadata::to_wire(&before)), after: Some(metadata::to_wire(&after)) }
}
