//! Envoy's doors: what a sidecar asks that knows nothing of Bursar, in Envoy's own
//! protocols. Thin adapters over what the gateway service does.

mod ext_authz;
mod http;
mod rate_limit;

use std::sync::Arc;

use tonic::service::RoutesBuilder;
use tonic::{Request, Response, Status};

use super::{App, read};
use crate::domain::reason::Reason;
use crate::error::{Error, RETRY};
use crate::pb::envoy::service::auth::v3 as auth;
use crate::pb::envoy::service::ratelimit::v3 as ratelimit;

/// The most bytes of a message: a request's headers, and as much of its body as
/// Envoy is told to send.
const MESSAGE_MAX_BYTES: usize = 8 * 1024 * 1024;

/// Adds the services.
pub(super) fn add(routes: &mut RoutesBuilder, app: &Arc<App>) {
    let envoy = || Envoy(Arc::clone(app));
    routes
        .add_service(
            auth::authorization_server::AuthorizationServer::new(envoy()).max_decoding_message_size(MESSAGE_MAX_BYTES),
        )
        .add_service(
            ratelimit::rate_limit_service_server::RateLimitServiceServer::new(envoy())
                .max_decoding_message_size(MESSAGE_MAX_BYTES),
        );
}

/// Both services.
struct Envoy(Arc<App>);

#[tonic::async_trait]
impl auth::authorization_server::Authorization for Envoy {
    async fn check(&self, request: Request<auth::CheckRequest>) -> Result<Response<auth::CheckResponse>, Status> {
        read(&self.0, request, ext_authz::check).await
    }
}

#[tonic::async_trait]
impl ratelimit::rate_limit_service_server::RateLimitService for Envoy {
    async fn should_rate_limit(
        &self,
        request: Request<ratelimit::RateLimitRequest>,
    ) -> Result<Response<ratelimit::RateLimitResponse>, Status> {
        read(&self.0, request, rate_limit::should_rate_limit).await
    }
}

/// Where no decision can be made Envoy decides, by its `failure_mode`: all it
/// understands is that there is none.
fn undecided(error: Error) -> Error {
    match error {
        Error::Invalid(_) | Error::Unavailable { .. } | Error::Exhausted { .. } | Error::Unauthenticated { .. } => {
            error
        }
        other => Error::Unavailable { reason: Reason::StoreUnavailable, cause: format!("{other:?}"), retry: RETRY },
    }
}
