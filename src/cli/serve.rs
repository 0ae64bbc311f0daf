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

/// Where somebody on this machine finds a server that listens there.
fn within_reach(address: SocketAddr) -> String {
    if address.ip().is_unspecified() { format!("localhost:{}", address.port()) } else { address.to_string() }
}

/// What the first start prints: the master key, this once, and what to type.
fn welcome(key: &Secret, address: SocketAddr) -> String {
    let key = key.reveal();
    let address = within_reach(address);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_to_an_address_that_is_none() {
        for (listens, told) in [
            ("127.0.0.1:1", "127.0.0.1:1"),
            ("[::]:50051", "localhost:50051"),
            ("0.0.0.0:50051", "localhost:50051"),
            ("[::1]:2", "[::1]:2"),
        ] {
            assert_eq!(within_reach(listens.parse().expect("an address")), told);
        }
    }
}
