//! Modes of budgets: those that deny nothing, and those that learn what calls use.

use std::sync::Arc;
use std::time::Duration;

use bursar::pb;
use pb::{BudgetEstimates, BudgetScope, DenyReason, ErrorReason};
use tonic::Code;

use crate::audit::entries;
use crate::gateway::{ask, authorize, denial};
use crate::spend::{event, record};
use crate::support::world::{MODEL, World};
use crate::support::{Answer, Backend, Client, on_both};

fn shadow(scope: BudgetScope, id: &str) -> pb::SetBudgetModeRequest {
    pb::SetBudgetModeRequest { scope: scope.into(), id: id.into(), shadow: true, ..Default::default() }
}

fn learned(scope: BudgetScope, id: &str) -> pb::SetBudgetModeRequest {
    let estimates = BudgetEstimates::Learned.into();
    pb::SetBudgetModeRequest { scope: scope.into(), id: id.into(), estimates, ..Default::default() }
}

async fn set(world: &World, request: pb::SetBudgetModeRequest) -> pb::BudgetMode {
    world.admin.budgets().set_budget_mode(request).await.answer().budget_mode.unwrap()
}

async fn delete(world: &World, scope: BudgetScope, id: &str) {
    let request = pb::DeleteBudgetModeRequest { scope: scope.into(), id: id.into() };
    world.admin.budgets().delete_budget_mode(request).await.answer();
}

async fn listed(world: &World, request: pb::ListBudgetModesRequest) -> Vec<(BudgetScope, String)> {
    let found = world.admin.budgets().list_budget_modes(request).await.answer().budget_modes;
    found.iter().map(|mode| (mode.scope(), mode.id.clone())).collect()
}

/// A key under a budget of each kind: scope and id of all of them, and the key.
async fn under_every_budget(world: &World) -> (Vec<(BudgetScope, String)>, String) {
    let budget = || pb::Budget { max_budget: Some("1".into()), ..Default::default() };
    let limits = || [(MODEL.to_owned(), pb::ModelLimit { max_budget: Some("1".into()), ..Default::default() })].into();
    let of_one = pb::User {
        user_id: "u".into(),
        max_budget: Some("1".into()),
        model_max_budget: limits(),
        ..Default::default()
    };
    world.user(of_one).await;
    let organization =
        pb::Organization { organization_id: "o".into(), max_budget: Some("1".into()), ..Default::default() };
    world.organization(organization).await;
    let team = pb::Team {
        team_id: "t".into(),
        organization_id: Some("o".into()),
        max_budget: Some("1".into()),
        team_member_budget: Some("1".into()),
        ..Default::default()
    };
    world.team(team).await;
    let members = vec![pb::TeamMember { user_id: "u".into(), role: pb::TeamRole::User.into(), ..Default::default() }];
    let request = pb::AddTeamMembersRequest {
        team_id: "t".into(),
        members,
        add_members_to_organization: true,
        ..Default::default()
    };
    world.admin.teams().add_team_members(request).await.answer();
    let customer = pb::Customer {
        customer_id: "c".into(),
        max_budget: Some("1".into()),
        model_max_budget: limits(),
        ..Default::default()
    };
    world
        .admin
        .customers()
        .create_customer(pb::CreateCustomerRequest { customer: Some(customer), ..Default::default() })
        .await
        .answer();
    let shared = [
        (BudgetScope::Tag, "night"),
        (BudgetScope::Provider, "openai"),
        (BudgetScope::Model, MODEL),
        (BudgetScope::Global, ""),
    ];
    for (scope, id) in shared {
        let request = pb::SetScopeBudgetRequest { scope: scope.into(), id: id.into(), budget: Some(budget()) };
        world.admin.budgets().set_scope_budget(request).await.answer();
    }
    let (secret, key) = world
        .key(pb::Key {
            user_id: Some("u".into()),
            team_id: Some("t".into()),
            tags: vec!["night".into()],
            max_budget: Some("1".into()),
            model_max_budget: limits(),
            budget_limits: vec![pb::BudgetLimit {
                budget_duration: "1h".into(),
                max_budget: "1".into(),
                budget_resets_at: None,
            }],
            ..Default::default()
        })
        .await;
    let id = &key.key_id;
    let mut all: Vec<(BudgetScope, String)> = shared.into_iter().map(|(scope, id)| (scope, id.to_owned())).collect();
    all.extend([
        (BudgetScope::Key, id.clone()),
        (BudgetScope::KeyWindow, format!("{id}/1h")),
        (BudgetScope::KeyModel, format!("{id}/{MODEL}")),
        (BudgetScope::Team, "t".into()),
        (BudgetScope::TeamMember, "t/u".into()),
        (BudgetScope::User, "u".into()),
        (BudgetScope::UserModel, format!("u/{MODEL}")),
        (BudgetScope::Organization, "o".into()),
        (BudgetScope::Customer, "c".into()),
        (BudgetScope::CustomerModel, format!("c/{MODEL}")),
    ]);
    (all, secret)
}

