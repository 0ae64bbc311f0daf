//! What the settings say of callers: where their credential stands, how many
//! wrong ones they may try, how many requests they may send.

use bursar::pb;
use pb::ErrorReason;
use tonic::Code;
use tonic_types::StatusExt;

use crate::support::world::World;
use crate::support::{Answer, Backend, Client};

async fn ask(client: &Client) -> Result<tonic::Response<pb::ListRolesResponse>, tonic::Status> {
    client.users().list_roles(pb::ListRolesRequest {}).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credential_may_stand_in_metadata_of_another_name() {
    let world = World::builder(Backend::Sqlite).set("key_metadata_name", "x-bursar-key").start().await;
    let secret = world.person_secret("alice", pb::Role::InternalUser).await;
    let bearer = format!("Bearer {secret}");
    for value in [secret.as_str(), bearer.as_str()] {
        ask(&world.anonymous().with_header("x-bursar-key", value)).await.answer();
    }
    ask(&world.with_key(&secret)).await.answer();
    // The one of its own name counts.
    let both = world.with_key(&secret).with_header("x-bursar-key", "sk-nobody-has-this-secret");
    ask(&both).await.refused(Code::Unauthenticated, ErrorReason::KeyUnknown);
    ask(&world.anonymous()).await.refused(Code::Unauthenticated, ErrorReason::CredentialMissing);
    // Without the setting it is not looked at.
    let world = World::start(Backend::Sqlite).await;
    let secret = world.person_secret("alice", pb::Role::InternalUser).await;
    let elsewhere = world.anonymous().with_header("x-bursar-key", &secret);
    ask(&elsewhere).await.refused(Code::Unauthenticated, ErrorReason::CredentialMissing);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_many_wrong_credentials_are_told_so() {
    let world = World::builder(Backend::Sqlite).set("auth_failure_rate", "2").start().await;
    let stranger = world.with_key("sk-nobody-has-this-secret");
    for _ in 0..2 {
        ask(&stranger).await.refused(Code::Unauthenticated, ErrorReason::KeyUnknown);
    }
    ask(&stranger).await.refused(Code::ResourceExhausted, ErrorReason::TooManyFailures);
    ask(&world.admin).await.answer();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_gets_so_many_requests_a_minute() {
    let world = World::builder(Backend::Sqlite).set("management_rate", "3").start().await;
    let alice = world.person("alice", pb::Role::InternalUser).await;
    let bob = world.person("bob", pb::Role::InternalUser).await;
    let (secret, _) = world.key(pb::Key { user_id: Some("alice".into()), ..Default::default() }).await;
    for client in [&alice, &world.with_key(&secret), &alice] {
        ask(client).await.answer();
    }
    let refused = ask(&world.with_key(&secret)).await.refused(Code::ResourceExhausted, ErrorReason::TooManyRequests);
    let wait = refused.get_details_retry_info().and_then(|info| info.retry_delay).expect("when to try again");
    assert!((50..=60).contains(&wait.as_secs()), "{wait:?}");
    ask(&bob).await.answer();
    // Model calls, gateways and the master key are not counted.
    let sidecar = world.sidecar().await;
    for number in 0..5 {
        ask(&sidecar).await.answer();
        ask(&world.admin).await.answer();
        crate::gateway::authorize(&alice, crate::gateway::ask(&format!("call-{number}"), "0")).await;
    }
}
