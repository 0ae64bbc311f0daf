//! `BudgetService`: budgets and limits as they stand.

mod alerts;
mod modes;
mod scopes;
mod tiers;
mod windows;

use bursar::pb;
use pb::get_budget_status_request::Subject;
use pb::{BudgetScope, ErrorReason, RateLimitKind};
use tonic::Code;

use crate::gateway::{ask, authorize, reserve, settle};
use crate::spend::at;
use crate::support::world::World;
use crate::support::{Answer, Backend, Client, on_both};

fn of(subject: Subject) -> pb::GetBudgetStatusRequest {
    pb::GetBudgetStatusRequest { subject: Some(subject) }
}

async fn status(client: &Client, request: pb::GetBudgetStatusRequest) -> pb::GetBudgetStatusResponse {
    client.budgets().get_budget_status(request).await.answer()
}

/// Scope, id, limit, spend, reserved and remaining.
type Row<'a> = (BudgetScope, &'a str, Option<&'a str>, &'a str, &'a str, Option<&'a str>);

fn rows(answer: &pb::GetBudgetStatusResponse) -> Vec<Row<'_>> {
    answer
        .budgets
        .iter()
        .map(|budget| {
            (
                budget.scope(),
                budget.id.as_str(),
                budget.max_budget.as_deref(),
                budget.spend.as_str(),
                budget.reserved.as_str(),
                budget.remaining.as_deref(),
            )
        })
        .collect()
}

