//! The contract: what the protos say and what the server has are the same.

use std::collections::BTreeSet;

use bursar::auth::{POLICY, rule_of};
use bursar::domain::reason::Reason;
use prost::Message;
use prost_types::FileDescriptorProto;
use strum::VariantArray;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::support::raw::Contract;
use crate::support::{Answer, Backend, World};

#[test]
fn every_rpc_has_a_row_in_the_policy_and_every_row_an_rpc() {
    let contract = Contract::new();
    let declared: BTreeSet<String> = contract.rpcs().into_iter().map(|(name, _)| name).collect();
    assert!(declared.len() > 30, "{declared:?}");
    let ruled: BTreeSet<String> = POLICY.iter().map(|rule| rule.rpc.to_owned()).collect();
    assert_eq!(ruled.len(), POLICY.len(), "a row stands twice");
    let (ours, of_envoy): (BTreeSet<_>, BTreeSet<_>) = ruled.into_iter().partition(|rpc| rpc.starts_with("bursar."));
    assert_eq!(declared, ours);
    assert_eq!(of_envoy.len(), 2, "{of_envoy:?}");
    assert!(declared.iter().all(|rpc| rule_of(rpc).is_some_and(|rule| rule.rpc == rpc)));
}

#[test]
fn the_proto_knows_every_reason_and_no_other() {
    let contract = Contract::new();
    let reasons =
        contract.own_files().flat_map(|file| &file.enum_type).find(|kind| kind.name() == "ErrorReason").unwrap();
    let told: BTreeSet<&str> =
        reasons.value.iter().map(|value| value.name().trim_start_matches("ERROR_REASON_")).collect();
    let known: BTreeSet<&str> = Reason::VARIANTS.iter().map(|reason| reason.as_str()).chain(["UNSPECIFIED"]).collect();
    assert_eq!(told, known);
}

/// Every declaration of a file, by its path in the descriptor, with its name.
fn declarations(file: &FileDescriptorProto) -> Vec<(Vec<i32>, String)> {
    let mut found = Vec::new();
    let number = |index: usize| i32::try_from(index).unwrap();
    for (m, message) in file.message_type.iter().enumerate() {
        found.push((vec![4, number(m)], message.name().to_owned()));
        for (f, field) in message.field.iter().enumerate() {
            found.push((vec![4, number(m), 2, number(f)], format!("{}.{}", message.name(), field.name())));
        }
    }
    for (e, kind) in file.enum_type.iter().enumerate() {
        found.push((vec![5, number(e)], kind.name().to_owned()));
        for (v, value) in kind.value.iter().enumerate() {
            found.push((vec![5, number(e), 2, number(v)], value.name().to_owned()));
        }
    }
    for (s, service) in file.service.iter().enumerate() {
        found.push((vec![6, number(s)], service.name().to_owned()));
        for (r, method) in service.method.iter().enumerate() {
            found.push((vec![6, number(s), 2, number(r)], format!("{}.{}", service.name(), method.name())));
        }
    }
    found
}

#[test]
fn everything_in_the_protos_has_a_comment() {
    for file in Contract::new().own_files() {
        let info = file.source_code_info.clone().unwrap_or_default();
        let commented: BTreeSet<Vec<i32>> = info
            .location
            .iter()
            .filter(|location| !location.leading_comments().trim().is_empty())
            .map(|location| location.path.clone())
            .collect();
        for (path, name) in declarations(file) {
            assert!(commented.contains(&path), "{}: {name} has no comment", file.name());
        }
    }
}

#[tokio::test]
async fn every_service_is_healthy_and_the_health_of_others_is_unknown() {
    let world = World::start(Backend::Sqlite).await;
    let mut health = HealthClient::new(world.anonymous().channel);
    for service in Contract::new().services().into_iter().chain([String::new()]) {
        let answer = health.check(HealthCheckRequest { service: service.clone() }).await.answer();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }
    let stranger = HealthCheckRequest { service: "bursar.v1.DreamService".into() };
    assert_eq!(health.check(stranger).await.unwrap_err().code(), tonic::Code::NotFound);
}

/// What a server tells about its services by reflection, in both versions of
/// the protocol.
macro_rules! ask_reflection {
    ($version:ident, $channel:expr) => {{
        use tonic_reflection::pb::$version::ServerReflectionRequest;
        use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
        use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
        use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;
        let ask =
            |message_request| ServerReflectionRequest { host: String::new(), message_request: Some(message_request) };
        let requests = vec![
            ask(MessageRequest::ListServices(String::new())),
            ask(MessageRequest::FileContainingSymbol("bursar.v1.KeyService".to_owned())),
        ];
        let mut client = ServerReflectionClient::new($channel);
        let mut answers =
            client.server_reflection_info(tonic::Request::new(futures_util::stream::iter(requests))).await.answer();
        let first = answers.message().await.unwrap().unwrap().message_response.unwrap();
        let MessageResponse::ListServicesResponse(list) = first else { panic!("{first:?}") };
        let second = answers.message().await.unwrap().unwrap().message_response.unwrap();
        let MessageResponse::FileDescriptorResponse(files) = second else { panic!("{second:?}") };
        let names: BTreeSet<String> = list.service.into_iter().map(|service| service.name).collect();
        (names, files.file_descriptor_proto)
    }};
}

#[tokio::test]
async fn reflection_lists_the_services_and_shows_their_comments() {
    let world = World::start(Backend::Sqlite).await;
    let channel = world.anonymous().channel;
    for (names, files) in [ask_reflection!(v1, channel.clone()), ask_reflection!(v1alpha, channel.clone())] {
        assert!(Contract::new().services().into_iter().all(|service| names.contains(&service)), "{names:?}");
        assert!(names.contains("grpc.health.v1.Health"), "{names:?}");
        let file = FileDescriptorProto::decode(files[0].as_slice()).unwrap();
        assert_eq!(file.service[0].name(), "KeyService");
        assert!(!file.source_code_info.unwrap().location.is_empty(), "the comments are gone");
    }
}

#[tokio::test]
async fn reflection_can_be_closed_to_strangers() {
    let world = World::builder(Backend::Sqlite).set("reflection_public", "false").start().await;
    let ask = |client: crate::support::Client| async move {
        use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
        let mut reflection = ServerReflectionClient::new(client.transport());
        let requests = futures_util::stream::iter(Vec::new());
        reflection.server_reflection_info(tonic::Request::new(requests)).await
    };
    assert_eq!(ask(world.anonymous()).await.unwrap_err().code(), tonic::Code::Unauthenticated);
    ask(world.admin.clone()).await.unwrap();
}
