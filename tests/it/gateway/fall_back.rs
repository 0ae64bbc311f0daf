//! Models that are called instead of one whose budget is spent.

use bursar::pb;
use pb::{BudgetScope, Decision, DenyReason, ErrorReason};
use tonic::Code;

use super::{ask, authorize, denial, settle};
use crate::support::answer::bad_fields;
use crate::support::world::{MODEL, World};
use crate::support::{Answer, Backend, Client, on_both};

const SPENT: (DenyReason, BudgetScope) = (DenyReason::BudgetExceeded, BudgetScope::KeyModel);

fn fallbacks(model: &str, models: &[&str]) -> (String, pb::FallbackModels) {
    (model.to_owned(), pb::FallbackModels { models: models.iter().map(ToString::to_string).collect() })
}

/// A key with a tenth of a dollar for the model, and a dollar for another one.
async fn caller(world: &World, instead: &[&str], more: pb::Key) -> Client {
    let limit = |max: &str| pb::ModelLimit { max_budget: Some(max.into()), ..Default::default() };
    let key = pb::Key {
        model_max_budget: [(MODEL.to_owned(), limit("0.1")), ("o1".to_owned(), limit("0"))].into(),
        budget_fallbacks: [fallbacks(MODEL, instead)].into(),
        ..more
    };
    world.with_key(&world.key(key).await.0)
}

fn falling_back(request_id: &str, cost: &str) -> pb::AuthorizeRequest {
    pb::AuthorizeRequest { allow_fallback: true, ..ask(request_id, cost) }
}

