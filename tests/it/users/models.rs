//! Limits of single models that a user has.

use std::collections::BTreeMap;

use bursar::pb;
use pb::get_budget_status_request::Subject;
use pb::{BudgetScope, DenyReason, ErrorReason};
use tonic::Code;

use crate::gateway::{ask, authorize, denial, reserve, settle};
use crate::support::world::World;
use crate::support::{Answer, Backend, Client, on_both};

const SPENT: (DenyReason, BudgetScope) = (DenyReason::BudgetExceeded, BudgetScope::UserModel);

fn limits(of: &[(&str, &str)]) -> BTreeMap<String, pb::ModelLimit> {
    let limit = |max: &str| pb::ModelLimit {
        max_budget: Some(max.into()),
        budget_duration: Some("1d".into()),
        ..Default::default()
    };
    of.iter().map(|(model, max)| ((*model).to_owned(), limit(max))).collect()
}

async fn alice(world: &World, of: &[(&str, &str)]) {
    world.user(pb::User { user_id: "alice".into(), model_max_budget: limits(of), ..Default::default() }).await;
}

async fn key_of_alice(world: &World, team_id: Option<&str>) -> Client {
    let key = pb::Key { user_id: Some("alice".into()), team_id: team_id.map(str::to_owned), ..Default::default() };
    world.with_key(&world.key(key).await.0)
}

fn of_model(model: &str, request_id: &str, cost: &str) -> pb::AuthorizeRequest {
    pb::AuthorizeRequest { model: model.into(), ..ask(request_id, cost) }
}

/// Id, limit, spend and reserved of the budgets with single models.
async fn standings(world: &World) -> Vec<(String, String, String, String)> {
    let request = pb::GetBudgetStatusRequest { subject: Some(Subject::UserId("alice".into())) };
    let budgets = world.admin.budgets().get_budget_status(request).await.answer().budgets;
    let of_models = budgets.into_iter().filter(|budget| budget.scope() == BudgetScope::UserModel);
    of_models.map(|budget| (budget.id, budget.max_budget.unwrap_or_default(), budget.spend, budget.reserved)).collect()
}

fn row(id: &str, max: &str, spend: &str, reserved: &str) -> (String, String, String, String) {
    (id.into(), max.into(), spend.into(), reserved.into())
}

async fn update(world: &World, user: pb::User, mask: &[&str]) -> pb::User {
    let paths = mask.iter().map(ToString::to_string).collect();
    let update_mask = (!mask.is_empty()).then_some(prost_types::FieldMask { paths });
    let user = pb::User { user_id: "alice".into(), ..user };
    let request = pb::UpdateUserRequest { user: Some(user), update_mask, ..Default::default() };
    world.admin.users().update_user(request).await.answer().user.unwrap()
}