/// A call of up to 1,000 output tokens, a cent's worth; none of its input is told.
fn of_1000(request_id: &str) -> pb::AuthorizeRequest {
    pb::AuthorizeRequest { estimated_cost: None, max_output_tokens: Some(1_000), ..ask(request_id, "0") }
}

/// Settles a call that used so many output tokens.
async fn used(client: &Client, reservation_id: &str, completion_tokens: i64) -> pb::SettleResponse {
    let usage = Some(pb::UsageEvent { completion_tokens, ..Default::default() });
    client.gateway().settle(pb::SettleRequest { reservation_id: reservation_id.into(), usage }).await.answer()
}

/// What the budget of a scope holds.
fn reserved(answer: &pb::AuthorizeResponse, scope: BudgetScope) -> String {
    answer.budgets.iter().find(|budget| budget.scope() == scope).unwrap().reserved.clone()
}

on_both! {
    async fn a_budget_of_any_kind_may_deny_nothing(backend: Backend) {
        let world = World::builder(backend).set("user_budget_on_team_keys", "true").start().await;
        let (all, secret) = under_every_budget(&world).await;
        let sidecar = world.sidecar().await;
        let ask = |request_id: &str, cost: &str| pb::AuthorizeRequest { key: secret.clone(), customer_id: "c".into(), ..ask(request_id, cost) };
        // Of all of them but one, each in turn.
        for (scope, id) in &all {
            set(&world, shadow(*scope, id)).await;
        }
        for (scope, id) in &all {
            delete(&world, *scope, id).await;
            assert_eq!(denial(&authorize(&sidecar, ask("denied", "1.1")).await), (DenyReason::BudgetExceeded, *scope));
            set(&world, shadow(*scope, id)).await;
        }
        let allowed = authorize(&sidecar, ask("allowed", "1.1")).await;
        assert_eq!(allowed.decision(), pb::Decision::Allow, "{}", allowed.message);
        for (scope, id) in &all {
            let status = allowed.budgets.iter().find(|budget| budget.scope() == *scope).unwrap();
            let found = (status.id.as_str(), status.shadow, status.would_deny, status.reserved.as_str());
            assert_eq!(found, (id.as_str(), true, true, "1.1"), "{scope:?}");
        }
        let usage = Some(pb::UsageEvent { prompt_tokens: 400_000, ..Default::default() });
        sidecar.gateway().settle(pb::SettleRequest { reservation_id: allowed.reservation_id, usage }).await.answer();
        let more = authorize(&sidecar, ask("more", "0")).await;
        assert!(more.budgets.iter().all(|budget| budget.would_deny && budget.spend == "1"), "{:?}", more.budgets);
        // None of them is overspent that denies again.
        for (scope, id) in &all {
            delete(&world, *scope, id).await;
        }
        assert_eq!(denial(&authorize(&sidecar, ask("again", "0")).await).0, DenyReason::BudgetExceeded);
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty());
    }

    async fn a_mode_of_all_of_a_scope_yields_to_one_of_its_own(world: World) {
        let teams = ["red", "blue"];
        let mut clients = Vec::new();
        for team_id in teams {
            world.team(pb::Team { team_id: team_id.into(), max_budget: Some("1".into()), ..Default::default() }).await;
            let (secret, _) = world.key(pb::Key { team_id: Some(team_id.into()), ..Default::default() }).await;
            clients.push(world.with_key(&secret));
        }
        set(&world, shadow(BudgetScope::Team, "")).await;
        set(&world, pb::SetBudgetModeRequest { shadow: false, ..shadow(BudgetScope::Team, "blue") }).await;
        assert_eq!(authorize(&clients[0], ask("a", "2")).await.decision(), pb::Decision::Allow);
        assert_eq!(denial(&authorize(&clients[1], ask("b", "2")).await), (DenyReason::BudgetExceeded, BudgetScope::Team));
        delete(&world, BudgetScope::Team, "").await;
        assert_eq!(denial(&authorize(&clients[0], ask("c", "2")).await), (DenyReason::BudgetExceeded, BudgetScope::Team));
    }

    async fn it_is_explained(world: World) {
        let (secret, key) = world.key(pb::Key { max_budget: Some("1".into()), ..Default::default() }).await;
        set(&world, shadow(BudgetScope::Key, &key.key_id)).await;
        let request = pb::ExplainDecisionRequest { model: MODEL.into(), estimated_cost: Some("2".into()), reserve: true, ..Default::default() };
        let explained = world.with_key(&secret).gateway().explain_decision(request).await.answer();
        assert_eq!(explained.decision(), pb::Decision::Allow);
        let check = explained.checks.iter().find(|check| check.id == key.key_id && check.values.contains_key("max_budget")).unwrap();
        let value = |name: &str| check.values.get(name).map(String::as_str);
        assert_eq!((check.passed, value("shadow"), value("would_deny")), (true, Some("true"), Some("true")));
    }

    async fn another_instance_hears_of_it(backend: Backend) {
        let world = World::start(backend).await;
        let other = World::builder(backend).start_on(Arc::clone(&world.database)).await;
        let (secret, key) = world.key(pb::Key { max_budget: Some("1".into()), ..Default::default() }).await;
        let elsewhere = other.with_key(&secret);
        assert_eq!(denial(&authorize(&elsewhere, ask("a", "2")).await).0, DenyReason::BudgetExceeded);
        set(&world, shadow(BudgetScope::Key, &key.key_id)).await;
        let is_heard = async {
            while authorize(&elsewhere, ask("b", "2")).await.decision() != pb::Decision::Allow {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), is_heard).await.unwrap();
    }

    async fn what_calls_use_is_learned(world: World) {
        world.team(pb::Team { team_id: "t".into(), max_budget: Some("100".into()), ..Default::default() }).await;
        let (secret, key) = world.key(pb::Key { team_id: Some("t".into()), max_budget: Some("100".into()), ..Default::default() }).await;
        let client = world.with_key(&secret);
        set(&world, learned(BudgetScope::Key, &key.key_id)).await;
        let first = authorize(&client, of_1000("first")).await;
        assert_eq!(reserved(&first, BudgetScope::Key), "0.01", "nothing is known yet");
        used(&client, &first.reservation_id, 80).await;
        let sidecar = world.sidecar().await;
        let calls = (1..100).map(|number| pb::UsageEvent { completion_tokens: 80, ..event(&format!("call {number}"), &secret, 0) });
        record(&sidecar, calls.collect()).await;
        let usual = authorize(&client, of_1000("usual")).await;
        let found = (reserved(&usual, BudgetScope::Key), reserved(&usual, BudgetScope::Team));
        assert_eq!(found, ("0.0008".to_owned(), "0.01".to_owned()), "each budget as it is told");
        // No more than it may use; and what is told is believed.
        let small = authorize(&client, pb::AuthorizeRequest { max_output_tokens: Some(20), ..of_1000("small") }).await;
        assert_eq!(reserved(&small, BudgetScope::Key), "0.001");
        let told = authorize(&client, ask("told", "0.5")).await;
        assert_eq!(reserved(&told, BudgetScope::Key), "0.501");
        // More than was set aside is booked in full, and told.
        let settled = used(&client, &usual.reservation_id, 500).await;
        assert_eq!((settled.cost.as_str(), settled.overrun.as_deref()), ("0.005", Some("0.0042")));
        let settled = used(&client, &small.reservation_id, 20).await;
        assert_eq!((settled.cost.as_str(), settled.overrun), ("0.0002", None));
        client.gateway().release(pb::ReleaseRequest { reservation_id: told.reservation_id }).await.answer();
        let last = authorize(&client, pb::AuthorizeRequest { reserve: false, ..ask("last", "0") }).await;
        for budget in &last.budgets {
            assert_eq!((budget.spend.as_str(), budget.reserved.as_str()), ("0.0852", "0"));
        }
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty());
    }

    async fn failures_and_repeats_teach_nothing(world: World) {
        let (secret, _) = world.key(pb::Key { max_budget: Some("100".into()), ..Default::default() }).await;
        set(&world, learned(BudgetScope::Key, "")).await;
        let sidecar = world.sidecar().await;
        let of = |request_id: &str, completion_tokens| pb::UsageEvent { completion_tokens, ..event(request_id, &secret, 0) };
        record(&sidecar, (0..99).map(|number| of(&format!("call {number}"), 80)).collect()).await;
        record(&sidecar, vec![of("call 0", 80)]).await;
        let failed = pb::UsageEvent { status: pb::UsageStatus::Failure.into(), ..of("failed", 80) };
        record(&sidecar, vec![failed]).await;
        let client = world.with_key(&secret);
        assert_eq!(reserved(&authorize(&client, of_1000("a")).await, BudgetScope::Key), "0.01");
        record(&sidecar, vec![of("call 99", 80)]).await;
        assert_eq!(reserved(&authorize(&client, of_1000("b")).await, BudgetScope::Key), "0.0108");
    }

    async fn each_budget_gets_back_what_it_held_for_a_call_that_ends_elsewhere(backend: Backend) {
        let world = World::start(backend).await;
        world.team(pb::Team { team_id: "t".into(), max_budget: Some("100".into()), ..Default::default() }).await;
        let (secret, key) = world.key(pb::Key { team_id: Some("t".into()), max_budget: Some("100".into()), ..Default::default() }).await;
        set(&world, learned(BudgetScope::Key, &key.key_id)).await;
        let calls = (0..100).map(|number| pb::UsageEvent { completion_tokens: 80, ..event(&format!("call {number}"), &secret, 0) });
        record(&world.sidecar().await, calls.collect()).await;
        let client = world.with_key(&secret);
        let settled = authorize(&client, of_1000("settled")).await;
        let released = authorize(&client, of_1000("released")).await;
        let kept = authorize(&client, of_1000("kept")).await;
        assert_eq!((reserved(&kept, BudgetScope::Key), reserved(&kept, BudgetScope::Team)), ("0.0024".to_owned(), "0.03".to_owned()));
        // It is of a run that has ended; what it held is told by its leases.
        let world = World::builder(backend).start_on(world.stop().await).await;
        let client = world.with_key(&secret);
        used(&client, &settled.reservation_id, 80).await;
        client.gateway().release(pb::ReleaseRequest { reservation_id: released.reservation_id }).await.answer();
        let last = authorize(&client, pb::AuthorizeRequest { reserve: false, ..ask("last", "0") }).await;
        assert_eq!((reserved(&last, BudgetScope::Key), reserved(&last, BudgetScope::Team)), ("0.0008".to_owned(), "0.01".to_owned()));
    }

    async fn modes_are_listed_and_audited(world: World) {
        set(&world, shadow(BudgetScope::Team, "blue")).await;
        let first = set(&world, shadow(BudgetScope::Global, "")).await;
        set(&world, learned(BudgetScope::Customer, "c")).await;
        let again = set(&world, learned(BudgetScope::Global, "")).await;
        assert_eq!((again.shadow, again.estimates(), again.created_at), (false, BudgetEstimates::Learned, first.created_at));
        let mut request = pb::ListBudgetModesRequest { page_size: 1, ..Default::default() };
        let mut found = Vec::new();
        loop {
            let page = world.admin.budgets().list_budget_modes(request.clone()).await.answer();
            found.extend(page.budget_modes.iter().map(|mode| (mode.scope(), mode.id.clone())));
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
        let all = [(BudgetScope::Customer, "c".to_owned()), (BudgetScope::Global, String::new()), (BudgetScope::Team, "blue".to_owned())];
        assert_eq!(found, all);
        let of_teams = pb::ListBudgetModesRequest { scope: BudgetScope::Team.into(), ..Default::default() };
        assert_eq!(listed(&world, of_teams).await, all[2..]);
        delete(&world, BudgetScope::Team, "blue").await;
        let told = entries(&world.admin, pb::ListAuditEntriesRequest { object_type: "budget_mode".into(), ..Default::default() }).await;
        let told: Vec<(&str, &str)> = told.iter().map(|entry| (entry.action().as_str_name(), entry.object_id.as_str())).collect();
        assert_eq!(told[..2], [("AUDIT_ACTION_DELETE", "team/blue"), ("AUDIT_ACTION_UPDATE", "global/")]);
        assert_eq!(told.len(), 5);
    }

    async fn mistakes_are_told(world: World) {
        let budgets = world.admin.budgets();
        let hash = "a".repeat(64);
        for (request, field) in [
            (shadow(BudgetScope::Unspecified, "x"), "scope"),
            (shadow(BudgetScope::TeamModel, "t/m"), "scope"),
            (shadow(BudgetScope::Key, &hash), "id"),
            (shadow(BudgetScope::TeamMember, "t"), "id"),
            (shadow(BudgetScope::Global, "x"), "id"),
            (shadow(BudgetScope::Team, &"x".repeat(800)), "id"),
            (pb::SetBudgetModeRequest { estimates: 9, ..shadow(BudgetScope::Team, "t") }, "estimates"),
        ] {
            assert_eq!(budgets.clone().set_budget_mode(request.clone()).await.bad()[0].0, field, "{request:?}");
        }
        let unknown = pb::DeleteBudgetModeRequest { scope: BudgetScope::Team.into(), id: "t".into() };
        budgets.clone().delete_budget_mode(unknown).await.refused(Code::NotFound, ErrorReason::BudgetModeNotFound);
        let viewer = world.person("viewer", pb::Role::ProxyAdminViewer).await;
        viewer.budgets().list_budget_modes(pb::ListBudgetModesRequest::default()).await.answer();
        viewer.budgets().set_budget_mode(shadow(BudgetScope::Team, "t")).await.refused(Code::PermissionDenied, ErrorReason::RoleNotAllowed);
    }
}
