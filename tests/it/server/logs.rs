//! Logs: request ids in, request ids out, and never a secret.

use bursar::pb;

use crate::support::database::{Database, fresh_directory};
use crate::support::process::Process;
use crate::support::world::{MASTER, World};
use crate::support::{Answer, Backend, Client};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_carry_a_request_id() {
    let world = World::start(Backend::Sqlite).await;
    let id =
        |metadata: &tonic::metadata::MetadataMap| metadata.get("x-request-id").unwrap().to_str().unwrap().to_owned();
    let made = world.admin.users().list_roles(pb::ListRolesRequest {}).await.unwrap();
    assert_eq!(id(made.metadata()).len(), 36, "one is made where none came");
    let named = world.admin.with_header("x-request-id", "mine-1");
    assert_eq!(id(named.users().list_roles(pb::ListRolesRequest {}).await.unwrap().metadata()), "mine-1");
    let refused = world.anonymous().with_header("x-request-id", "mine-2");
    let status = refused.users().list_roles(pb::ListRolesRequest {}).await.unwrap_err();
    assert_eq!(id(status.metadata()), "mine-2");
    // A model call that goes well has one only if the client sent one.
    let status = |client: Client| async move {
        client.gateway().release(pb::ReleaseRequest { reservation_id: "x".into() }).await
    };
    assert_eq!(id(status(named).await.unwrap_err().metadata()), "mine-1");
    assert_eq!(id(status(world.admin.clone()).await.unwrap_err().metadata()).len(), 36);
    let key = world.key(pb::Key::default()).await.0;
    let asked = pb::AuthorizeRequest { model: "gpt-4o".into(), ..Default::default() };
    let called = |client: Client| {
        let asked = asked.clone();
        async move { client.gateway().authorize(asked).await.unwrap() }
    };
    assert!(called(world.with_key(&key)).await.metadata().get("x-request-id").is_none());
    assert_eq!(id(called(world.with_key(&key).with_header("x-request-id", "mine-3")).await.metadata()), "mine-3");
    let endless = world.admin.with_header("x-request-id", &"x".repeat(500));
    assert_eq!(id(endless.users().list_roles(pb::ListRolesRequest {}).await.unwrap().metadata()).len(), 36);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_name_requests_and_hold_no_secret() {
    let directory = fresh_directory();
    let database = Database::new(Backend::Sqlite).await;
    let settings = [("master-key", MASTER), ("log-level", "trace"), ("log-format", "json")];
    let mut server = Process::serve(&directory, &database.url, &settings);
    let admin = Client::anonymous(server.connect().await).with_key(MASTER);
    let generate =
        pb::GenerateKeyRequest { key: Some(pb::Key::default()), request_id: "once".into(), ..Default::default() };
    let secret = admin.keys().generate_key(generate).await.answer().secret;
    let own = admin.with_key(&secret).with_header("x-request-id", "trace-me");
    let reservation = crate::gateway::reserve(&own, "a", "0.1").await;
    crate::gateway::settle(&own, &reservation, 10).await;
    let wrong = format!("{secret}-wrong");
    admin.with_key(&wrong).users().list_roles(pb::ListRolesRequest {}).await.unwrap_err();
    admin.keys().get_key(pb::GetKeyRequest { key: secret.clone() }).await.answer();
    server.terminate();
    let log = server.finish();
    assert!(log.contains("trace-me") && log.contains("/bursar.v1.GatewayService/Settle"), "{log}");
    for hidden in [MASTER, &secret, &wrong] {
        assert!(!log.contains(hidden), "a secret is in the log");
    }
    for line in log.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line.get("timestamp").is_some() && line.get("level").is_some(), "{line}");
    }
    std::fs::remove_dir_all(directory).unwrap();
}
