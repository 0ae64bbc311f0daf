//! `RateLimitService/ShouldRateLimit`: room for tokens.

use bursar::pb;
use bursar::pb::envoy::extensions::common::ratelimit::v3::RateLimitDescriptor;
use bursar::pb::envoy::extensions::common::ratelimit::v3::rate_limit_descriptor::Entry;
use bursar::pb::envoy::service::ratelimit::v3 as ratelimit;
use pb::ErrorReason;
use ratelimit::rate_limit_response::{Code, rate_limit::Unit};
use ratelimit::rate_limit_service_client::RateLimitServiceClient;
use tonic::{Response, Status};

use crate::gateway::{ask, authorize, denial};
use crate::support::world::{MODEL, World};
use crate::support::{Answer, Backend, Client, on_both};

fn descriptor(entries: &[(&str, &str)]) -> RateLimitDescriptor {
    let entries = entries.iter().map(|(key, value)| Entry { key: (*key).to_owned(), value: (*value).to_owned() });
    RateLimitDescriptor { entries: entries.collect(), hits_addend: None }
}

async fn limit(
    client: &Client,
    descriptors: Vec<RateLimitDescriptor>,
    hits_addend: u32,
) -> Result<Response<ratelimit::RateLimitResponse>, Status> {
    let request = ratelimit::RateLimitRequest { domain: "llm".into(), descriptors, hits_addend };
    RateLimitServiceClient::new(client.transport()).should_rate_limit(request).await
}

/// The answer about one descriptor: whether there is room, the limit and what is
/// left of it.
async fn one(client: &Client, entries: &[(&str, &str)], tokens: u32) -> (Code, u32, u32) {
    let answer = limit(client, vec![descriptor(entries)], tokens).await.answer();
    let status = &answer.statuses[0];
    assert_eq!((answer.statuses.len(), answer.overall_code()), (1, status.code()));
    let limit = status.current_limit.as_ref().map_or(0, |limit| {
        assert_eq!(limit.unit(), Unit::Minute);
        limit.requests_per_unit
    });
    (status.code(), limit, status.limit_remaining)
}

