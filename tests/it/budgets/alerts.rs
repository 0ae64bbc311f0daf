//! Alerts: each level of a budget is told of once in a window.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bursar::pb;
use pb::{BudgetAlertKind, BudgetScope, ChangeKind};
use tokio::task::JoinSet;

use crate::gateway::watch::watch;
use crate::gateway::{reserve, settle};
use crate::spend::{at, event, record};
use crate::support::world::{MODEL, World};
use crate::support::{Answer, Backend, Client, on_both};

/// Prompt tokens of the model for a cent.
const CENT: i64 = 4_000;

/// Everything that was told, in order.
async fn told(world: &World) -> Vec<pb::BudgetAlert> {
    let mut stream = watch(&world.admin, Some(0)).await;
    let mut alerts = Vec::new();
    // A heartbeat follows what there is.
    while let Ok(message) = tokio::time::timeout(Duration::from_millis(300), stream.message()).await {
        let changes = message.unwrap().unwrap().changes;
        let of_alerts = changes.into_iter().filter(|change| change.kind() == ChangeKind::BudgetAlert);
        alerts.extend(of_alerts.map(|change| {
            assert!(!change.revoked && change.at.is_some());
            change.budget_alert.unwrap()
        }));
    }
    alerts
}

/// Scope, threshold (0 for the soft budget) and spend of what was told.
async fn outline(world: &World) -> Vec<(BudgetScope, i32, String)> {
    let told = told(world).await.into_iter();
    told.map(|alert| (alert.scope(), alert.threshold.unwrap_or(0), alert.spend)).collect()
}

fn row(scope: BudgetScope, threshold: i32, spend: &str) -> (BudgetScope, i32, String) {
    (scope, threshold, spend.to_owned())
}

/// A call that costs so many cents.
async fn spend(client: &Client, request_id: &str, cents: i64) {
    let id = reserve(client, request_id, "0").await;
    settle(client, &id, cents * CENT).await;
}

async fn update_key(world: &World, key: pb::Key) {
    let request = pb::UpdateKeyRequest { key: Some(key), ..Default::default() };
    world.admin.keys().update_key(request).await.answer();
}

