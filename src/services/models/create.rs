//! `CreateModel`: a model at a deployment.

use crate::domain::model::{AnyModel, Model};
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::answer::{Answer, Slot, once};
use crate::services::wire::faults::Faults;
use crate::services::wire::{taken, text};
use crate::store::Constraint;

use super::fields;

/// Registers a model.
pub(super) async fn create_model(ctx: Ctx, request: pb::CreateModelRequest) -> Result<pb::CreateModelResponse, Error> {
    let mut faults = Faults::default();
    let nothing = pb::Model::default();
    let sent = request.model.as_ref().unwrap_or(&nothing);
    text::request_id("request_id", &request.request_id, &mut faults);
    let model = fields::take(sent, request.allow_implausible, ctx.now, &mut faults);
    faults.finish()?;
    let made = once(&ctx, &request.request_id, &request, |slot| create(&ctx, model, slot)).await?;
    // A retry, too, is shown the prices that hold now.
    let found = ctx.app.store.view().find_model(&sent.model_name, &sent.deployment).await?;
    match found {
        Some(model) => {
            Ok(pb::CreateModelResponse { model: Some(fields::to_wire(&ctx, AnyModel::Registered(Box::new(model)))) })
        }
        None => Ok(made),
    }
}

async fn create(ctx: &Ctx, model: Model, slot: Slot) -> Result<pb::CreateModelResponse, Error> {
    let mut tx = ctx.begin().await?;
    tx.insert_model(&model).await.map_err(|error| {
        taken::explain(error, |constraint| (constraint == Constraint::Model).then(|| model.object_id()))
    })?;
    let answer = pb::CreateModelResponse { model: Some(fields::to_wire(ctx, AnyModel::Registered(Box::new(model)))) };
    slot.keep(ctx, &mut tx, &answer).await?;
    ctx.commit(tx).await?;
    Ok(answer)
}

impl Answer for pb::CreateModelResponse {}
