//! `ExplainDecision`: every check, and nothing changed.

use bursar::pb;
use pb::{BudgetScope, Decision, DenyReason};

use super::{ask, authorize};
use crate::support::world::{MODEL, World};
use crate::support::{Answer, Backend, Client, on_both};

fn about(asked: pb::AuthorizeRequest) -> pb::ExplainDecisionRequest {
    pb::ExplainDecisionRequest {
        key: asked.key,
        key_hash: asked.key_hash,
        model: asked.model,
        customer_id: asked.customer_id,
        tags: asked.tags,
        estimated_input_tokens: asked.estimated_input_tokens,
        max_output_tokens: asked.max_output_tokens,
        estimated_cost: asked.estimated_cost,
        reserve: asked.reserve,
        request_id: asked.request_id,
        params: asked.params,
        allow_fallback: asked.allow_fallback,
    }
}

async fn explain(client: &Client, asked: pb::AuthorizeRequest) -> pb::ExplainDecisionResponse {
    client.gateway().explain_decision(about(asked)).await.answer()
}

/// The checks that apply: name, scope, and whether they pass.
fn applied(answer: &pb::ExplainDecisionResponse) -> Vec<(&str, BudgetScope, bool)> {
    let checks = answer.checks.iter().filter(|check| check.applies);
    checks.map(|check| (check.name.as_str(), check.scope(), check.passed)).collect()
}

async fn scope_budget(world: &World, scope: BudgetScope, id: &str, max: &str) {
    let budget = Some(pb::Budget { max_budget: Some(max.into()), ..Default::default() });
    let request = pb::SetScopeBudgetRequest { scope: scope.into(), id: id.into(), budget };
    world.admin.budgets().set_scope_budget(request).await.answer();
}

