//! `ModelService`: what clients ask for, and what it costs.

mod import;
mod list;
mod manage;
mod prices;

use bursar::pb;

use crate::support::Answer;
use crate::support::world::World;

/// Registers a model.
pub async fn create(world: &World, model: pb::Model) -> pb::Model {
    let request = pb::CreateModelRequest { model: Some(model), ..Default::default() };
    world.admin.models().create_model(request).await.answer().model.unwrap()
}

/// A model with prices per token.
pub fn model(name: &str, deployment: &str, prices: &[(&str, &str)]) -> pb::Model {
    let prices = prices.iter().map(|(field, usd)| ((*field).to_owned(), (*usd).to_owned())).collect();
    pb::Model { model_name: name.into(), deployment: deployment.into(), prices, ..Default::default() }
}

/// Reads a model.
pub async fn get(world: &World, name: &str, deployment: &str) -> pb::Model {
    let request = pb::GetModelRequest { model_name: name.into(), deployment: deployment.into() };
    world.admin.models().get_model(request).await.answer().model.unwrap()
}

/// Imports a price list.
pub async fn import(world: &World, catalogue: &str) -> pb::ImportPricesResponse {
    let request = pb::ImportPricesRequest { catalogue: catalogue.into(), ..Default::default() };
    world.admin.models().import_prices(request).await.answer()
}
