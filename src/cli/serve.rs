//! `bursar serve`: the server, until it is told to stop.

use std::net::SocketAddr;
use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use super::{Outcome, say};
use crate::config::Settings;
use crate::domain::clock::Clock;
use crate::domain::secret::Secret;
use crate::server::Server;
use crate::telemetry;

/// Serves until SIGTERM or SIGINT.
pub(super) async fn run(settings: Settings) -> Outcome {
    telemetry::start(&settings)?;
    // Before anything takes time: a signal must not be missed.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut server = Server::bind(settings, Clock::system()).await?;
    let address = server.address()?;
    tracing::info!(%address, "serving gRPC");
    tracing::info!(address = %server.http_address()?, "serving HTTP");
    if let Some(key) = server.new_master_key.take() {
        say(welcome(&key, address));
    }
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    server.serve(stop).await?;
    Ok(ExitCode::SUCCESS)
}

/// What the first start prints: the master key, this once, and what to type.
fn welcome(key: &Secret, address: SocketAddr) -> String {
    let key = key.reveal();
    format!(
        "
The master key, shown this once (only its hash is kept):

  {key}

Try it, in another terminal:

  export KEY={key}
  grpcurl -plaintext -H \"authorization: Bearer $KEY\" -d '{{\"key\": {{\"key_alias\": \"first\", \"max_budget\": \"1\"}}}}' \\
    {address} bursar.v1.KeyService/GenerateKey
  grpcurl -plaintext {address} list
"
    )
}
