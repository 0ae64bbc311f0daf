//! Stopping: SIGTERM takes no new calls, finishes those in flight, flushes.

use bursar::pb;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::gateway::ask;
use crate::spend::event;
use crate::support::database::{Database, connect_options, fresh_directory};
use crate::support::process::Process;
use crate::support::world::MASTER;
use crate::support::{Answer, Backend, Client, on_both};

on_both! {
    async fn it_goes_on_for_a_while_after_it_said_that_it_stops(backend: Backend) {
        let (database, directory) = (Database::empty(backend).await, fresh_directory());
        let server = Process::serve(&directory, &database.url, &[("master-key", MASTER), ("stop-delay", "3s")]);
        let ready = async || reqwest::get(format!("{}/readyz", server.http_address)).await.unwrap().status().as_u16();
        assert_eq!(ready().await, 200);
        server.terminate();
        while ready().await == 200 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        assert_eq!(ready().await, 503);
        let admin = Client::anonymous(server.connect().await).with_key(MASTER);
        admin.keys().list_keys(pb::ListKeysRequest::default()).await.answer();
        let (code, _) = tokio::task::spawn_blocking(move || server.wait()).await.unwrap();
        assert_eq!(code, Some(0));
        std::fs::remove_dir_all(directory).unwrap();
    }

    async fn sigterm_finishes_what_is_in_flight_and_loses_nothing(backend: Backend) {
        let database = Database::empty(backend).await;
        let directory = fresh_directory();
        let server = Process::serve(&directory, &database.url, &[("master-key", MASTER)]);
        let channel = server.connect().await;
        let admin = Client::anonymous(channel.clone()).with_key(MASTER);
        let generate = pb::GenerateKeyRequest { key: Some(pb::Key::default()), ..Default::default() };
        let secret = admin.keys().generate_key(generate).await.answer().secret;
        let mut health = HealthClient::new(channel.clone()).watch(HealthCheckRequest { service: "bursar.v1.GatewayService".into() }).await.answer();
        assert_eq!(health.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
        let mut workers = tokio::task::JoinSet::new();
        for worker in 0..8 {
            let client = Client::anonymous(server.connect().await).with_key(MASTER);
            let secret = secret.clone();
            workers.spawn(async move {
                for number in 0.. {
                    let id = format!("{worker}-{number}");
                    let events = vec![event(&id, &secret, 400)];
                    match client.spend().record_usage(pb::RecordUsageRequest { events, ..Default::default() }).await {
                        Ok(answer) => assert_eq!(answer.into_inner().recorded, 1),
                        Err(status) => {
                            // Told that it was not booked, or by the client's own transport
                            // that the connection is closed.
                            let by_transport = std::error::Error::source(&status).is_some();
                            assert!(by_transport || status.code() == Code::Unavailable, "{status:?}");
                            return number;
                        }
                    }
                }
                unreachable!("the server goes away");
            });
        }
        while bursar_events(&database).await < 100 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        server.terminate();
        assert_eq!(health.message().await.unwrap().unwrap().status(), ServingStatus::NotServing, "told before the drain");
        let acknowledged: u64 = workers.join_all().await.into_iter().sum();
        let (code, _) = tokio::task::spawn_blocking(move || server.wait()).await.unwrap();
        assert_eq!(code, Some(0));
        let store = bursar::store::Store::connect(&connect_options(&database.url)).await.unwrap();
        let verified = store.verify().await.unwrap();
        assert!(verified.discrepancies.is_empty() && verified.events >= acknowledged, "{acknowledged} {verified:?}");
        std::fs::remove_dir_all(directory).unwrap();
    }

    async fn room_held_in_advance_is_given_back(backend: Backend) {
        let database = Database::empty(backend).await;
        let directory = fresh_directory();
        let server = Process::serve(&directory, &database.url, &[("master-key", MASTER)]);
        let admin = Client::anonymous(server.connect().await).with_key(MASTER);
        let key = pb::Key { max_budget: Some("1".into()), ..Default::default() };
        let secret = admin.keys().generate_key(pb::GenerateKeyRequest { key: Some(key), ..Default::default() }).await.answer().secret;
        let client = admin.with_key(&secret);
        for number in 0..10 {
            let id = crate::gateway::reserve(&client, &format!("r{number}"), "0.001").await;
            client.gateway().release(pb::ReleaseRequest { reservation_id: id }).await.answer();
        }
        server.terminate();
        assert_eq!(server.wait().0, Some(0));
        // The whole budget is there for the next.
        let server = Process::serve(&directory, &database.url, &[("master-key", MASTER)]);
        let client = Client::anonymous(server.connect().await).with_key(&secret);
        let answer = crate::gateway::authorize(&client, ask("all", "1")).await;
        assert_eq!(answer.decision(), pb::Decision::Allow, "{}", answer.message);
        std::fs::remove_dir_all(directory).unwrap();
    }
}

async fn bursar_events(database: &Database) -> u64 {
    let store = bursar::store::Store::connect(&connect_options(&database.url)).await.unwrap();
    store.verify().await.unwrap().events
}

#[tokio::test]
async fn a_client_that_does_not_answer_does_not_keep_the_server() {
    let directory = fresh_directory();
    let database = Database::new(Backend::Sqlite).await;
    let server = Process::serve(&directory, &database.url, &[("master-key", MASTER), ("drain-timeout", "1s")]);
    let admin = Client::anonymous(server.connect().await).with_key(MASTER);
    admin.users().list_roles(pb::ListRolesRequest {}).await.answer();
    server.terminate();
    // On this runtime's one thread: meanwhile the client hears nothing.
    assert_eq!(server.wait().0, Some(0));
    std::fs::remove_dir_all(directory).unwrap();
}
