//! `GatewayService`: a table of contents.

pub(super) mod authorize;
mod explain;
mod extend;
mod release;
mod session;
mod settle;
mod watch;
mod who;

use std::sync::Arc;

use tonic::{Request, Response, Status, Streaming};

use super::{App, read, write};
use crate::pb;

/// The service.
pub(super) struct Gateway(pub(super) Arc<App>);

// A reservation that is made or freed for a client that went away is made or
// freed all the same; what is booked, or added to a reservation, must come to its
// end.
#[tonic::async_trait]
impl pb::gateway_service_server::GatewayService for Gateway {
    async fn authorize(
        &self,
        request: Request<pb::AuthorizeRequest>,
    ) -> Result<Response<pb::AuthorizeResponse>, Status> {
        read(&self.0, request, authorize::authorize).await
    }

    async fn settle(&self, request: Request<pb::SettleRequest>) -> Result<Response<pb::SettleResponse>, Status> {
        write(&self.0, request, settle::settle).await
    }

    async fn extend(&self, request: Request<pb::ExtendRequest>) -> Result<Response<pb::ExtendResponse>, Status> {
        write(&self.0, request, extend::extend).await
    }

    async fn explain_decision(
        &self,
        request: Request<pb::ExplainDecisionRequest>,
    ) -> Result<Response<pb::ExplainDecisionResponse>, Status> {
        read(&self.0, request, explain::explain_decision).await
    }

    type SessionStream = session::Results;

    async fn session(
        &self,
        request: Request<Streaming<pb::SessionRequest>>,
    ) -> Result<Response<session::Results>, Status> {
        session::session(&self.0, request)
    }

    type WatchChangesStream = watch::Changes;

    async fn watch_changes(
        &self,
        request: Request<pb::WatchChangesRequest>,
    ) -> Result<Response<watch::Changes>, Status> {
        watch::watch_changes(&self.0, request).await
    }

    async fn release(&self, request: Request<pb::ReleaseRequest>) -> Result<Response<pb::ReleaseResponse>, Status> {
        read(&self.0, request, release::release).await
    }
}