on_both! {
    async fn a_model_without_a_price_is_told_of_once_a_day(backend: Backend) {
        let world = World::builder(backend).at("2025-06-10T22:00:00Z").start().await;
        let sidecar = world.sidecar().await;
        let (secret, _) = world.key(pb::Key::default()).await;
        let of = |request_id: &str, model: &str| pb::UsageEvent { model: model.into(), ..event(request_id, &secret, 10) };
        record(&sidecar, vec![of("a", "mystery"), of("b", "mystery"), of("c", MODEL)]).await;
        record(&sidecar, vec![of("d", "mystery"), of("e", "riddle"), of("a", "mystery")]).await;
        world.hands().advance(2 * 3_600);
        record(&sidecar, vec![of("f", "mystery")]).await;
        let day = |alert: &pb::BudgetAlert| (alert.window_start, alert.resets_at);
        let (first, second) = ((at("2025-06-10T00:00:00Z"), at("2025-06-11T00:00:00Z")), (at("2025-06-11T00:00:00Z"), at("2025-06-12T00:00:00Z")));
        let told: Vec<_> = told(&world).await.into_iter().map(|alert| (alert.kind(), alert.scope(), day(&alert), alert.id)).collect();
        let row = |id: &str, day| (BudgetAlertKind::SpendUnpriced, BudgetScope::Model, day, id.to_owned());
        assert_eq!(told, [row("mystery", first), row("riddle", first), row("mystery", second)]);
    }

    async fn each_level_is_told_once_on_the_way_up(backend: Backend) {
        let world = World::builder(backend).at("2025-03-10T12:00:00Z").start().await;
        world.team(pb::Team {
            team_id: "red".into(), team_alias: Some("Red".into()), max_budget: Some("1".into()), soft_budget: Some("0.3".into()),
            budget_duration: Some("1d".into()), ..Default::default()
        }).await;
        let (secret, _) = world.key(pb::Key { team_id: Some("red".into()), ..Default::default() }).await;
        let client = world.with_key(&secret);
        for (index, cents) in [29, 1, 19, 1, 30, 1, 20].into_iter().enumerate() {
            spend(&client, &index.to_string(), cents).await;
        }
        let all = told(&world).await;
        let levels: Vec<_> = all.iter().map(|alert| (alert.kind(), alert.threshold, alert.spend.as_str())).collect();
        assert_eq!(levels, [
            (BudgetAlertKind::SoftBudgetCrossed, None, "0.3"), (BudgetAlertKind::ThresholdCrossed, Some(50), "0.5"),
            (BudgetAlertKind::ThresholdCrossed, Some(80), "0.8"), (BudgetAlertKind::ThresholdCrossed, Some(95), "1.01"),
            (BudgetAlertKind::BudgetCrossed, Some(100), "1.01"),
        ]);
        let first = &all[0];
        assert_eq!((first.scope(), first.id.as_str(), first.label.as_str()), (BudgetScope::Team, "red", "Red"));
        assert_eq!((first.max_budget.as_deref(), first.soft_budget.as_deref()), (Some("1"), Some("0.3")));
        assert_eq!((first.window_start, first.resets_at), (at("2025-03-10T12:00:00Z"), at("2025-03-11T00:00:00Z")));
        // The next window is another one.
        world.hands().set("2025-03-11T00:00:00Z");
        spend(&client, "next", 60).await;
        assert_eq!(outline(&world).await[5..], [row(BudgetScope::Team, 0, "0.6"), row(BudgetScope::Team, 50, "0.6")]);
        // The audit log of the team has them, too; and is still whole.
        let entries = world.admin.audit().list_audit_entries(pb::ListAuditEntriesRequest {
            object_type: "team".into(), object_id: "red".into(), action: pb::AuditAction::BudgetAlert.into(), team_id: "red".into(), ..Default::default()
        }).await.answer().entries;
        assert_eq!((entries.len(), entries[0].actor.as_str()), (7, "bursar"));
        let verified = world.admin.audit().verify_audit_log(pb::VerifyAuditLogRequest::default()).await.answer();
        assert_eq!(verified.fault(), pb::AuditFault::Unspecified);
    }

    async fn every_kind_of_budget_is_told_of(world: World) {
        let budget = |max: &str| pb::Budget { max_budget: Some(max.into()), ..Default::default() };
        world.organization(pb::Organization { organization_id: "acme".into(), max_budget: Some("0.1".into()), ..Default::default() }).await;
        world.user(pb::User { user_id: "alice".into(), max_budget: Some("0.1".into()), ..Default::default() }).await;
        let members = vec![pb::TeamMember { user_id: "alice".into(), max_budget_in_team: Some("0.1".into()), ..Default::default() }];
        let team = pb::Team { team_id: "red".into(), organization_id: Some("acme".into()), max_budget: Some("0.1".into()), members, ..Default::default() };
        let request = pb::CreateTeamRequest { team: Some(team), add_members_to_organization: true, ..Default::default() };
        world.admin.teams().create_team(request).await.answer();
        let customer = pb::Customer { customer_id: "carl".into(), max_budget: Some("0.1".into()), ..Default::default() };
        world.admin.customers().create_customer(pb::CreateCustomerRequest { customer: Some(customer), ..Default::default() }).await.answer();
        for (scope, id) in [(BudgetScope::Tag, "t"), (BudgetScope::Provider, "openai"), (BudgetScope::Model, "gpt-4o"), (BudgetScope::Global, "")] {
            let request = pb::SetScopeBudgetRequest { scope: scope.into(), id: id.into(), budget: Some(budget("0.1")) };
            world.admin.budgets().set_scope_budget(request).await.answer();
        }
        let limit = pb::ModelLimit { max_budget: Some("0.1".into()), ..Default::default() };
        let window = pb::BudgetLimit { max_budget: "0.1".into(), budget_duration: "1d".into(), ..Default::default() };
        let (secret, key) = world.key(pb::Key {
            team_id: Some("red".into()), user_id: Some("alice".into()), key_alias: Some("in-team".into()), max_budget: Some("0.1".into()),
            model_max_budget: [("gpt-4o".to_owned(), limit)].into(), budget_limits: vec![window], tags: vec!["t".into()], ..Default::default()
        }).await;
        let client = world.with_key(&secret);
        // Half of it with a reservation, the other without.
        let request = pb::AuthorizeRequest { customer_id: "carl".into(), ..crate::gateway::ask("a", "0") };
        let id = crate::gateway::authorize(&client, request).await.reservation_id;
        settle(&client, &id, 5 * CENT).await;
        let event = pb::UsageEvent { customer_id: "carl".into(), ..crate::spend::event("b", &secret, 5 * CENT) };
        crate::spend::record(&world.sidecar().await, vec![event]).await;
        let mut levels: BTreeMap<(i32, String), Vec<i32>> = BTreeMap::new();
        let all = told(&world).await;
        for alert in &all {
            levels.entry((alert.scope, alert.id.clone())).or_default().push(alert.threshold.unwrap());
        }
        let id = &key.key_id;
        let expected = [
            (BudgetScope::Key, id.clone()), (BudgetScope::KeyWindow, format!("{id}/1d")), (BudgetScope::KeyModel, format!("{id}/gpt-4o")),
            (BudgetScope::Team, "red".into()), (BudgetScope::TeamMember, "red/alice".into()), (BudgetScope::Organization, "acme".into()),
            (BudgetScope::Customer, "carl".into()), (BudgetScope::Tag, "t".into()), (BudgetScope::Provider, "openai".into()),
            (BudgetScope::Model, "gpt-4o".into()), (BudgetScope::Global, String::new()),
        ];
        let expected: BTreeMap<_, _> = expected.into_iter().map(|(scope, id)| ((scope.into(), id), vec![50, 80, 95, 100])).collect();
        assert_eq!(levels, expected, "the user's budget does not bind its keys in teams");
        assert!(all.iter().filter(|alert| alert.id.starts_with(id)).all(|alert| alert.label == "in-team"));
        // Without a team it does, and is told of once, though two accounts count it.
        world.user(pb::User { user_id: "bob".into(), max_budget: Some("0.1".into()), ..Default::default() }).await;
        for (scope, id) in [(BudgetScope::Provider, "openai"), (BudgetScope::Model, "gpt-4o"), (BudgetScope::Global, "")] {
            let request = pb::DeleteScopeBudgetRequest { scope: scope.into(), id: id.into() };
            world.admin.budgets().delete_scope_budget(request).await.answer();
        }
        let (secret, _) = world.key(pb::Key { user_id: Some("bob".into()), ..Default::default() }).await;
        spend(&world.with_key(&secret), "own", 6).await;
        let of_user: Vec<_> = told(&world).await.into_iter().filter(|alert| alert.scope() == BudgetScope::User).collect();
        assert_eq!((of_user.len(), of_user[0].threshold, of_user[0].spend.as_str()), (1, Some(50), "0.06"));
    }

    async fn calls_at_once_tell_once(backend: Backend) {
        let world = World::builder(backend).start().await;
        let second = World::builder(backend).start_on(Arc::clone(&world.database)).await;
        world.team(pb::Team { team_id: "red".into(), max_budget: Some("1".into()), soft_budget: Some("0.5".into()), ..Default::default() }).await;
        let (secret, _) = world.key(pb::Key { team_id: Some("red".into()), ..Default::default() }).await;
        let mut calls = JoinSet::new();
        for number in 0..100 {
            // SQLite has one instance.
            let at = if backend == Backend::Postgres && number % 2 == 1 { &second } else { &world };
            let client = at.with_key(&secret);
            calls.spawn(async move { spend(&client, &number.to_string(), 1).await });
        }
        calls.join_all().await;
        let levels: Vec<i32> = outline(&world).await.into_iter().map(|(_, threshold, _)| threshold).collect();
        assert_eq!(levels, [0, 50, 80, 95, 100]);
    }

    async fn a_level_is_told_again_after_a_reset_and_after_a_raise(world: World) {
        let (secret, key) = world.key(pb::Key { max_budget: Some("1".into()), ..Default::default() }).await;
        let client = world.with_key(&secret);
        let key_levels = |told: Vec<(BudgetScope, i32, String)>| told.into_iter().map(|(_, level, _)| level).collect::<Vec<_>>();
        spend(&client, "a", 55).await;
        assert_eq!(key_levels(outline(&world).await), [50]);
        // A credit is no reset.
        let credit = pb::AdjustSpendRequest { scope: BudgetScope::Key.into(), id: key.key_id.clone(), amount: "-0.1".into(), reason: "bug".into(), ..Default::default() };
        world.admin.spend().adjust_spend(credit).await.answer();
        spend(&client, "b", 10).await;
        assert_eq!(key_levels(outline(&world).await), [50]);
        // A debit is spend.
        let debit = pb::AdjustSpendRequest { scope: BudgetScope::Key.into(), id: key.key_id.clone(), amount: "0.25".into(), reason: "bug".into(), ..Default::default() };
        world.admin.spend().adjust_spend(debit).await.answer();
        assert_eq!(outline(&world).await[1..], [row(BudgetScope::Key, 80, "0.8")]);
        // Twice as much: half of it lies ahead again.
        update_key(&world, pb::Key { key_hash: key.key_hash.clone(), max_budget: Some("2".into()), ..Default::default() }).await;
        spend(&client, "c", 20).await;
        assert_eq!(outline(&world).await[2..], [row(BudgetScope::Key, 50, "1")]);
        // And back: what was told of the lower budget is told.
        update_key(&world, pb::Key { key_hash: key.key_hash.clone(), max_budget: Some("1".into()), ..Default::default() }).await;
        let reset = pb::ResetSpendRequest { scope: BudgetScope::Key.into(), ids: vec![key.key_id.clone()], ..Default::default() };
        world.admin.spend().reset_spend(reset).await.answer();
        spend(&client, "d", 81).await;
        assert_eq!(outline(&world).await[3..], [row(BudgetScope::Key, 50, "0.81"), row(BudgetScope::Key, 80, "0.81")]);
    }

    async fn thresholds_are_a_setting(backend: Backend) {
        let world = World::builder(backend).set("budget_alert_thresholds", "[10]").start().await;
        let (secret, _) = world.key(pb::Key { max_budget: Some("1".into()), soft_budget: Some("0.2".into()), ..Default::default() }).await;
        let client = world.with_key(&secret);
        spend(&client, "a", 9).await;
        spend(&client, "b", 200).await;
        let told = [row(BudgetScope::Key, 0, "2.09"), row(BudgetScope::Key, 10, "2.09"), row(BudgetScope::Key, 100, "2.09")];
        assert_eq!(outline(&world).await, told);
    }

    async fn a_raised_budget_counts_for_calls_under_way(world: World) {
        let (secret, key) = world.key(pb::Key { max_budget: Some("1".into()), ..Default::default() }).await;
        let client = world.with_key(&secret);
        let before = reserve(&client, "a", "0.9").await;
        update_key(&world, pb::Key { key_hash: key.key_hash.clone(), max_budget: Some("10".into()), ..Default::default() }).await;
        settle(&client, &before, 90 * CENT).await;
        assert_eq!(outline(&world).await, []);
        // So does one that is lowered.
        let before = reserve(&client, "b", "0.1").await;
        update_key(&world, pb::Key { key_hash: key.key_hash.clone(), max_budget: Some("0.95".into()), ..Default::default() }).await;
        settle(&client, &before, 10 * CENT).await;
        assert_eq!(outline(&world).await, [row(BudgetScope::Key, 100, "1"), row(BudgetScope::Key, 95, "1")].into_iter().rev().collect::<Vec<_>>());
    }

    async fn a_window_is_compared_with_its_own_budget(backend: Backend) {
        let world = World::builder(backend).at("2025-03-10T12:00:00Z").start().await;
        let (secret, key) = world.key(pb::Key { max_budget: Some("100".into()), ..Default::default() }).await;
        let client = world.with_key(&secret);
        spend(&client, "a", 40).await;
        let before = reserve(&client, "b", "0.6").await;
        world.hands().advance(60);
        // Daily from now on: what is under way belongs to the key's life.
        update_key(&world, pb::Key { key_hash: key.key_hash.clone(), max_budget: Some("1".into()), budget_duration: Some("1d".into()), ..Default::default() }).await;
        settle(&client, &before, 60 * CENT).await;
        assert_eq!(outline(&world).await, []);
        spend(&client, "c", 50).await;
        assert_eq!(outline(&world).await, [row(BudgetScope::Key, 50, "0.5")]);
    }

    async fn a_larger_budget_for_a_while_counts_for_corrections(backend: Backend) {
        let world = World::builder(backend).at("2025-03-10T12:00:00Z").start().await;
        let (_, key) = world.key(pb::Key {
            max_budget: Some("1".into()), temp_budget_increase: Some("1".into()), temp_budget_expires_at: at("2025-03-11T12:00:00Z"), ..Default::default()
        }).await;
        let debit = |amount: &str| pb::AdjustSpendRequest { scope: BudgetScope::Key.into(), id: key.key_id.clone(), amount: amount.into(), reason: "bug".into(), ..Default::default() };
        world.admin.spend().adjust_spend(debit("1.2")).await.answer();
        assert_eq!(outline(&world).await, [row(BudgetScope::Key, 50, "1.2")]);
        // What is credited in full and reset begins anew.
        world.admin.spend().adjust_spend(debit("-1.2")).await.answer();
        let reset = pb::ResetSpendRequest { scope: BudgetScope::Key.into(), ids: vec![key.key_id.clone()], ..Default::default() };
        world.admin.spend().reset_spend(reset).await.answer();
        world.admin.spend().adjust_spend(debit("1.2")).await.answer();
        assert_eq!(outline(&world).await[1..], [row(BudgetScope::Key, 50, "1.2")]);
    }

    async fn a_call_that_was_only_held_with_a_provider_hides_nothing(world: World) {
        for provider in ["east", "west"] {
            let of = pb::Model { provider: provider.into(), ..crate::models::model("m", provider, &[("input_cost_per_token", "0.001")]) };
            crate::models::create(&world, of).await;
            let budget = Some(pb::Budget { max_budget: Some("1".into()), ..Default::default() });
            let request = pb::SetScopeBudgetRequest { scope: BudgetScope::Provider.into(), id: provider.into(), budget };
            world.admin.budgets().set_scope_budget(request).await.answer();
        }
        let (secret, _) = world.key(pb::Key::default()).await;
        let sidecar = world.sidecar().await;
        let mut events = Vec::new();
        for number in 0..20 {
            let request = pb::AuthorizeRequest { key: secret.clone(), model: "m".into(), ..crate::gateway::ask(&number.to_string(), "0.03") };
            let provider = if number % 2 == 0 { "east" } else { "west" };
            events.push(pb::UsageEvent {
                provider: provider.into(),
                deployment: provider.into(),
                reservation_id: crate::gateway::authorize(&sidecar, request).await.reservation_id,
                ..crate::spend::event(&format!("e{number}"), &secret, 60)
            });
        }
        // All in one message, so that many share a batch.
        let answer = crate::spend::record(&sidecar, events).await;
        assert_eq!(answer.recorded, 20, "{answer:?}");
        let mut told = outline(&world).await;
        told.sort();
        assert_eq!(told, [row(BudgetScope::Provider, 50, "0.6"), row(BudgetScope::Provider, 50, "0.6")]);
    }
}
