//! `AdjustSpend` and `ResetSpend`: what accounts spent is corrected by events of
//! the ledger, never without a trace.

use bursar::pb;
use pb::get_budget_status_request::Subject;
use pb::{BudgetScope, ErrorReason};
use tonic::Code;

use super::{event, record};
use crate::audit::entries;
use crate::gateway::{ask, authorize, denial, reserve};
use crate::support::world::World;
use crate::support::{Answer, Backend, on_both};

fn adjustment(scope: BudgetScope, id: &str, amount: &str) -> pb::AdjustSpendRequest {
    pb::AdjustSpendRequest {
        scope: scope.into(),
        id: id.into(),
        amount: amount.into(),
        reason: "invoice 7".into(),
        ..Default::default()
    }
}

async fn adjust(world: &World, request: pb::AdjustSpendRequest) -> String {
    world.admin.spend().adjust_spend(request).await.answer().spend
}

async fn reset(world: &World, request: pb::ResetSpendRequest) -> i64 {
    world.admin.spend().reset_spend(request).await.answer().accounts_reset
}

fn named(scope: BudgetScope, ids: &[&str]) -> pb::ResetSpendRequest {
    let ids = ids.iter().map(ToString::to_string).collect();
    pb::ResetSpendRequest { scope: scope.into(), ids, ..Default::default() }
}

/// What the budgets of a key say is spent, by scope.
async fn spent(world: &World, key: &str) -> Vec<(BudgetScope, String)> {
    let request = pb::GetBudgetStatusRequest { subject: Some(Subject::Key(key.into())) };
    let budgets = world.admin.budgets().get_budget_status(request).await.answer().budgets;
    budgets.iter().map(|budget| (budget.scope(), budget.spend.clone())).collect()
}

/// A key with a budget of a dollar, of a member of a team of an organization.
async fn key_of_all(world: &World) -> (String, pb::Key) {
    world
        .organization(pb::Organization {
            organization_id: "acme".into(),
            max_budget: Some("50".into()),
            ..Default::default()
        })
        .await;
    let user = Some(pb::User { user_id: "ann".into(), ..Default::default() });
    let organization_ids = vec!["acme".into()];
    let request = pb::CreateUserRequest { user, organization_ids, auto_create_key: Some(false), ..Default::default() };
    world.admin.users().create_user(request).await.answer();
    let members = vec![pb::TeamMember { user_id: "ann".into(), ..Default::default() }];
    let team = pb::Team {
        team_id: "red".into(),
        organization_id: Some("acme".into()),
        max_budget: Some("9".into()),
        team_member_budget: Some("5".into()),
        members,
        ..Default::default()
    };
    world.team(team).await;
    let key = pb::Key {
        team_id: Some("red".into()),
        user_id: Some("ann".into()),
        max_budget: Some("1".into()),
        ..Default::default()
    };
    world.key(key).await
}

