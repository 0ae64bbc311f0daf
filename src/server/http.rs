//! HTTP, for whoever watches the server: whether it lives, whether it takes calls,
//! and what it did.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::services::App;

/// Prometheus' text format.
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Serves, for as long as it is not aborted.
///
/// # Errors
/// If the socket fails.
pub(super) async fn serve(listener: TcpListener, app: Arc<App>) -> std::io::Result<()> {
    let routes = Router::new()
        .route("/livez", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(app);
    axum::serve(listener, routes).await
}

/// Whether it takes calls: until it begins to stop. What needs the database may
/// fail while that is away, and what is in memory goes on; another instance would
/// do no better. It does not wait for the database: who asks may not wait long.
async fn readyz(State(app): State<Arc<App>>) -> impl IntoResponse {
    let database = if app.store.is_away() { "away" } else { "ok" };
    if app.gate.is_leaving() {
        return (StatusCode::SERVICE_UNAVAILABLE, format!("stopping\ndatabase {database}\n"));
    }
    (StatusCode::OK, format!("ready\ndatabase {database}\n"))
}

async fn metrics(State(app): State<Arc<App>>) -> impl IntoResponse {
    let status = app.gate.status(app.clock.now());
    ([(CONTENT_TYPE, METRICS)], app.metrics.render(&status, &app.store.pools()))
}
