//! `GetModel`: one model, registered or of the price list.

use crate::domain::fault::Refusal;
use crate::domain::model;
use crate::domain::models::MODEL_NAME_MAX_BYTES;
use crate::domain::reason::Reason;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::text;
use crate::store::{ModelFilter, PageRequest};

use super::{fields, scope};

/// How many deployments of one model are looked at.
const DEPLOYMENTS_MAX: u64 = 1_000;

/// Reads a model.
pub(super) async fn get_model(ctx: Ctx, request: pb::GetModelRequest) -> Result<pb::GetModelResponse, Error> {
    let mut faults = Faults::default();
    model::check_name("model_name", &request.model_name, &mut faults.0);
    text::check("deployment", &request.deployment, MODEL_NAME_MAX_BYTES, &mut faults);
    faults.finish()?;
    let filter = ModelFilter {
        name: Some(request.model_name.clone()),
        visible_to: scope::scope(&ctx).await?,
        ..ModelFilter::default()
    };
    let page = PageRequest { size: DEPLOYMENTS_MAX, after: None, count: false };
    let found = ctx.app.store.view().list_models(&filter, &page, ctx.now).await?.items;
    let mut shown: Vec<pb::Model> = found.into_iter().map(|model| fields::to_wire(&ctx, model)).collect();
    let wanted = shown.iter().position(|model| model.deployment == request.deployment);
    // Without a deployment the only one is meant.
    let only = (request.deployment.is_empty() && shown.len() == 1).then_some(0);
    let Some(index) = wanted.or(only) else {
        return Err(not_found([&request.model_name]).into());
    };
    Ok(pb::GetModelResponse { model: Some(shown.swap_remove(index)) })
}

/// The refusal of models that do not exist, or that the caller may not see.
pub(super) fn not_found(names: impl IntoIterator<Item = impl ToString>) -> Refusal {
    Refusal::not_found(Reason::ModelNotFound, "model", names)
}
