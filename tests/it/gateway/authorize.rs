//! Authorize: the estimate against every budget.

use bursar::pb;
use pb::{BudgetScope, DenyReason};

use super::{ask, authorize, denial};
use crate::support::world::{MASTER, MODEL, World};
use crate::support::{Answer, on_both};
use tonic::Code;

fn plain() -> pb::AuthorizeRequest {
    pb::AuthorizeRequest { model: MODEL.into(), ..Default::default() }
}

on_both! {
    async fn a_key_without_limits_may_call(world: World) {
        let (secret, key) = world.key(pb::Key::default()).await;
        let answer = authorize(&world.with_key(&secret), plain()).await;
        assert_eq!(answer.decision(), pb::Decision::Allow);
        assert_eq!(answer.resolved_model, MODEL);
        assert_eq!(answer.identity.unwrap().key_id, key.key_id);
        assert!(answer.budgets.is_empty() && answer.rate_limits.is_empty() && answer.reservation_id.is_empty());
    }

    async fn an_estimate_is_compared_with_every_budget_and_each_failing_one_is_shown(world: World) {
        world.user(pb::User { user_id: "alice".into(), ..Default::default() }).await;
        let members = vec![pb::TeamMember { user_id: "alice".into(), max_budget_in_team: Some("3".into()), ..Default::default() }];
        world.team(pb::Team { team_id: "red".into(), max_budget: Some("2".into()), members, ..Default::default() }).await;
        let (secret, key) = world.key(pb::Key {
            user_id: Some("alice".into()),
            team_id: Some("red".into()),
            max_budget: Some("1".into()),
            ..Default::default()
        }).await;
        let client = world.with_key(&secret);
        let ids = [key.key_id.as_str(), "red", "red/alice"];
        for (estimate, failing) in [("1", 0), ("1.000000001", 1), ("2.5", 2), ("3.5", 3)] {
            let request = pb::AuthorizeRequest { estimated_cost: Some(estimate.into()), ..plain() };
            let answer = authorize(&client, request).await;
            let shown: Vec<&str> = answer.budgets.iter().map(|budget| budget.id.as_str()).collect();
            assert_eq!(shown, ids, "failing ones first, each in the order of the checks");
            if failing == 0 {
                assert_eq!(answer.decision(), pb::Decision::Allow);
            } else {
                assert_eq!(denial(&answer), (DenyReason::BudgetExceeded, BudgetScope::Key), "{estimate}");
            }
            assert!(answer.budgets.iter().all(|budget| budget.reserved == "0"), "nothing is set aside");
        }
    }

    async fn the_first_account_that_does_not_fit_is_named(world: World) {
        world.user(pb::User { user_id: "alice".into(), max_budget: Some("0.5".into()), ..Default::default() }).await;
        world.team(pb::Team { team_id: "red".into(), max_budget: Some("2".into()), ..Default::default() }).await;
        let (team_key, _) = world.key(pb::Key { team_id: Some("red".into()), max_budget: Some("9".into()), ..Default::default() }).await;
        let answer = authorize(&world.with_key(&team_key), ask("r", "3")).await;
        assert_eq!(denial(&answer), (DenyReason::BudgetExceeded, BudgetScope::Team));
        assert_eq!(answer.budgets.first().unwrap().id, "red");
        let (personal, _) = world.key(pb::Key { user_id: Some("alice".into()), max_budget: Some("9".into()), ..Default::default() }).await;
        let answer = authorize(&world.with_key(&personal), ask("r", "3")).await;
        assert_eq!(denial(&answer), (DenyReason::BudgetExceeded, BudgetScope::User));
        assert!(answer.message.contains("0.5") && answer.message.contains('3'), "{}", answer.message);
    }

    async fn a_budget_of_zero_lets_nothing_through_that_costs(world: World) {
        let (secret, _) = world.key(pb::Key { max_budget: Some("0".into()), ..Default::default() }).await;
        let client = world.with_key(&secret);
        let answer = authorize(&client, ask("r", "0.000000001")).await;
        assert_eq!(denial(&answer), (DenyReason::BudgetExceeded, BudgetScope::Key));
    }

    async fn tokens_are_priced_for_the_estimate(world: World) {
        let (secret, _) = world.key(pb::Key { max_budget: Some("0.0125".into()), ..Default::default() }).await;
        let client = world.with_key(&secret);
        // 1,000 × 2.5 USD + 1,000 × 10 USD a million = 0.0125 USD: just fits.
        let tokens = |input, output| pb::AuthorizeRequest {
            estimated_input_tokens: Some(input), max_output_tokens: Some(output), ..plain()
        };
        assert_eq!(authorize(&client, tokens(1_000, 1_000)).await.decision(), pb::Decision::Allow);
        assert_eq!(denial(&authorize(&client, tokens(1_001, 1_000)).await).0, DenyReason::BudgetExceeded);
        // Output that is not told is 4,096 tokens.
        let silent = pb::AuthorizeRequest { estimated_input_tokens: Some(1), ..plain() };
        assert_eq!(denial(&authorize(&client, silent).await).0, DenyReason::BudgetExceeded);
        // A told cost wins over tokens.
        let told = pb::AuthorizeRequest { estimated_cost: Some("0".into()), ..tokens(1_000_000, 1) };
        assert_eq!(authorize(&client, told).await.decision(), pb::Decision::Allow);
    }

    async fn who_asks_about_whom_is_checked(world: World) {
        let (mine, my_key) = world.key(pb::Key::default()).await;
        let (other, other_key) = world.key(pb::Key::default()).await;
        let sidecar = world.sidecar().await;
        let about = |key: &str| pb::AuthorizeRequest { key: key.into(), ..plain() };
        let by_hash = |hash: &str| pb::AuthorizeRequest { key_hash: hash.into(), ..plain() };
        let allowed = |answer: pb::AuthorizeResponse| answer.decision() == pb::Decision::Allow;
        for asks in [&sidecar, &world.admin] {
            assert!(allowed(authorize(asks, about(&mine)).await));
            assert!(allowed(authorize(asks, by_hash(&my_key.key_hash)).await));
            asks.gateway().authorize(plain()).await.refused(Code::InvalidArgument, pb::ErrorReason::KeyRequired);
            asks.gateway().authorize(by_hash("nonsense")).await.refused(Code::InvalidArgument, pb::ErrorReason::KeyMalformed);
        }
        let me = world.with_key(&mine);
        assert!(allowed(authorize(&me, about(&mine)).await));
        me.gateway().authorize(about(&other)).await.refused(Code::PermissionDenied, pb::ErrorReason::NotYourKey);
        me.gateway().authorize(by_hash(&other_key.key_hash)).await.refused(Code::PermissionDenied, pb::ErrorReason::NotYourKey);
        me.gateway().authorize(by_hash(&my_key.key_hash)).await.refused(Code::PermissionDenied, pb::ErrorReason::NotYourKey);
    }

    async fn what_is_no_key_is_denied_as_unknown(world: World) {
        let sidecar = world.sidecar().await;
        let (_, key) = world.key(pb::Key::default()).await;
        // A client that types a hash it saw in a list is nobody.
        for typed in ["sk-nobody", "Basic dXNlcg==", "🦀", &key.key_hash, MASTER] {
            let answer = authorize(&sidecar, pb::AuthorizeRequest { key: typed.into(), ..plain() }).await;
            assert_eq!(denial(&answer), (DenyReason::KeyUnknown, BudgetScope::Unspecified), "{typed}");
            assert!(answer.identity.is_none() && !answer.message.contains(typed));
        }
    }

    async fn every_bad_field_is_named_at_once(world: World) {
        let (secret, _) = world.key(pb::Key::default()).await;
        let request = pb::AuthorizeRequest {
            model: String::new(),
            customer_id: "c".repeat(257),
            tags: vec![String::new()],
            estimated_input_tokens: Some(-1),
            max_output_tokens: Some(i64::MAX),
            estimated_cost: Some("1e3".into()),
            reserve: true,
            ..Default::default()
        };
        let mut bad = world.with_key(&secret).gateway().authorize(request).await.bad();
        bad.sort();
        let fields: Vec<&str> = bad.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(fields, [
            "customer_id", "estimated_cost", "estimated_input_tokens", "max_output_tokens", "model", "request_id", "tags[0]",
        ]);
    }
}
