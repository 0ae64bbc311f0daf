//! `KeyService`: a table of contents.

mod aliases;
mod batch_get;
mod batch_update;
mod block;
mod change;
mod delete;
mod generate;
mod get;
mod list;
mod named;
mod regenerate;
mod rules;
mod update;

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{App, read, write};
use crate::pb;

/// The service.
pub(super) struct Keys(pub(super) Arc<App>);

#[tonic::async_trait]
impl pb::key_service_server::KeyService for Keys {
    async fn generate_key(
        &self,
        request: Request<pb::GenerateKeyRequest>,
    ) -> Result<Response<pb::GenerateKeyResponse>, Status> {
        write(&self.0, request, generate::generate_key).await
    }

    async fn get_key(&self, request: Request<pb::GetKeyRequest>) -> Result<Response<pb::GetKeyResponse>, Status> {
        read(&self.0, request, get::get_key).await
    }

    async fn batch_get_keys(
        &self,
        request: Request<pb::BatchGetKeysRequest>,
    ) -> Result<Response<pb::BatchGetKeysResponse>, Status> {
        read(&self.0, request, batch_get::batch_get_keys).await
    }

    async fn list_keys(&self, request: Request<pb::ListKeysRequest>) -> Result<Response<pb::ListKeysResponse>, Status> {
        read(&self.0, request, list::list_keys).await
    }

    async fn list_key_aliases(
        &self,
        request: Request<pb::ListKeyAliasesRequest>,
    ) -> Result<Response<pb::ListKeyAliasesResponse>, Status> {
        read(&self.0, request, aliases::list_key_aliases).await
    }

    async fn update_key(
        &self,
        request: Request<pb::UpdateKeyRequest>,
    ) -> Result<Response<pb::UpdateKeyResponse>, Status> {
        write(&self.0, request, update::update_key).await
    }

    async fn batch_update_keys(
        &self,
        request: Request<pb::BatchUpdateKeysRequest>,
    ) -> Result<Response<pb::BatchUpdateKeysResponse>, Status> {
        write(&self.0, request, batch_update::batch_update_keys).await
    }

    async fn regenerate_key(
        &self,
        request: Request<pb::RegenerateKeyRequest>,
    ) -> Result<Response<pb::RegenerateKeyResponse>, Status> {
        write(&self.0, request, regenerate::regenerate_key).await
    }

    async fn delete_keys(
        &self,
        request: Request<pb::DeleteKeysRequest>,
    ) -> Result<Response<pb::DeleteKeysResponse>, Status> {
        write(&self.0, request, delete::delete_keys).await
    }

    async fn block_key(&self, request: Request<pb::BlockKeyRequest>) -> Result<Response<pb::BlockKeyResponse>, Status> {
        write(&self.0, request, block::block_key).await
    }

    async fn unblock_key(
        &self,
        request: Request<pb::UnblockKeyRequest>,
    ) -> Result<Response<pb::UnblockKeyResponse>, Status> {
        write(&self.0, request, block::unblock_key).await
    }
}
