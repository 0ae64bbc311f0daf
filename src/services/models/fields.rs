//! The fields of a model: as they are sent, and as they are shown.

use std::collections::BTreeMap;

use crate::domain::clock::Timestamp;
use crate::domain::model::{self, AnyModel, Model};
use crate::domain::models::MODEL_NAME_MAX_BYTES;
use crate::domain::pricing::counts::COUNT_MAX;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::{etag, instant, metadata, text};

/// Takes a model as it is sent.
pub(super) fn take(sent: &pb::Model, allow_implausible: bool, now: Timestamp, faults: &mut Faults) -> Model {
    model::check_name("model.model_name", &sent.model_name, &mut faults.0);
    for (field, value, max) in [
        ("model.deployment", &sent.deployment, MODEL_NAME_MAX_BYTES),
        ("model.provider", &sent.provider, text::LABEL_MAX_BYTES),
        ("model.provider_model", &sent.provider_model, MODEL_NAME_MAX_BYTES),
        ("model.base_model", &sent.base_model, MODEL_NAME_MAX_BYTES),
    ] {
        text::check(field, value, max, faults);
    }
    if sent.max_output_tokens.is_some_and(|most| !(1..=COUNT_MAX).contains(&most)) {
        faults.add("model.max_output_tokens", format!("must be 1-{COUNT_MAX}"));
    }
    Model {
        model_name: sent.model_name.clone(),
        deployment: sent.deployment.clone(),
        provider: sent.provider.clone(),
        provider_model: sent.provider_model.clone(),
        base_model: sent.base_model.clone(),
        access_groups: model::take_groups("model.access_groups", &sent.access_groups, &mut faults.0),
        prices: model::take_prices("model.prices", &sent.prices, allow_implausible, &mut faults.0),
        mode: text::label("model.mode", sent.mode.as_ref(), faults),
        max_output_tokens: sent.max_output_tokens,
        batch_discount: sent.batch_discount.unwrap_or_default(),
        multiplier_excludes_cache: sent.multiplier_excludes_cache.unwrap_or_default(),
        metadata: metadata::take("model.metadata", sent.metadata.as_ref(), metadata::METADATA_MAX_BYTES, faults),
        created_at: now,
        updated_at: now,
        version: 1,
    }
}

/// A model on the wire, with the price that holds now.
pub(super) fn to_wire(ctx: &Ctx, shown: AnyModel) -> pb::Model {
    let prices = ctx.app.gate.prices();
    match shown {
        AnyModel::Registered(model) => {
            let found = prices.registered(&model.model_name, &model.deployment, ctx.now);
            let (price, fields) = found.unzip();
            pb::Model {
                model_name: model.model_name,
                deployment: model.deployment,
                provider: model.provider,
                provider_model: model.provider_model,
                base_model: model.base_model,
                access_groups: model.access_groups,
                prices: model.prices.into_iter().collect(),
                mode: model.mode,
                max_output_tokens: model.max_output_tokens,
                batch_discount: Some(model.batch_discount),
                multiplier_excludes_cache: Some(model.multiplier_excludes_cache),
                metadata: metadata::to_wire_if_any(&model.metadata),
                source: pb::ModelSource::Registered.into(),
                effective_prices: fields.map(model::shown_prices).unwrap_or_default().into_iter().collect(),
                price_id: price.map(|price| price.price_id.clone()).unwrap_or_default(),
                prices_valid_from: price.and_then(|price| since(price.valid_from)),
                created_at: Some(instant::to_wire(model.created_at)),
                updated_at: Some(instant::to_wire(model.updated_at)),
                etag: etag::of(model.version),
            }
        }
        AnyModel::Listed(listed) => {
            let price = prices.exact(&listed.model_name, ctx.now);
            let own: BTreeMap<String, String> = model::shown_prices(&listed.fields).into_iter().collect();
            pb::Model {
                provider: price.and_then(|price| price.provider.clone()).unwrap_or_default(),
                mode: price.and_then(|price| price.mode.clone()),
                max_output_tokens: price.and_then(|price| price.max_output_tokens),
                source: pb::ModelSource::Catalogue.into(),
                effective_prices: own,
                price_id: price.map(|price| price.price_id.clone()).unwrap_or_default(),
                prices_valid_from: price.and_then(|price| since(price.valid_from)),
                created_at: Some(instant::to_wire(listed.created_at)),
                model_name: listed.model_name,
                ..pb::Model::default()
            }
        }
    }
}

/// From when on prices hold; none if that is since ever.
fn since(from: Timestamp) -> Option<prost_types::Timestamp> {
    (from != Timestamp::EPOCH).then(|| instant::to_wire(from))
}
