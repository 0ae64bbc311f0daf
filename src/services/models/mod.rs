//! `ModelService`: a table of contents.

mod create;
mod delete;
mod fields;
mod get;
mod import;
mod list;
mod scope;
mod update;

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{App, read, write};
use crate::pb;

/// The service.
pub(super) struct Models(pub(super) Arc<App>);

#[tonic::async_trait]
impl pb::model_service_server::ModelService for Models {
    async fn create_model(
        &self,
        request: Request<pb::CreateModelRequest>,
    ) -> Result<Response<pb::CreateModelResponse>, Status> {
        write(&self.0, request, create::create_model).await
    }

    async fn get_model(&self, request: Request<pb::GetModelRequest>) -> Result<Response<pb::GetModelResponse>, Status> {
        read(&self.0, request, get::get_model).await
    }

    async fn update_model(
        &self,
        request: Request<pb::UpdateModelRequest>,
    ) -> Result<Response<pb::UpdateModelResponse>, Status> {
        write(&self.0, request, update::update_model).await
    }

    async fn delete_models(
        &self,
        request: Request<pb::DeleteModelsRequest>,
    ) -> Result<Response<pb::DeleteModelsResponse>, Status> {
        write(&self.0, request, delete::delete_models).await
    }

    async fn list_models(
        &self,
        request: Request<pb::ListModelsRequest>,
    ) -> Result<Response<pb::ListModelsResponse>, Status> {
        read(&self.0, request, list::list_models).await
    }

    async fn import_prices(
        &self,
        request: Request<pb::ImportPricesRequest>,
    ) -> Result<Response<pb::ImportPricesResponse>, Status> {
        write(&self.0, request, import::import_prices).await
    }
}
