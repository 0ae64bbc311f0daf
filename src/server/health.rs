//! Health: per service, and not serving before the server drains.

use std::time::Duration;

use tonic_health::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::server::HealthReporter;

/// How long watchers have to hear that the server stops.
const NOTICE: Duration = Duration::from_millis(100);

/// The services that are reported, besides the whole server.
const SERVICES: [&str; 7] = [
    "bursar.v1.AuditService",
    "bursar.v1.BudgetService",
    "bursar.v1.GatewayService",
    "bursar.v1.KeyService",
    "bursar.v1.SpendService",
    "bursar.v1.TeamService",
    "bursar.v1.UserService",
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
