//! Limits on calls that hold for all, or only in bad times; and what they count.

use bursar::pb;
use pb::{BudgetScope, DenyReason, LimitType, RateLimitKind};

use super::rates::tokens;
use super::{ask, authorize, denial, reserve, settle};
use crate::spend::{event, record};
use crate::support::world::{MODEL, World};
use crate::support::{Answer, Backend, on_both};

on_both! {
    async fn a_dynamic_limit_holds_while_the_model_has_trouble(backend: Backend) {
        let world = World::builder(backend).at("2025-01-01T12:00:10Z").start().await;
        let dynamic = LimitType::Dynamic.into();
        world.team(pb::Team { team_id: "red".into(), rpm_limit: Some(1), rpm_limit_type: dynamic, ..Default::default() }).await;
        let (secret, _) = world.key(pb::Key { team_id: Some("red".into()), ..Default::default() }).await;
        let (client, sidecar) = (world.with_key(&secret), world.sidecar().await);
        for id in ["a", "b", "c"] {
            let answer = authorize(&client, ask(id, "0")).await;
            let limit = &answer.rate_limits[0];
            assert_eq!((answer.decision(), limit.remaining, limit.relaxed), (pb::Decision::Allow, 0, true));
        }
        let explain = pb::ExplainDecisionRequest { model: MODEL.into(), ..Default::default() };
        let explained = client.gateway().explain_decision(explain.clone()).await.answer();
        let check = explained.checks.iter().find(|check| check.values.get("kind").is_some_and(|kind| kind == "requests")).unwrap();
        assert_eq!((check.passed, check.values.get("relaxed").map(String::as_str)), (true, Some("true")));
        let failed = |id: &str, model: &str, code: &str| pb::UsageEvent {
            status: pb::UsageStatus::Failure.into(),
            error_code: code.into(),
            model: model.into(),
            ..event(id, &secret, 0)
        };
        record(&sidecar, vec![failed("other model", "gpt-4o-mini", "500"), failed("its own fault", MODEL, "400")]).await;
        reserve(&client, "d", "0").await;
        record(&sidecar, vec![failed("refused", MODEL, "429")]).await;
        let denied = authorize(&client, ask("e", "0")).await;
        assert_eq!(denial(&denied), (DenyReason::RateLimited, BudgetScope::Team));
        assert!(!denied.rate_limits[0].relaxed);
        assert_eq!(client.gateway().explain_decision(explain).await.answer().decision(), pb::Decision::Deny);
        // In the next minute, too, and no longer.
        world.hands().advance(60);
        reserve(&client, "f", "0").await;
        assert_eq!(denial(&authorize(&client, ask("g", "0")).await).0, DenyReason::RateLimited);
        world.hands().advance(60);
        reserve(&client, "h", "0").await;
        reserve(&client, "i", "0").await;
    }

    async fn all_keys_together_have_so_many_calls_in_flight(backend: Backend) {
        let world = World::builder(backend).set("global_max_parallel_requests", "2").start().await;
        let first = world.with_key(&world.key(pb::Key::default()).await.0);
        let (secret, _) = world.key(pb::Key::default()).await;
        let (second, sidecar) = (world.with_key(&secret), world.sidecar().await);
        let held = reserve(&first, "a", "0").await;
        reserve(&second, "b", "0").await;
        let denied = authorize(&second, ask("c", "0")).await;
        assert_eq!(denial(&denied), (DenyReason::RateLimited, BudgetScope::Global));
        assert!(denied.rate_limits.is_empty(), "what others do is not its business");
        let told = authorize(&sidecar, pb::AuthorizeRequest { key: secret, ..ask("c", "0") }).await;
        let limit = &told.rate_limits[0];
        assert_eq!((limit.scope(), limit.kind(), limit.limit, limit.remaining), (BudgetScope::Global, RateLimitKind::Parallel, 2, 0));
        settle(&first, &held, 1).await;
        reserve(&second, "d", "0").await;
    }

    async fn tokens_of_answers_alone_may_be_what_counts(backend: Backend) {
        let world = World::builder(backend).at("2025-01-01T12:00:00Z").set("token_rate_limit_type", "output").start().await;
        let (secret, _) = world.key(pb::Key { tpm_limit: Some(1_000), ..Default::default() }).await;
        let client = world.with_key(&secret);
        let first = authorize(&client, tokens("a", 90_000, 600)).await;
        assert_eq!((first.decision(), first.rate_limits[0].remaining), (pb::Decision::Allow, 400));
        let usage = Some(pb::UsageEvent { prompt_tokens: 90_000, completion_tokens: 100, ..Default::default() });
        client.gateway().settle(pb::SettleRequest { reservation_id: first.reservation_id, usage }).await.answer();
        assert_eq!(authorize(&client, tokens("b", 5, 900)).await.rate_limits[0].remaining, 0);
    }
}
