//! Connections: how old they become, and that nobody notices.

use std::time::{Duration, Instant};

use bursar::pb;

use crate::support::database::{Database, fresh_directory};
use crate::support::process::Process;
use crate::support::world::MASTER;
use crate::support::{Answer, Backend, Client};

/// Calls as gRPC has it: what the client's own transport gave up, before the server
/// saw it, is sent again on the next connection.
async fn list(client: &Client) {
    for _ in 0..5 {
        match client.keys().list_keys(pb::ListKeysRequest::default()).await {
            Err(status) if std::error::Error::source(&status).is_some() => {}
            answered => {
                answered.answer();
                return;
            }
        }
    }
    panic!("no connection takes the call");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_connection_is_replaced_without_a_failed_call() {
    let directory = fresh_directory();
    let database = Database::empty(Backend::Sqlite).await;
    let ages = [("master-key", MASTER), ("max-connection-age", "1s"), ("max-connection-age-grace", "1s")];
    let server = Process::serve(&directory, &database.url, &ages);
    let client = Client::anonymous(server.connect().await).with_key(MASTER);
    let mut watching = client.gateway().watch_changes(pb::WatchChangesRequest::default()).await.answer();
    let began = Instant::now();
    let mut calls = 0;
    while server.metric("bursar_connections_total").await < 3 {
        assert!(began.elapsed() < Duration::from_mins(1));
        list(&client).await;
        calls += 1;
    }
    assert!(calls > 10, "{calls}");
    // Who watches for long is cut off when the grace is over, and comes again.
    let cut = loop {
        match watching.message().await {
            Ok(Some(_)) => {}
            Ok(None) => break None,
            Err(status) => break Some(status),
        }
    };
    assert!(cut.is_some(), "the stream was not at its end");
    assert!(server.metric("bursar_connections").await <= 2);
    std::fs::remove_dir_all(directory).unwrap();
}