on_both! {
    async fn the_first_that_passes_every_check_is_called_instead(world: World) {
        // The first is not allowed, the second has no budget, the third is unknown to nobody.
        let more = pb::Key { models: vec![MODEL.into(), "o1".into(), "gpt-4o-mini".into(), "gpt-4.1".into()], ..Default::default() };
        let client = caller(&world, &["claude-3-opus", "o1", "gpt-4o-mini", "gpt-4.1"], more).await;
        let first = authorize(&client, falling_back("a", "0.1")).await;
        assert_eq!((first.decision(), first.resolved_model.as_str()), (Decision::Allow, MODEL), "there is room");
        let instead = authorize(&client, falling_back("b", "0.1")).await;
        assert_eq!((instead.decision(), instead.resolved_model.as_str(), instead.message.as_str()), (Decision::Allow, "gpt-4o-mini", ""));
        assert!(instead.budgets.iter().all(|budget| budget.scope() != BudgetScope::KeyModel), "{:?}", instead.budgets);
        // The same request has the same answer.
        let again = authorize(&client, falling_back("b", "0.1")).await;
        assert_eq!(again, instead);
        settle(&client, &instead.reservation_id, 1_000).await;
        let request = pb::GetUsageRequest { request_id: instead.reservation_id };
        let event = world.admin.spend().get_usage(request).await.answer().event.unwrap();
        assert_eq!((event.model.as_str(), event.model_group.as_str()), ("gpt-4o-mini", "gpt-4o-mini"));
    }

    async fn without_leave_the_denial_names_what_would_pass(backend: Backend) {
        // The clock stands, so that no minute ends in between.
        let world = World::builder(backend).at("2025-03-10T12:00:00Z").start().await;
        let client = caller(&world, &["o1", "gpt-4o-mini", "gpt-4.1"], pb::Key { rpm_limit: Some(3), ..Default::default() }).await;
        authorize(&client, ask("a", "0.1")).await;
        for _ in 0..3 {
            // Asking costs nothing: the limit of calls stands as it did.
            let denied = authorize(&client, ask("b", "0.1")).await;
            assert_eq!(denial(&denied), SPENT);
            assert_eq!((denied.resolved_model.as_str(), &denied.fallback_models[..]), (MODEL, &["gpt-4o-mini".to_owned(), "gpt-4.1".to_owned()][..]));
            assert_eq!(denied.rate_limits[0].remaining, 2);
        }
        let none = caller(&world, &["o1"], pb::Key::default()).await;
        authorize(&none, ask("a", "0.1")).await;
        let denied = authorize(&none, falling_back("b", "0.1")).await;
        assert_eq!((denial(&denied), denied.resolved_model.as_str(), denied.fallback_models.len()), (SPENT, MODEL, 0));
    }

    async fn it_is_judged_and_priced_as_what_it_is(backend: Backend) {
        let world = World::builder(backend).set("deny_unknown_models", "true").start().await;
        for (name, price) in [("dear", "0.01"), ("cheap", "0.001")] {
            crate::models::create(&world, crate::models::model(name, "", &[("input_cost_per_token", price)])).await;
        }
        let limit = pb::ModelLimit { max_budget: Some("0".into()), ..Default::default() };
        let key = pb::Key {
            model_max_budget: [("dear".to_owned(), limit)].into(), budget_fallbacks: [fallbacks("dear", &["misspelt", "cheap"])].into(), ..Default::default()
        };
        let client = world.with_key(&world.key(key).await.0);
        let asked = pb::AuthorizeRequest {
            model: "dear".into(), estimated_cost: None, estimated_input_tokens: Some(100), max_output_tokens: Some(0), ..falling_back("a", "0")
        };
        let denied = authorize(&client, pb::AuthorizeRequest { allow_fallback: false, ..asked.clone() }).await;
        assert_eq!(denied.fallback_models, ["cheap"], "nobody knows the other one");
        let allowed = authorize(&client, asked).await;
        assert_eq!((allowed.decision(), allowed.resolved_model.as_str()), (Decision::Allow, "cheap"), "{}", allowed.message);
        assert_eq!(settle(&client, &allowed.reservation_id, 100).await.cost, "0.1");
    }

    async fn no_fallback_helps_against_another_budget(world: World) {
        let client = caller(&world, &["gpt-4o-mini"], pb::Key { max_budget: Some("0.15".into()), ..Default::default() }).await;
        authorize(&client, ask("a", "0.1")).await;
        let denied = authorize(&client, falling_back("b", "0.1")).await;
        assert_eq!(denial(&denied).1, BudgetScope::Key);
        let denied = authorize(&client, falling_back("c", "0.05")).await;
        assert_eq!((denied.decision(), denied.resolved_model.as_str()), (Decision::Allow, "gpt-4o-mini"));
    }

    async fn what_would_be_decided_is_explained(world: World) {
        let client = caller(&world, &["o1", "gpt-4o-mini"], pb::Key::default()).await;
        authorize(&client, ask("a", "0.1")).await;
        let explain = |allow_fallback| pb::ExplainDecisionRequest {
            model: MODEL.into(), estimated_cost: Some("0.1".into()), reserve: true, allow_fallback, ..Default::default()
        };
        let denied = client.gateway().explain_decision(explain(false)).await.answer();
        assert_eq!((denied.decision(), denied.resolved_model.as_str()), (Decision::Deny, MODEL));
        let allowed = client.gateway().explain_decision(explain(true)).await.answer();
        assert_eq!((allowed.decision(), allowed.resolved_model.as_str()), (Decision::Allow, "gpt-4o-mini"));
        assert!(allowed.checks.iter().all(|check| check.passed || !check.applies), "{:?}", allowed.checks);
        assert!(allowed.checks.iter().any(|check| check.values.get("model").is_some_and(|model| model == "gpt-4o-mini")));
    }

    async fn fallbacks_are_kept_changed_and_checked(world: World) {
        let (_, key) = world.key(pb::Key { budget_fallbacks: [fallbacks("a", &["b", "c"])].into(), ..Default::default() }).await;
        assert_eq!(key.budget_fallbacks["a"].models, ["b", "c"]);
        let update = |budget_fallbacks, paths: &[&str]| pb::UpdateKeyRequest {
            key: Some(pb::Key { key_hash: key.key_hash.clone(), budget_fallbacks, ..Default::default() }),
            update_mask: (!paths.is_empty()).then(|| prost_types::FieldMask { paths: paths.iter().map(ToString::to_string).collect() }),
            ..Default::default()
        };
        let changed = world.admin.keys().update_key(update([fallbacks("x", &["y"])].into(), &[])).await.answer().key.unwrap();
        assert_eq!(changed.budget_fallbacks.into_keys().collect::<Vec<_>>(), ["x"]);
        let cleared = world.admin.keys().update_key(update([].into(), &["budget_fallbacks"])).await.answer().key.unwrap();
        assert!(cleared.budget_fallbacks.is_empty());
        for (bad, field) in [
            (fallbacks("a", &[]), r#"key.budget_fallbacks["a"].models"#),
            (fallbacks("a", &["a"]), r#"key.budget_fallbacks["a"].models[0]"#),
            (fallbacks("a", &["b", "b"]), r#"key.budget_fallbacks["a"].models[1]"#),
            (fallbacks("a", &["b*"]), r#"key.budget_fallbacks["a"].models[0]"#),
            (fallbacks("a*", &["b"]), r#"key.budget_fallbacks["a*"]"#),
            (fallbacks("a", &[""]), r#"key.budget_fallbacks["a"].models[0]"#),
            (fallbacks("a", &["b"; 21]), r#"key.budget_fallbacks["a"].models"#),
        ] {
            let refused = world.admin.keys().update_key(update([bad].into(), &[])).await;
            let status = refused.refused(Code::InvalidArgument, ErrorReason::FieldInvalid);
            assert!(bad_fields(&status).iter().any(|(named, _)| named == field), "{field}: {status:?}");
        }
    }
}