on_both! {
    async fn they_bind_all_its_keys_without_a_team_together(world: World) {
        alice(&world, &[("gpt-4o", "1")]).await;
        world.team(pb::Team { team_id: "red".into(), members: vec![pb::TeamMember { user_id: "alice".into(), ..Default::default() }], ..Default::default() }).await;
        let (first, second, in_team) = (key_of_alice(&world, None).await, key_of_alice(&world, None).await, key_of_alice(&world, Some("red")).await);
        let id = reserve(&first, "a", "0.6").await;
        assert_eq!(denial(&authorize(&second, ask("b", "0.5")).await), SPENT);
        assert_eq!(authorize(&second, of_model("gpt-4o-mini", "c", "9")).await.decision(), pb::Decision::Allow);
        let of_team = reserve(&in_team, "d", "9").await;
        settle(&in_team, &of_team, 100_000).await;
        assert_eq!(standings(&world).await, [row("alice/gpt-4o", "1", "0", "0.6")]);
        settle(&first, &id, 100_000).await;
        assert_eq!(standings(&world).await, [row("alice/gpt-4o", "1", "0.25", "0")]);
        assert_eq!(world.store().verify().await.unwrap().discrepancies, []);
    }

    async fn with_the_setting_they_bind_its_keys_in_teams_too(backend: Backend) {
        let world = World::builder(backend).set("user_budget_on_team_keys", "true").start().await;
        alice(&world, &[("gpt-4o", "1")]).await;
        world.team(pb::Team { team_id: "red".into(), members: vec![pb::TeamMember { user_id: "alice".into(), ..Default::default() }], ..Default::default() }).await;
        let (secret, _) = world.key(pb::Key { user_id: Some("alice".into()), team_id: Some("red".into()), ..Default::default() }).await;
        // Without a reservation, too.
        crate::spend::record(&world.sidecar().await, vec![crate::spend::event("a", &secret, 300_000)]).await;
        assert_eq!(standings(&world).await, [row("alice/gpt-4o", "1", "0.75", "0")]);
        assert_eq!(denial(&authorize(&world.with_key(&secret), ask("b", "0.3")).await), SPENT);
    }

    async fn they_count_what_a_key_used_that_is_gone(world: World) {
        alice(&world, &[("gpt-4o", "1")]).await;
        let (secret, _) = world.key(pb::Key { user_id: Some("alice".into()), ..Default::default() }).await;
        let id = reserve(&world.with_key(&secret), "a", "1").await;
        world.admin.keys().delete_keys(pb::DeleteKeysRequest { keys: vec![secret.clone()], ..Default::default() }).await.answer();
        crate::spend::record(&world.sidecar().await, vec![crate::spend::event("b", &secret, 100_000)]).await;
        settle(&world.admin, &id, 100_000).await;
        assert_eq!(standings(&world).await, [row("alice/gpt-4o", "1", "0.5", "0")]);
    }

    async fn rates_of_a_model_do_not_lift_the_budget_of_a_wildcard(world: World) {
        alice(&world, &[("gpt-*", "1")]).await;
        let (secret, _) = world.key(pb::Key {
            user_id: Some("alice".into()), model_rpm_limit: [("gpt-4o".to_owned(), 100)].into(),
            model_max_budget: limits(&[("gpt-*", "0.5")]), ..Default::default()
        }).await;
        let client = world.with_key(&secret);
        reserve(&client, "a", "0.4").await;
        let denied = authorize(&client, ask("b", "0.2")).await;
        assert_eq!(denial(&denied), (DenyReason::BudgetExceeded, BudgetScope::KeyModel));
        assert_eq!(denied.rate_limits[0].remaining, 99);
    }

    async fn a_wildcard_is_for_what_is_not_named(world: World) {
        alice(&world, &[("gpt-*", "1"), ("gpt-4o-mini", "5")]).await;
        let client = key_of_alice(&world, None).await;
        reserve(&client, "a", "0.9").await;
        let denied = authorize(&client, of_model("gpt-4.1", "b", "0.2")).await;
        assert_eq!(denial(&denied), SPENT);
        assert_eq!(denied.budgets[0].id, "alice/gpt-*");
        assert_eq!(authorize(&client, of_model("gpt-4o-mini", "c", "4")).await.decision(), pb::Decision::Allow);
        assert_eq!(authorize(&client, of_model("o1", "d", "40")).await.decision(), pb::Decision::Allow);
        let rows = [row("alice/gpt-4o-mini", "5", "0", "4"), row("alice/gpt-*", "1", "0", "0.9")];
        assert_eq!(standings(&world).await, rows);
    }

    async fn a_change_of_the_limit_keeps_the_window_and_another_duration_does_not(backend: Backend) {
        let world = World::builder(backend).at("2025-03-10T12:00:00Z").start().await;
        alice(&world, &[("gpt-4o", "1")]).await;
        let client = key_of_alice(&world, None).await;
        let id = reserve(&client, "a", "1").await;
        settle(&client, &id, 400_000).await;
        assert_eq!(denial(&authorize(&client, ask("b", "1")).await), SPENT);
        let shown = update(&world, pb::User { model_max_budget: limits(&[("gpt-4o", "2")]), ..Default::default() }, &[]).await;
        assert_eq!(shown.model_max_budget["gpt-4o"].max_budget.as_deref(), Some("2"));
        assert_eq!(shown.model_max_budget["gpt-4o"].budget_resets_at, crate::spend::at("2025-03-11T00:00:00Z"));
        assert_eq!(standings(&world).await, [row("alice/gpt-4o", "2", "1", "0")]);
        world.hands().advance(1);
        let mut weekly = limits(&[("gpt-4o", "2")]);
        weekly.get_mut("gpt-4o").unwrap().budget_duration = Some("7d".into());
        update(&world, pb::User { model_max_budget: weekly, ..Default::default() }, &["model_max_budget"]).await;
        assert_eq!(standings(&world).await, [row("alice/gpt-4o", "2", "0", "0")]);
        // What a mask names and a request lacks is taken away; what it does not name stays.
        update(&world, pb::User { user_alias: Some("A".into()), ..Default::default() }, &["user_alias"]).await;
        assert_eq!(standings(&world).await.len(), 1);
        assert!(update(&world, pb::User::default(), &["model_max_budget"]).await.model_max_budget.is_empty());
        assert_eq!(standings(&world).await, []);
    }

    async fn what_was_spent_can_be_corrected_and_is_told_of(world: World) {
        alice(&world, &[("gpt-4o", "1")]).await;
        let client = key_of_alice(&world, None).await;
        let id = reserve(&client, "a", "1").await;
        settle(&client, &id, 400_000).await;
        let reset = pb::ResetSpendRequest { scope: BudgetScope::UserModel.into(), ids: vec!["alice/gpt-4o".into()], ..Default::default() };
        assert_eq!(world.admin.spend().reset_spend(reset).await.answer().accounts_reset, 1);
        reserve(&client, "b", "0.9").await;
        assert_eq!(standings(&world).await, [row("alice/gpt-4o", "1", "0", "0.9")]);
        let other = pb::ResetSpendRequest { scope: BudgetScope::UserModel.into(), ids: vec!["alice/o1".into()], ..Default::default() };
        world.admin.spend().reset_spend(other).await.refused(Code::NotFound, ErrorReason::AccountNotFound);
        let entries = world.admin.audit().list_audit_entries(pb::ListAuditEntriesRequest {
            object_type: "user".into(), object_id: "alice".into(), ..Default::default()
        }).await.answer().entries;
        let actions: Vec<_> = entries.iter().map(pb::AuditEntry::action).collect();
        let alerts = actions.iter().filter(|action| **action == pb::AuditAction::BudgetAlert).count();
        assert_eq!((alerts, actions[0]), (4, pb::AuditAction::Update), "{actions:?}");
    }

    async fn rates_of_a_model_bind_too(backend: Backend) {
        let world = World::builder(backend).at("2025-03-10T12:00:00Z").start().await;
        let limit = pb::ModelLimit { rpm_limit: Some(1), ..Default::default() };
        world.user(pb::User { user_id: "alice".into(), model_max_budget: [("gpt-4o".to_owned(), limit)].into(), ..Default::default() }).await;
        let client = key_of_alice(&world, None).await;
        reserve(&client, "a", "1").await;
        assert_eq!(denial(&authorize(&client, ask("b", "1")).await), (DenyReason::RateLimited, BudgetScope::UserModel));
        assert_eq!(standings(&world).await, [], "there is no budget");
    }

    async fn impossible_limits_are_named(world: World) {
        let limit = pb::ModelLimit { max_budget: Some("-1".into()), budget_duration: Some("soon".into()), ..Default::default() };
        let user = pb::User { model_max_budget: [("m".to_owned(), limit), ("n".to_owned(), pb::ModelLimit::default())].into(), ..Default::default() };
        let refused = world.admin.users().create_user(pb::CreateUserRequest { user: Some(user), ..Default::default() }).await;
        let status = refused.refused(Code::InvalidArgument, ErrorReason::FieldInvalid);
        for field in [r#"user.model_max_budget["m"].max_budget"#, r#"user.model_max_budget["m"].budget_duration"#, r#"user.model_max_budget["n"]"#] {
            assert!(crate::support::answer::bad_fields(&status).iter().any(|(bad, _)| bad == field), "{field}: {status:?}");
        }
    }
}
