//! Authorize: requests and tokens a minute, and calls in flight.

use bursar::pb;
use pb::{BudgetScope, DenyReason, RateLimitKind};

use super::{ask, authorize, denial, reserve, settle};
use crate::support::world::{MODEL, World};
use crate::support::{Answer, Backend, on_both};

fn tokens(request_id: &str, input: i64, output: i64) -> pb::AuthorizeRequest {
    pb::AuthorizeRequest {
        model: MODEL.into(),
        estimated_input_tokens: Some(input),
        max_output_tokens: Some(output),
        reserve: true,
        request_id: request_id.into(),
        ..Default::default()
    }
}

on_both! {
    async fn requests_a_minute_are_counted(backend: Backend) {
        let world = World::builder(backend).at("2025-01-01T00:00:30Z").start().await;
        let (secret, key) = world.key(pb::Key { rpm_limit: Some(2), ..Default::default() }).await;
        let client = world.with_key(&secret);
        let plain = pb::AuthorizeRequest { model: MODEL.into(), ..Default::default() };
        for left in [1, 0] {
            let answer = authorize(&client, plain.clone()).await;
            assert_eq!(answer.decision(), pb::Decision::Allow);
            let limit = &answer.rate_limits[0];
            assert_eq!((limit.kind(), limit.limit, limit.remaining), (RateLimitKind::Requests, 2, left));
            assert_eq!(limit.id, key.key_id);
        }
        let answer = authorize(&client, plain.clone()).await;
        assert_eq!(denial(&answer), (DenyReason::RateLimited, BudgetScope::Key));
        assert_eq!(answer.retry_after.unwrap().seconds, 30);
        world.hands().advance(30);
        assert_eq!(authorize(&client, plain).await.decision(), pb::Decision::Allow);
    }

    async fn tokens_a_minute_are_reserved_and_then_counted_as_used(backend: Backend) {
        let world = World::builder(backend).at("2025-01-01T00:00:00Z").start().await;
        let (secret, _) = world.key(pb::Key { tpm_limit: Some(1_000), ..Default::default() }).await;
        let client = world.with_key(&secret);
        let answer = authorize(&client, tokens("a", 300, 500)).await;
        assert_eq!(answer.rate_limits[0].remaining, 200);
        assert_eq!(denial(&authorize(&client, tokens("b", 201, 0)).await).0, DenyReason::RateLimited);
        // It used 400 in the end: 600 are left.
        settle(&client, &answer.reservation_id, 400).await;
        let answer = authorize(&client, tokens("c", 600, 0)).await;
        assert_eq!((answer.decision(), answer.rate_limits[0].remaining), (pb::Decision::Allow, 0));
    }

    async fn calls_in_flight_are_counted(world: World) {
        let (secret, _) = world.key(pb::Key { max_parallel_requests: Some(2), ..Default::default() }).await;
        let client = world.with_key(&secret);
        let first = reserve(&client, "a", "0").await;
        let second = reserve(&client, "b", "0").await;
        let answer = authorize(&client, ask("c", "0")).await;
        assert_eq!(denial(&answer), (DenyReason::RateLimited, BudgetScope::Key));
        settle(&client, &first, 1).await;
        let third = reserve(&client, "d", "0").await;
        for id in [second, third] {
            client.gateway().release(pb::ReleaseRequest { reservation_id: id }).await.answer();
        }
        reserve(&client, "e", "0").await;
        reserve(&client, "f", "0").await;
    }

    async fn limits_of_team_member_and_user_bind_too(world: World) {
        world.user(pb::User { user_id: "alice".into(), rpm_limit: Some(3), ..Default::default() }).await;
        let member = pb::TeamMember { user_id: "alice".into(), rpm_limit: Some(2), ..Default::default() };
        world.team(pb::Team { team_id: "red".into(), rpm_limit: Some(1), members: vec![member], ..Default::default() }).await;
        let key = pb::Key { user_id: Some("alice".into()), team_id: Some("red".into()), ..Default::default() };
        let client = world.with_key(&world.key(key).await.0);
        reserve(&client, "a", "0").await;
        let answer = authorize(&client, ask("b", "0")).await;
        assert_eq!(denial(&answer), (DenyReason::RateLimited, BudgetScope::Team));
        let mut scopes: Vec<_> = answer.rate_limits.iter().map(|limit| (limit.scope(), limit.remaining)).collect();
        scopes.sort();
        assert_eq!(scopes, [(BudgetScope::Team, 0), (BudgetScope::TeamMember, 1), (BudgetScope::User, 2)]);
        // A denied call counts nowhere: the personal key still has two.
        let own = world.with_key(&world.key(pb::Key { user_id: Some("alice".into()), ..Default::default() }).await.0);
        reserve(&own, "c", "0").await;
        reserve(&own, "d", "0").await;
        assert_eq!(denial(&authorize(&own, ask("e", "0")).await), (DenyReason::RateLimited, BudgetScope::User));
    }
}
