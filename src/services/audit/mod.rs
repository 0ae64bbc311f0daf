//! `AuditService`: a table of contents.

mod get;
mod list;
mod verify;

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{App, read};
use crate::pb;

/// The service.
pub(super) struct Audit(pub(super) Arc<App>);

#[tonic::async_trait]
impl pb::audit_service_server::AuditService for Audit {
    async fn list_audit_entries(
        &self,
        request: Request<pb::ListAuditEntriesRequest>,
    ) -> Result<Response<pb::ListAuditEntriesResponse>, Status> {
        read(&self.0, request, list::list_audit_entries).await
    }

    async fn get_audit_entry(
        &self,
        request: Request<pb::GetAuditEntryRequest>,
    ) -> Result<Response<pb::GetAuditEntryResponse>, Status> {
        read(&self.0, request, get::get_audit_entry).await
    }

    async fn verify_audit_log(
        &self,
        request: Request<pb::VerifyAuditLogRequest>,
    ) -> Result<Response<pb::VerifyAuditLogResponse>, Status> {
        read(&self.0, request, verify::verify_audit_log).await
    }
}
