//! Limits: on calls in flight and on time.

use std::time::{Duration, Instant};

use bursar::pb;
use pb::ErrorReason;
use tonic::{Code, Request};
use tonic_types::StatusExt;

use crate::support::world::World;
use crate::support::{Answer, Backend, reason_of};

/// Keeps the database busy, so that whoever writes must wait.
async fn lock(world: &World) -> sqlx::SqliteConnection {
    use sqlx::{Connection, Executor};
    let path = world.database.url.clone();
    let mut connection = sqlx::SqliteConnection::connect(&path).await.unwrap();
    connection.execute("BEGIN IMMEDIATE").await.unwrap();
    connection
}

fn create(id: &str) -> pb::CreateUserRequest {
    let user = pb::User { user_id: id.into(), ..Default::default() };
    pb::CreateUserRequest { user: Some(user), auto_create_key: Some(false), ..Default::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_that_takes_too_long_is_given_up() {
    let world = World::builder(Backend::Sqlite).set("request_timeout", "1s").start().await;
    let lock = lock(&world).await;
    let status = world
        .admin
        .users()
        .create_user(create("a"))
        .await
        .refused(Code::DeadlineExceeded, ErrorReason::DeadlineExceeded);
    assert!(!status.message().is_empty());
    drop(lock);
    world.admin.users().list_roles(pb::ListRolesRequest {}).await.answer();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_may_ask_for_less_time() {
    let world = World::start(Backend::Sqlite).await;
    let _lock = lock(&world).await;
    let began = Instant::now();
    let mut request = Request::new(create("a"));
    request.set_timeout(Duration::from_millis(200));
    let status = world.admin.users().create_user(request).await.unwrap_err();
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status:?}");
    assert!(began.elapsed() < Duration::from_secs(20));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_calls_in_flight_are_refused_with_when_to_retry() {
    let world = World::builder(Backend::Sqlite).set("max_concurrent_requests", "2").start().await;
    let lock = lock(&world).await;
    let mut waiting = tokio::task::JoinSet::new();
    for number in 0..2 {
        let client = world.admin.clone();
        waiting.spawn(async move { client.users().create_user(create(&format!("u{number}"))).await.map(|_| ()) });
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let status = loop {
        match world.admin.users().list_roles(pb::ListRolesRequest {}).await {
            Err(status) => break status,
            Ok(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    };
    assert_eq!((status.code(), reason_of(&status).as_str()), (Code::ResourceExhausted, "TOO_MANY_REQUESTS"));
    assert!(status.get_error_details().retry_info().is_some());
    drop(lock);
    for outcome in waiting.join_all().await {
        outcome.unwrap();
    }
    world.admin.users().list_roles(pb::ListRolesRequest {}).await.answer();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_answers_even_when_too_much_is_in_flight() {
    let world = World::builder(Backend::Sqlite).set("max_concurrent_requests", "1").start().await;
    let _lock = lock(&world).await;
    let client = world.admin.clone();
    tokio::spawn(async move { client.users().create_user(create("a")).await.map(|_| ()) });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut health = tonic_health::pb::health_client::HealthClient::new(world.anonymous().channel);
    let request = tonic_health::pb::HealthCheckRequest { service: String::new() };
    health.check(request).await.answer();
}