on_both! {
    async fn a_key_shows_every_budget_that_binds_it(world: World) {
        world.user(pb::User { user_id: "alice".into(), max_budget: Some("50".into()), rpm_limit: Some(90), ..Default::default() }).await;
        let members = vec![pb::TeamMember { user_id: "alice".into(), max_budget_in_team: Some("5".into()), ..Default::default() }];
        world.team(pb::Team { team_id: "red".into(), max_budget: Some("10".into()), tpm_limit: Some(1_000_000), members, ..Default::default() }).await;
        let (secret, key) = world.key(pb::Key {
            user_id: Some("alice".into()), team_id: Some("red".into()), max_budget: Some("2".into()), rpm_limit: Some(60),
            max_parallel_requests: Some(3), ..Default::default()
        }).await;
        let client = world.with_key(&secret);
        let settled = reserve(&client, "a", "0.5").await;
        settle(&client, &settled, 40_000).await;
        reserve(&client, "b", "0.5").await;
        let answer = status(&client, pb::GetBudgetStatusRequest::default()).await;
        assert_eq!(rows(&answer), [
            (BudgetScope::Key, key.key_id.as_str(), Some("2"), "0.1", "0.5", Some("1.4")),
            (BudgetScope::Team, "red", Some("10"), "0.1", "0.5", Some("9.4")),
            (BudgetScope::TeamMember, "red/alice", Some("5"), "0.1", "0.5", Some("4.4")),
        ]);
        let rates: Vec<_> = answer.rate_limits.iter().map(|rate| (rate.scope(), rate.kind(), rate.limit, rate.remaining)).collect();
        assert!(rates.contains(&(BudgetScope::Key, RateLimitKind::Requests, 60, 58)), "{rates:?}");
        assert!(rates.contains(&(BudgetScope::Key, RateLimitKind::Parallel, 3, 2)), "{rates:?}");
        assert!(rates.contains(&(BudgetScope::User, RateLimitKind::Requests, 90, 88)), "{rates:?}");
        assert!(rates.iter().any(|(scope, kind, ..)| (*scope, *kind) == (BudgetScope::Team, RateLimitKind::Tokens)), "{rates:?}");
        // Whoever sees the key is told the same.
        for (who, reference) in [(&world.admin, secret.clone()), (&world.admin, key.key_hash.clone()), (&world.sidecar().await, secret.clone())] {
            assert_eq!(rows(&status(who, of(Subject::Key(reference))).await), rows(&answer));
        }
    }

    async fn a_spent_budget_still_shows(world: World) {
        let (secret, _) = world.key(pb::Key { max_budget: Some("0.1".into()), ..Default::default() }).await;
        let client = world.with_key(&secret);
        let id = reserve(&client, "a", "0.1").await;
        settle(&client, &id, 100_000).await;
        let answer = status(&client, pb::GetBudgetStatusRequest::default()).await;
        assert_eq!((answer.budgets[0].spend.as_str(), answer.budgets[0].remaining.as_deref()), ("0.25", Some("0")));
    }

    async fn windows_show_when_they_began_and_when_they_end(backend: Backend) {
        let world = World::builder(backend).at("2025-01-15T10:00:00Z").set("time_zone", "Europe/Berlin").start().await;
        let (secret, _) = world.key(pb::Key {
            max_budget: Some("1".into()), budget_duration: Some("1mo".into()), soft_budget: Some("0.5".into()), ..Default::default()
        }).await;
        let client = world.with_key(&secret);
        let window = || async {
            let budget = status(&client, pb::GetBudgetStatusRequest::default()).await.budgets.remove(0);
            [budget.window_start, budget.resets_at]
        };
        assert_eq!(window().await, [at("2025-01-15T10:00:00Z"), at("2025-01-31T23:00:00Z")], "the first begins with the key");
        world.hands().set("2025-01-31T23:00:00Z");
        assert_eq!(window().await, [at("2025-01-31T23:00:00Z"), at("2025-02-28T23:00:00Z")]);
        let budget = &status(&client, pb::GetBudgetStatusRequest::default()).await.budgets[0];
        assert_eq!((budget.budget_duration.as_deref(), budget.soft_budget.as_deref()), (Some("1mo"), Some("0.5")));
    }

    async fn users_and_teams_show_their_own(world: World) {
        world.user(pb::User { user_id: "alice".into(), max_budget: Some("5".into()), budget_duration: Some("30d".into()), ..Default::default() }).await;
        world.team(pb::Team { team_id: "red".into(), max_budget: Some("7".into()), ..Default::default() }).await;
        let (secret, _) = world.key(pb::Key { user_id: Some("alice".into()), ..Default::default() }).await;
        authorize(&world.with_key(&secret), ask("a", "2")).await;
        let user = status(&world.admin, of(Subject::UserId("alice".into()))).await;
        assert_eq!(rows(&user), [(BudgetScope::User, "alice", Some("5"), "0", "2", Some("3"))]);
        let team = status(&world.admin, of(Subject::TeamId("red".into()))).await;
        assert_eq!(rows(&team), [(BudgetScope::Team, "red", Some("7"), "0", "0", Some("7"))]);
    }

    async fn strangers_are_not_found_whether_they_exist_or_not(world: World) {
        let (_, stranger) = world.key(pb::Key::default()).await;
        world.team(pb::Team { team_id: "red".into(), ..Default::default() }).await;
        world.user(pb::User { user_id: "bob".into(), ..Default::default() }).await;
        let alice = world.person("alice", pb::Role::InternalUser).await;
        let nobody = "f".repeat(64);
        for (seen, unseen, reason) in [
            (Subject::Key(nobody), Subject::Key(stranger.key_hash), ErrorReason::KeyNotFound),
            (Subject::UserId("nobody".into()), Subject::UserId("bob".into()), ErrorReason::UserNotFound),
            (Subject::TeamId("none".into()), Subject::TeamId("red".into()), ErrorReason::TeamNotFound),
        ] {
            for subject in [seen, unseen] {
                alice.budgets().get_budget_status(of(subject)).await.refused(Code::NotFound, reason);
            }
        }
        status(&alice, of(Subject::UserId("alice".into()))).await;
        let request = pb::GetBudgetStatusRequest::default();
        world.admin.budgets().get_budget_status(request).await.refused(Code::InvalidArgument, ErrorReason::CallerHasNoKey);
    }
}