on_both! {
    async fn tokens_count_where_there_is_room_and_nowhere_else(backend: Backend) {
        let world = World::builder(backend).at("2025-06-10T12:00:10Z").start().await;
        world.team(pb::Team { team_id: "red".into(), tpm_limit: Some(150), ..Default::default() }).await;
        let (secret, key) = world.key(pb::Key { team_id: Some("red".into()), tpm_limit: Some(100), ..Default::default() }).await;
        let sidecar = world.sidecar().await;
        let of_key = [("key", secret.as_str())];
        assert_eq!(one(&sidecar, &of_key, 0).await, (Code::Ok, 100, 100), "looking costs nothing");
        assert_eq!(one(&sidecar, &of_key, 80).await, (Code::Ok, 100, 20));
        assert_eq!(one(&sidecar, &of_key, 30).await, (Code::OverLimit, 100, 20));
        assert_eq!(one(&sidecar, &[("key_hash", &key.key_hash)], 20).await, (Code::Ok, 100, 0));
        assert_eq!(one(&sidecar, &[("team_id", "red")], 0).await, (Code::Ok, 150, 50), "what was refused counts nowhere");
        assert_eq!(one(&sidecar, &of_key, 0).await.0, Code::OverLimit);
        // A call of the key is bound by the same minute.
        let refused = authorize(&sidecar, pb::AuthorizeRequest { key: secret.clone(), ..ask("a", "0") }).await;
        assert_eq!(denial(&refused).0, pb::DenyReason::RateLimited);
        let status = limit(&sidecar, vec![descriptor(&of_key)], 0).await.answer().statuses[0].clone();
        assert_eq!(status.duration_until_reset.unwrap().seconds, 50);
        world.hands().advance(50);
        assert_eq!(one(&sidecar, &of_key, 100).await, (Code::Ok, 100, 0));
    }

    async fn days_are_told_from_minutes_and_limits_for_bad_times_let_pass(world: World) {
        world.team(pb::Team { team_id: "red".into(), tpd_limit: Some(100), ..Default::default() }).await;
        let sidecar = world.sidecar().await;
        let answer = limit(&sidecar, vec![descriptor(&[("team_id", "red")])], 70).await.answer();
        let status = &answer.statuses[0];
        let current = status.current_limit.as_ref().unwrap();
        assert_eq!((status.code(), current.unit(), current.requests_per_unit, status.limit_remaining), (Code::Ok, Unit::Day, 100, 30));
        assert_eq!(limit(&sidecar, vec![descriptor(&[("team_id", "red")])], 31).await.answer().overall_code(), Code::OverLimit);
        let dynamic = pb::LimitType::Dynamic.into();
        world.team(pb::Team { team_id: "blue".into(), tpm_limit: Some(100), tpm_limit_type: dynamic, ..Default::default() }).await;
        assert_eq!(one(&sidecar, &[("team_id", "blue"), ("model", MODEL)], 150).await, (Code::Ok, 100, 0));
        let (secret, _) = world.key(pb::Key::default()).await;
        let failed = pb::UsageEvent { status: pb::UsageStatus::Failure.into(), error_code: "503".into(), ..crate::spend::event("a", &secret, 0) };
        crate::spend::record(&sidecar, vec![failed]).await;
        assert_eq!(one(&sidecar, &[("team_id", "blue"), ("model", MODEL)], 1).await.0, Code::OverLimit);
    }

    async fn users_customers_and_models_have_limits_too(world: World) {
        world.user(pb::User { user_id: "alice".into(), tpm_limit: Some(10), ..Default::default() }).await;
        crate::customers::create(&world, pb::Customer { tpm_limit: Some(20), ..crate::customers::customer("acme", None) }).await;
        let limits = [(MODEL.to_owned(), 5_i64)].into();
        let (secret, _) = world.key(pb::Key { model_tpm_limit: limits, ..Default::default() }).await;
        let sidecar = world.sidecar().await;
        assert_eq!(one(&sidecar, &[("user_id", "alice")], 11).await, (Code::OverLimit, 10, 10));
        assert_eq!(one(&sidecar, &[("customer_id", "acme")], 15).await, (Code::Ok, 20, 5));
        assert_eq!(one(&sidecar, &[("key", &secret), ("model", MODEL)], 6).await, (Code::OverLimit, 5, 5));
        assert_eq!(one(&sidecar, &[("key", &secret), ("model", "another")], 6).await, (Code::Ok, 0, 0), "no limit");
        let team = pb::Team { team_id: "red".into(), tpm_limit: Some(50), model_tpm_limit: [(MODEL.to_owned(), 7)].into(), ..Default::default() };
        world.team(team).await;
        assert_eq!(one(&sidecar, &[("team_id", "red"), ("model", MODEL)], 8).await, (Code::OverLimit, 7, 7));
        assert_eq!(one(&sidecar, &[("team_id", "red"), ("model", "another")], 8).await, (Code::Ok, 50, 42));
        assert_eq!(one(&sidecar, &[("key", "sk-nobody")], 6).await, (Code::Ok, 0, 0), "who is unknown has none");
        // Of several each counts by itself, and one without room is enough.
        let both = vec![descriptor(&[("user_id", "alice")]), descriptor(&[("customer_id", "acme")])];
        let answer = limit(&sidecar, both, 8).await.answer();
        let codes: Vec<Code> = answer.statuses.iter().map(ratelimit::rate_limit_response::DescriptorStatus::code).collect();
        assert_eq!((answer.overall_code(), codes), (Code::OverLimit, vec![Code::Ok, Code::OverLimit]));
    }

    async fn what_makes_no_sense_is_told(world: World) {
        let sidecar = world.sidecar().await;
        assert_eq!(limit(&sidecar, Vec::new(), 1).await.bad()[0].0, "descriptors");
        for entries in [[("path", "/v1/chat")], [("key_hash", "short")], [("team_id", " red")]] {
            assert_eq!(limit(&sidecar, vec![descriptor(&entries)], 1).await.bad()[0].0, "descriptors[0].entries[0]");
        }
        let (secret, _) = world.key(pb::Key::default()).await;
        let own = limit(&world.with_key(&secret), vec![descriptor(&[("key", &secret)])], 1).await;
        own.refused(tonic::Code::PermissionDenied, ErrorReason::RoleNotAllowed);
    }
}