on_both! {
    async fn an_adjustment_moves_one_account_and_its_budget(world: World) {
        let (secret, key) = key_of_all(&world).await;
        record(&world.admin, vec![event("a", &secret, 40_000)]).await;
        assert_eq!(adjust(&world, adjustment(BudgetScope::Key, &key.key_id, "0.75")).await, "0.85");
        let caller = world.with_key(&secret);
        assert_eq!(denial(&authorize(&caller, ask("r", "0.2")).await).1, BudgetScope::Key);
        assert_eq!(adjust(&world, adjustment(BudgetScope::Key, &key.key_id, "-0.8")).await, "0.05");
        reserve(&caller, "s", "0.95").await;
        assert_eq!(adjust(&world, adjustment(BudgetScope::Team, "red", "1.5")).await, "1.6");
        assert_eq!(adjust(&world, adjustment(BudgetScope::TeamMember, "red/ann", "0.000000001")).await, "0.100000001");
        assert_eq!(adjust(&world, adjustment(BudgetScope::Organization, "acme", "-0.1")).await, "0");
        assert_eq!(adjust(&world, adjustment(BudgetScope::User, "ann", "3")).await, "3.1");
        let found = spent(&world, &key.key_hash).await;
        for (scope, spend) in [
            (BudgetScope::Key, "0.05"),
            (BudgetScope::Team, "1.6"),
            (BudgetScope::TeamMember, "0.100000001"),
            (BudgetScope::Organization, "0"),
        ] {
            assert!(found.contains(&(scope, spend.to_owned())), "{scope:?}: {found:?}");
        }
        // Reports tell of calls, and there was one.
        let report = world.admin.spend().get_total_spend(pb::GetTotalSpendRequest::default()).await.answer();
        assert_eq!((report.spend.as_str(), report.metrics.unwrap().api_requests), ("0.1", 1));
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty());
    }

    async fn an_adjustment_says_why_in_the_ledger_and_in_the_audit_log(world: World) {
        let (secret, key) = key_of_all(&world).await;
        adjust(&world, adjustment(BudgetScope::Key, &key.key_id, "0.5")).await;
        adjust(&world, adjustment(BudgetScope::TeamMember, "red/ann", "0.25")).await;
        let request = pb::ListUsageRequest { key: secret, ..Default::default() };
        let events = world.admin.spend().list_usage(request).await.answer().events;
        let [found] = &events[..] else { panic!("{events:?}") };
        assert_eq!((found.cost_source(), found.cost.as_deref()), (pb::CostSource::Adjustment, Some("0.5")));
        assert!(format!("{:?}", found.metadata).contains("invoice 7"));
        for (object_type, object_id, spend) in [("key", key.key_id.as_str(), "0.5"), ("team_member", "red/ann", "0.25")] {
            // An alert of what is half spent stands beside it.
            let action = pb::AuditAction::Update.into();
            let request = pb::ListAuditEntriesRequest { object_type: object_type.into(), object_id: object_id.into(), action, ..Default::default() };
            let found = entries(&world.admin, request).await;
            let after = format!("{:?}", found[0].after);
            assert!(after.contains("invoice 7") && after.contains(spend), "{after}");
            assert_eq!(found[0].rpc, "bursar.v1.SpendService/AdjustSpend");
        }
    }

    async fn a_credit_is_at_most_what_was_spent(backend: Backend) {
        let world = World::builder(backend).at("2025-06-10T12:00:00Z").start().await;
        let key = pb::Key { budget_duration: Some("1d".into()), max_budget: Some("1".into()), ..Default::default() };
        let (secret, key) = world.key(key).await;
        record(&world.admin, vec![event("a", &secret, 40_000)]).await;
        let credit = || adjustment(BudgetScope::Key, &key.key_id, "-0.100000001");
        let status = world.admin.spend().adjust_spend(credit()).await.refused(Code::FailedPrecondition, ErrorReason::CreditExceedsSpend);
        assert!(status.message().contains("0.1 USD"), "{}", status.message());
        // The window decides, not the whole life.
        world.hands().set("2025-06-11T12:00:00Z");
        let credit = adjustment(BudgetScope::Key, &key.key_id, "-0.05");
        world.admin.spend().adjust_spend(credit).await.refused(Code::FailedPrecondition, ErrorReason::CreditExceedsSpend);
        assert_eq!(spent(&world, &key.key_hash).await, [(BudgetScope::Key, "0".to_owned())]);
    }

    async fn a_user_is_credited_with_what_its_team_keys_spent(world: World) {
        let (secret, _) = key_of_all(&world).await;
        let own = pb::Key { user_id: Some("ann".into()), ..Default::default() };
        let (own, _) = world.key(own).await;
        record(&world.admin, vec![event("a", &secret, 40_000), event("b", &own, 8_000)]).await;
        let personal = async || spent(&world, &own).await.into_iter().find(|(scope, _)| *scope == BudgetScope::User).unwrap().1;
        assert_eq!(personal().await, "0.02");
        assert_eq!(adjust(&world, adjustment(BudgetScope::User, "ann", "-0.11")).await, "0.01");
        assert_eq!(personal().await, "0", "and not less");
        assert_eq!(adjust(&world, adjustment(BudgetScope::User, "ann", "-0.005")).await, "0.005");
        assert_eq!(adjust(&world, adjustment(BudgetScope::User, "ann", "0.3")).await, "0.305");
        assert_eq!(personal().await, "0.3");
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty());
    }

    async fn an_adjustment_counts_once_however_often_it_is_sent(world: World) {
        let (_, key) = world.key(pb::Key::default()).await;
        let request = || pb::AdjustSpendRequest { request_id: "once".into(), ..adjustment(BudgetScope::Key, &key.key_id, "0.5") };
        let calls = (0..8).map(|_| async { world.admin.spend().adjust_spend(request()).await.answer().spend });
        assert_eq!(futures_util::future::join_all(calls).await, vec!["0.5"; 8]);
        let other = pb::AdjustSpendRequest { amount: "0.6".into(), ..request() };
        world.admin.spend().adjust_spend(other).await.refused(Code::AlreadyExists, ErrorReason::RequestIdReused);
        assert_eq!(adjust(&world, adjustment(BudgetScope::Key, &key.key_id, "1")).await, "1.5");
    }

    async fn bad_corrections_name_their_fields(world: World) {
        let (_, key) = world.key(pb::Key::default()).await;
        let good = || adjustment(BudgetScope::Key, &key.key_id, "1");
        for (bad, field) in [
            (pb::AdjustSpendRequest { scope: 0, ..good() }, "scope"),
            (pb::AdjustSpendRequest { scope: 99, ..good() }, "scope"),
            (pb::AdjustSpendRequest { id: String::new(), ..good() }, "id"),
            (pb::AdjustSpendRequest { reason: String::new(), ..good() }, "reason"),
            (pb::AdjustSpendRequest { reason: "r".repeat(1_025), ..good() }, "reason"),
            (pb::AdjustSpendRequest { amount: "0".into(), ..good() }, "amount"),
            (pb::AdjustSpendRequest { amount: "-0".into(), ..good() }, "amount"),
            (pb::AdjustSpendRequest { amount: "--1".into(), ..good() }, "amount"),
            (pb::AdjustSpendRequest { amount: "+1".into(), ..good() }, "amount"),
            (pb::AdjustSpendRequest { amount: "0.0000000001".into(), ..good() }, "amount"),
            (pb::AdjustSpendRequest { amount: String::new(), ..good() }, "amount"),
        ] {
            let found = world.admin.spend().adjust_spend(bad.clone()).await.bad();
            assert_eq!(found.iter().map(|(field, _)| field.as_str()).collect::<Vec<_>>(), [field], "{bad:?}");
        }
        for (scope, id) in [(BudgetScope::Key, "no-uuid"), (BudgetScope::Team, "none"), (BudgetScope::TeamMember, "none"), (BudgetScope::TeamMember, "a/b")] {
            world.admin.spend().adjust_spend(adjustment(scope, id, "1")).await.refused(Code::NotFound, ErrorReason::AccountNotFound);
        }
        for (bad, field) in [
            (pb::ResetSpendRequest::default(), "scope"),
            (named(BudgetScope::Team, &[]), "ids"),
            (named(BudgetScope::Team, &["x"; 501]), "ids"),
            (pb::ResetSpendRequest { all: true, ..named(BudgetScope::Team, &["x"]) }, "all"),
            (pb::ResetSpendRequest { all: true, scopes: vec![99], ..Default::default() }, "scopes[0]"),
            (pb::ResetSpendRequest { scopes: vec![1], ..named(BudgetScope::Team, &["x"]) }, "scopes"),
        ] {
            let found = world.admin.spend().reset_spend(bad.clone()).await.bad();
            assert_eq!(found[0].0, field, "{bad:?}");
        }
    }

    async fn named_accounts_are_reset_all_or_none(world: World) {
        let (secret, key) = key_of_all(&world).await;
        let (idle, idle_key) = world.key(pb::Key::default()).await;
        record(&world.admin, vec![event("a", &secret, 40_000)]).await;
        let with_stranger = named(BudgetScope::Key, &[&key.key_id, "00000000-0000-7000-8000-000000000000"]);
        world.admin.spend().reset_spend(with_stranger).await.refused(Code::NotFound, ErrorReason::AccountNotFound);
        assert!(spent(&world, &secret).await.contains(&(BudgetScope::Key, "0.1".to_owned())));
        reserve(&world.with_key(&secret), "held", "0.3").await;
        assert_eq!(reset(&world, named(BudgetScope::Key, &[&key.key_id, &idle_key.key_id])).await, 1, "{idle} had spent nothing");
        assert_eq!(reset(&world, named(BudgetScope::Key, &[&key.key_id])).await, 0);
        let found = spent(&world, &secret).await;
        assert!(found.contains(&(BudgetScope::Key, "0".to_owned())) && found.contains(&(BudgetScope::Team, "0.1".to_owned())), "{found:?}");
        // What is reserved stays reserved.
        let caller = world.with_key(&secret);
        assert_eq!(denial(&authorize(&caller, ask("r", "0.71")).await).1, BudgetScope::Key);
        reserve(&caller, "s", "0.7").await;
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty());
    }

    async fn what_was_ever_spent_stays(world: World) {
        let daily = pb::Key { budget_duration: Some("1d".into()), max_budget: Some("1".into()), ..Default::default() };
        let (secret, key) = world.key(daily).await;
        let shown = async || {
            let shown = world.admin.keys().get_key(pb::GetKeyRequest { key: key.key_hash.clone() }).await.answer().key.unwrap();
            (shown.spend.unwrap(), shown.lifetime_spend)
        };
        let both = |spend: &str, ever: &str| (spend.to_owned(), ever.to_owned());
        record(&world.admin, vec![event("a", &secret, 40_000)]).await;
        assert_eq!(shown().await, both("0.1", "0.1"));
        assert_eq!(reset(&world, named(BudgetScope::Key, &[&key.key_id])).await, 1);
        assert_eq!(shown().await, both("0", "0.1"));
        record(&world.admin, vec![event("b", &secret, 40_000)]).await;
        assert_eq!(shown().await, both("0.1", "0.2"));
        // Nor does it change with a spend that is written.
        for (spend, ever) in [("0.04", "0.2"), ("0.05", "0.2")] {
            let key = pb::Key { key_hash: key.key_hash.clone(), spend: Some(spend.into()), ..Default::default() };
            world.admin.keys().update_key(pb::UpdateKeyRequest { key: Some(key), ..Default::default() }).await.answer();
            assert_eq!(shown().await, both(spend, ever));
        }
        // What is new begins with what it spent elsewhere.
        let moved = pb::Key { budget_duration: Some("1d".into()), spend: Some("0.7".into()), ..Default::default() };
        assert_eq!(world.key(moved).await.1.lifetime_spend, "0.7");
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty());
    }

    async fn everything_is_reset_and_reports_stay(world: World) {
        let (secret, key) = key_of_all(&world).await;
        let (other, _) = world.key(pb::Key { user_id: Some("ann".into()), ..Default::default() }).await;
        record(&world.admin, vec![event("a", &secret, 40_000), event("b", &other, 400)]).await;
        world.admin.keys().delete_keys(pb::DeleteKeysRequest { keys: vec![other], ..Default::default() }).await.answer();
        assert_eq!(reset(&world, pb::ResetSpendRequest { all: true, ..Default::default() }).await, 2, "a key and a team; one key is gone");
        let found = spent(&world, &key.key_hash).await;
        assert!(found.contains(&(BudgetScope::TeamMember, "0.1".to_owned())), "{found:?}");
        let scopes = [BudgetScope::TeamMember, BudgetScope::User, BudgetScope::Organization, BudgetScope::OrganizationMember];
        let scopes = scopes.map(i32::from).to_vec();
        assert_eq!(reset(&world, pb::ResetSpendRequest { all: true, scopes, ..Default::default() }).await, 4);
        assert!(spent(&world, &key.key_hash).await.iter().all(|(_, spend)| spend == "0"));
        let total = world.admin.spend().get_total_spend(pb::GetTotalSpendRequest::default()).await.answer();
        assert_eq!(total.spend, "0.101");
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty());
    }
}
