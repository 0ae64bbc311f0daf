//! `UpdateModel`: changes of a registered model.

use crate::domain::fault::{Refusal, Violation};
use crate::domain::model::{AnyModel, Model, PRICES_MAX};
use crate::domain::patch::Patch;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::etag;
use crate::services::wire::faults::Faults;
use crate::services::wire::mask::Mask;
use crate::services::wire::metadata::MetadataPatch;
use crate::store::StoreError;

use super::{fields, get};

/// The fields that a mask may name.
const FIELDS: [&str; 12] = [
    "provider",
    "provider_model",
    "base_model",
    "access_groups",
    "prices",
    "prices.*",
    "mode",
    "max_output_tokens",
    "batch_discount",
    "multiplier_excludes_cache",
    "metadata",
    "metadata.*",
];

/// Changes a model.
pub(super) async fn update_model(ctx: Ctx, request: pb::UpdateModelRequest) -> Result<pb::UpdateModelResponse, Error> {
    let nothing = pb::Model::default();
    let sent = request.model.as_ref().unwrap_or(&nothing);
    let mut faults = Faults::default();
    let mask = Mask::new(request.update_mask.as_ref(), &FIELDS, &mut faults);
    let metadata = MetadataPatch::take("model.metadata", &mask, sent.metadata.as_ref(), &mut Faults::default());
    let wanted = fields::take(sent, request.allow_implausible, ctx.now, &mut faults);
    faults.finish()?;
    let mut tx = ctx.begin().await?;
    let found = tx.view().find_model(&sent.model_name, &sent.deployment).await?;
    let before = found.ok_or_else(|| get::not_found([wanted.object_id()]))?;
    etag::check(&sent.etag, before.version, "model", &before.object_id())?;
    let mut after = apply(&before, wanted, sent, &mask);
    if !metadata.apply(&mut after.metadata) {
        return Err(Error::invalid(Violation::new("model.metadata", "must have at most 65536 bytes as JSON")));
    }
    if after.prices.len() > PRICES_MAX {
        let rule = format!("must have at most {PRICES_MAX} entries");
        return Err(Error::invalid(Violation::new("model.prices", rule)));
    }
    tx.update_model(&before, &mut after).await.map_err(|error| match error {
        StoreError::Stale => Error::from(Refusal::stale("model", before.object_id())),
        error => error.into(),
    })?;
    ctx.commit(tx).await?;
    Ok(pb::UpdateModelResponse { model: Some(fields::to_wire(&ctx, AnyModel::Registered(Box::new(after)))) })
}

fn apply(before: &Model, wanted: Model, sent: &pb::Model, mask: &Mask<'_>) -> Model {
    let mut after = before.clone();
    for (name, value, field) in [
        ("provider", wanted.provider, &mut after.provider),
        ("provider_model", wanted.provider_model, &mut after.provider_model),
        ("base_model", wanted.base_model, &mut after.base_model),
    ] {
        let is_empty = value.is_empty();
        mask.list(name, value, is_empty).apply_or_default(field);
    }
    let groups = mask.list("access_groups", wanted.access_groups, sent.access_groups.is_empty());
    groups.apply_or_default(&mut after.access_groups);
    // All of them at once, or one by one.
    match mask.list("prices", wanted.prices.clone(), sent.prices.is_empty()) {
        Patch::Keep => {}
        Patch::Clear => after.prices.clear(),
        Patch::Set(prices) => after.prices = prices,
    }
    for path in mask.below("prices.") {
        match wanted.prices.get(path) {
            Some(usd) => drop(after.prices.insert(path.to_owned(), usd.clone())),
            None => drop(after.prices.remove(path)),
        }
    }
    mask.field("mode", wanted.mode).apply(&mut after.mode);
    mask.field("max_output_tokens", wanted.max_output_tokens).apply(&mut after.max_output_tokens);
    mask.field("batch_discount", sent.batch_discount).apply_or_default(&mut after.batch_discount);
    let excludes = mask.field("multiplier_excludes_cache", sent.multiplier_excludes_cache);
    excludes.apply_or_default(&mut after.multiplier_excludes_cache);
    after
}
