//! Authorize: requests and tokens a minute, and calls in flight.

use std::collections::BTreeMap;

use bursar::pb;
use pb::get_budget_status_request::Subject;
use pb::{BudgetScope, DenyReason, ErrorReason, RateLimitKind};
use tonic::Code;

use super::{ask, authorize, denial, reserve, settle};
use crate::support::world::{MODEL, World};
use crate::support::{Answer, Backend, on_both};

pub fn tokens(request_id: &str, input: i64, output: i64) -> pb::AuthorizeRequest {
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

    async fn limits_of_a_team_and_an_organization_by_model_bind_all_their_keys(world: World) {
        let calls = |limit: i64| BTreeMap::from([(MODEL.to_owned(), limit)]);
        let acme = pb::Organization { organization_id: "ac/me".into(), model_tpm_limit: BTreeMap::from([(MODEL.into(), 900)]), ..Default::default() };
        world.organization(acme).await;
        let red = pb::Team { team_id: "red".into(), organization_id: Some("ac/me".into()), model_rpm_limit: calls(2), ..Default::default() };
        world.team(red.clone()).await;
        let key = || pb::Key { team_id: Some("red".into()), ..Default::default() };
        let (first, second) = (world.key(key()).await.0, world.key(key()).await.0);
        let answer = authorize(&world.with_key(&first), tokens("a", 100, 100)).await;
        let shown: Vec<_> = answer.rate_limits.iter().map(|limit| (limit.scope(), limit.id.as_str(), limit.kind(), limit.remaining)).collect();
        assert_eq!(shown, [
            (BudgetScope::TeamModel, "red/gpt-4o", RateLimitKind::Requests, 1),
            (BudgetScope::OrganizationModel, "ac/me/gpt-4o", RateLimitKind::Tokens, 700),
        ]);
        assert!(answer.budgets.is_empty(), "they are no budgets");
        let client = world.with_key(&second);
        assert_eq!(denial(&authorize(&client, tokens("b", 801, 0)).await), (DenyReason::RateLimited, BudgetScope::OrganizationModel));
        reserve(&client, "c", "0").await;
        assert_eq!(denial(&authorize(&client, ask("d", "0")).await), (DenyReason::RateLimited, BudgetScope::TeamModel));
        let other = pb::AuthorizeRequest { model: "gpt-4o-mini".into(), ..ask("e", "0") };
        assert_eq!(authorize(&client, other).await.decision(), pb::Decision::Allow, "another model has no limit");
        let status = client.budgets().get_budget_status(pb::GetBudgetStatusRequest::default()).await.answer();
        assert_eq!(status.rate_limits.iter().map(pb::RateLimitStatus::scope).collect::<Vec<_>>(), [BudgetScope::TeamModel, BudgetScope::OrganizationModel]);
        for (subject, scope) in [
            (Subject::TeamId("red".into()), BudgetScope::TeamModel),
            (Subject::OrganizationId("ac/me".into()), BudgetScope::OrganizationModel),
        ] {
            let asked = pb::GetBudgetStatusRequest { subject: Some(subject) };
            let status = world.admin.budgets().get_budget_status(asked).await.answer();
            assert_eq!(status.rate_limits.iter().map(pb::RateLimitStatus::scope).collect::<Vec<_>>(), [scope]);
        }
        // A change acts at once.
        let wider = pb::Team { team_id: "red".into(), model_rpm_limit: calls(3), ..Default::default() };
        world.admin.teams().update_team(pb::UpdateTeamRequest { team: Some(wider), ..Default::default() }).await.answer();
        settle(&client, &reserve(&client, "f", "0").await, 100).await;
        let adjust = pb::AdjustSpendRequest { scope: BudgetScope::TeamModel.into(), id: "red/gpt-4o".into(), amount: "1".into(), reason: "no".into(), ..Default::default() };
        world.admin.spend().adjust_spend(adjust).await.refused(Code::NotFound, ErrorReason::AccountNotFound);
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty());
    }
}
