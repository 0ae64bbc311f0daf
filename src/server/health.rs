//! Health: per service, and not serving before the server drains.

use std::time::Duration;

use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::server::HealthReporter;

use crate::pb;

/// How long watchers have to hear that the server stops.
const NOTICE: Duration = Duration::from_millis(100);

/// The services that are reported, besides the whole server; a test compares
/// them with the contract.
const SERVICES: [&str; 11] = [
    pb::audit_service_server::SERVICE_NAME,
    pb::budget_service_server::SERVICE_NAME,
    pb::customer_service_server::SERVICE_NAME,
    pb::gateway_service_server::SERVICE_NAME,
    pb::key_service_server::SERVICE_NAME,
    pb::model_service_server::SERVICE_NAME,
    pb::organization_service_server::SERVICE_NAME,
    pb::spend_service_server::SERVICE_NAME,
    pb::team_service_server::SERVICE_NAME,
    pb::user_service_server::SERVICE_NAME,
    pb::webhook_service_server::SERVICE_NAME,
];

/// Reports the health of every service.
pub(super) struct Reporter(HealthReporter);

/// Starts reporting that everything is served.
pub(super) async fn start() -> (Reporter, HealthServer<impl Health>) {
    let (reporter, service) = tonic_health::server::health_reporter();
    for name in SERVICES {
        reporter.set_service_status(name, ServingStatus::Serving).await;
    }
    (Reporter(reporter), service)
}

impl Reporter {
    /// Tells everybody that nothing is served any more, and ends the streams of
    /// those who watch, which would keep the server from stopping.
    pub(super) async fn stop(mut self) {
        for name in SERVICES.into_iter().chain([""]) {
            self.0.set_service_status(name, ServingStatus::NotServing).await;
        }
        tokio::time::sleep(NOTICE).await;
        for name in SERVICES.into_iter().chain([""]) {
            self.0.clear_service_status(name).await;
        }
    }
}