on_both! {
    async fn every_check_is_told_in_its_order(world: World) {
        world.user(pb::User { user_id: "alice".into(), ..Default::default() }).await;
        let members = vec![pb::TeamMember { user_id: "alice".into(), ..Default::default() }];
        world.team(pb::Team { team_id: "red".into(), max_budget: Some("5".into()), members, ..Default::default() }).await;
        scope_budget(&world, BudgetScope::Global, "", "100").await;
        let (secret, key) = world.key(pb::Key {
            user_id: Some("alice".into()), team_id: Some("red".into()), max_budget: Some("1".into()), rpm_limit: Some(3), ..Default::default()
        }).await;
        let sidecar = world.sidecar().await;
        let asked = || pb::AuthorizeRequest { key: secret.clone(), customer_id: "acme".into(), ..ask("a", "0.25") };
        let answer = explain(&sidecar, asked()).await;
        assert_eq!((answer.decision(), answer.deny_reason()), (Decision::Allow, DenyReason::Unspecified));
        let none = BudgetScope::Unspecified;
        assert_eq!(applied(&answer), [
            ("KEY_UNKNOWN", none, true), ("KEY_BLOCKED", none, true), ("USER_DEACTIVATED", none, true), ("USER_NOT_IN_TEAM", none, true),
            ("TEAM_BLOCKED", BudgetScope::Team, true), ("CUSTOMER_BLOCKED", BudgetScope::Customer, true), ("CALL_NOT_ALLOWED", none, true),
            ("MODEL_NOT_ALLOWED", BudgetScope::Key, true), ("MODEL_NOT_ALLOWED", BudgetScope::Team, true), ("MODEL_NOT_ALLOWED", BudgetScope::Customer, true),
            ("BUDGET_EXCEEDED", BudgetScope::Key, true), ("BUDGET_EXCEEDED", BudgetScope::Team, true), ("BUDGET_EXCEEDED", BudgetScope::Global, true),
            ("RATE_LIMITED", BudgetScope::Key, true),
        ]);
        let budget = answer.checks.iter().find(|check| check.name == "BUDGET_EXCEEDED").unwrap();
        let values = [("max_budget", "1"), ("spend", "0"), ("reserved", "0"), ("estimate", "0.25")];
        assert_eq!(budget.values, values.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        assert_eq!(budget.id, key.key_id);
        let rate = answer.checks.last().unwrap();
        assert_eq!((rate.values["kind"].as_str(), rate.values["limit"].as_str(), rate.values["remaining"].as_str()), ("requests", "3", "3"));
        assert!(answer.checks.iter().any(|check| check.name == "KEY_EXPIRED" && !check.applies && check.passed), "it never expires");
        assert_eq!(answer.identity.unwrap().customer_id, "acme");
        // Nothing was counted or set aside by asking.
        for _ in 0..5 {
            explain(&sidecar, asked()).await;
        }
        let asked = authorize(&sidecar, asked()).await;
        assert_eq!((asked.rate_limits[0].remaining, asked.budgets[0].reserved.as_str()), (2, "0.25"));
    }

    async fn all_that_is_wrong_is_told_and_the_first_is_the_reason(world: World) {
        let (secret, _) = world.key(pb::Key {
            models: vec!["claude*".into()], max_budget: Some("0.1".into()), rpm_limit: Some(0), ..Default::default()
        }).await;
        let client = world.with_key(&secret);
        let answer = explain(&client, ask("a", "0.25")).await;
        assert_eq!((answer.decision(), answer.deny_reason(), answer.deny_scope()), (Decision::Deny, DenyReason::ModelNotAllowed, BudgetScope::Key));
        let failing: Vec<_> = answer.checks.iter().filter(|check| !check.passed).map(|check| check.name.as_str()).collect();
        assert_eq!(failing, ["MODEL_NOT_ALLOWED", "BUDGET_EXCEEDED", "RATE_LIMITED"]);
        assert!(answer.checks.iter().filter(|check| !check.passed).all(|check| !check.message.is_empty()));
        assert!(answer.message.contains(MODEL), "{}", answer.message);
        let unknown = explain(&world.admin, pb::AuthorizeRequest { key: "sk-nobody".into(), ..ask("a", "1") }).await;
        assert_eq!((unknown.deny_reason(), unknown.checks.len(), unknown.checks[0].passed), (DenyReason::KeyUnknown, 1, false));
        assert_eq!(world.admin.gateway().explain_decision(pb::ExplainDecisionRequest::default()).await.bad()[0].0, "model");
    }

    async fn what_all_keys_share_is_not_told_to_one(world: World) {
        scope_budget(&world, BudgetScope::Model, MODEL, "0.1").await;
        let (secret, _) = world.key(pb::Key::default()).await;
        let answer = explain(&world.with_key(&secret), ask("a", "1")).await;
        assert_eq!((answer.deny_reason(), answer.deny_scope()), (DenyReason::BudgetExceeded, BudgetScope::Model));
        assert!(answer.checks.iter().all(|check| check.scope() != BudgetScope::Model), "{answer:?}");
        assert!(!answer.message.contains("0.1"), "{}", answer.message);
        let told = explain(&world.sidecar().await, pb::AuthorizeRequest { key: secret, ..ask("a", "1") }).await;
        assert!(told.checks.iter().any(|check| check.scope() == BudgetScope::Model && check.id == MODEL && !check.passed));
    }

    async fn it_says_what_authorize_decides(world: World) {
        world.team(pb::Team { team_id: "red".into(), max_budget: Some("1".into()), models: vec!["gpt*".into()], ..Default::default() }).await;
        let sidecar = world.sidecar().await;
        let keys = [
            pb::Key::default(),
            pb::Key { team_id: Some("red".into()), ..Default::default() },
            pb::Key { blocked: Some(true), ..Default::default() },
            pb::Key { max_budget: Some("0".into()), ..Default::default() },
            pb::Key { tpm_limit: Some(10), ..Default::default() },
            pb::Key { key_type: pb::KeyType::Management.into(), ..Default::default() },
        ];
        for (index, key) in keys.into_iter().enumerate() {
            let (secret, _) = world.key(key).await;
            for (number, (model, cost)) in [(MODEL, "0.6"), (MODEL, "0.6"), ("claude-x", "0"), ("", "1")].into_iter().enumerate() {
                let id = format!("{index}-{number}");
                let asked = pb::AuthorizeRequest { key: secret.clone(), model: model.into(), ..ask(&id, cost) };
                let explained = sidecar.gateway().explain_decision(about(asked.clone())).await;
                let decided = sidecar.gateway().authorize(asked).await;
                match (explained, decided) {
                    (Ok(explained), Ok(decided)) => {
                        let (explained, decided) = (explained.into_inner(), decided.into_inner());
                        let told = (explained.decision(), explained.deny_reason(), explained.deny_scope(), explained.message);
                        assert_eq!(told, (decided.decision(), decided.deny_reason(), decided.deny_scope(), decided.message), "{id}");
                    }
                    (explained, decided) => assert_eq!(explained.unwrap_err().code(), decided.unwrap_err().code(), "{id}"),
                }
            }
        }
    }

    async fn full_providers_deny_only_together(backend: Backend) {
        let world = World::start(backend).await;
        let model = |deployment: &str, provider: &str| pb::Model {
            model_name: "shared".into(), deployment: deployment.into(), provider: provider.into(),
            prices: [("input_cost_per_token".to_owned(), "0.000001".to_owned())].into(), ..Default::default()
        };
        for (deployment, provider) in [("east", "azure"), ("west", "openai")] {
            let request = pb::CreateModelRequest { model: Some(model(deployment, provider)), ..Default::default() };
            world.admin.models().create_model(request).await.answer();
        }
        scope_budget(&world, BudgetScope::Provider, "azure", "0.1").await;
        let (secret, _) = world.key(pb::Key::default()).await;
        let sidecar = world.sidecar().await;
        let asked = |id: &str| pb::AuthorizeRequest { key: secret.clone(), model: "shared".into(), ..ask(id, "0.5") };
        let answer = explain(&sidecar, asked("a")).await;
        assert_eq!(answer.decision(), Decision::Allow);
        let azure = answer.checks.iter().find(|check| check.id == "azure").unwrap();
        assert_eq!((azure.passed, azure.values["exhausted"].as_str()), (true, "true"));
        scope_budget(&world, BudgetScope::Provider, "openai", "0.1").await;
        assert_eq!(explain(&sidecar, asked("b")).await.deny_scope(), BudgetScope::Provider);
    }

    async fn required_parameters_are_checked(backend: Backend) {
        let world = World::builder(backend).set("enforced_params", "[\"user\"]")
            .set("service_account_settings", "{ enforced_params = [\"metadata.run\"] }").start().await;
        world.team(pb::Team { team_id: "red".into(), ..Default::default() }).await;
        let (personal, _) = world.key(pb::Key::default()).await;
        let (service, _) = world.key(pb::Key { team_id: Some("red".into()), ..Default::default() }).await;
        let asked = |params: &[&str]| pb::AuthorizeRequest { params: params.iter().map(ToString::to_string).collect(), ..ask("a", "0") };
        let (personal, service) = (world.with_key(&personal), world.with_key(&service));
        let refused = authorize(&personal, asked(&["temperature"])).await;
        assert_eq!((refused.deny_reason(), refused.message.as_str()), (DenyReason::RequiredParamMissing, "the call lacks user"));
        assert_eq!(authorize(&personal, asked(&["user"])).await.decision(), Decision::Allow);
        assert_eq!(authorize(&service, asked(&["user"])).await.deny_reason(), DenyReason::RequiredParamMissing);
        assert_eq!(authorize(&service, asked(&["user", "metadata.run"])).await.decision(), Decision::Allow);
        let told = explain(&service, asked(&[])).await;
        assert_eq!((told.deny_reason(), told.message.as_str()), (DenyReason::RequiredParamMissing, "the call lacks user, metadata.run"));
    }
}
