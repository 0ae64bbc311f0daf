//! What was spent in windows that are over.

use bursar::pb;
use pb::{BudgetScope, ErrorReason};
use tonic::Code;

use crate::gateway::{reserve, settle};
use crate::spend::at;
use crate::support::world::World;
use crate::support::{Answer, Backend, on_both};

fn of(scope: BudgetScope, id: &str) -> pb::ListBudgetWindowsRequest {
    pb::ListBudgetWindowsRequest { scope: scope.into(), id: id.into(), ..Default::default() }
}

/// Start, end and spend of an account's windows.
async fn windows(
    world: &World,
    request: pb::ListBudgetWindowsRequest,
) -> Vec<(Option<prost_types::Timestamp>, Option<prost_types::Timestamp>, String)> {
    let found = world.admin.budgets().list_budget_windows(request).await.answer().windows;
    found.into_iter().map(|window| (window.window_start, window.window_end, window.spend)).collect()
}

on_both! {
    async fn windows_that_are_over_stay_readable(backend: Backend) {
        let world = World::builder(backend).at("2025-03-10T12:00:00Z").start().await;
        world.user(pb::User { user_id: "a/b".into(), ..Default::default() }).await;
        let members = vec![pb::TeamMember { user_id: "a/b".into(), max_budget_in_team: Some("5".into()), budget_duration: Some("1d".into()), ..Default::default() }];
        world.team(pb::Team { team_id: "x/y".into(), max_budget: Some("9".into()), budget_duration: Some("1d".into()), members, ..Default::default() }).await;
        let (secret, key) = world.key(pb::Key { team_id: Some("x/y".into()), user_id: Some("a/b".into()), ..Default::default() }).await;
        let client = world.with_key(&secret);
        for (day, tokens) in [("2025-03-10T13:00:00Z", 100_000), ("2025-03-12T00:00:00Z", 200_000), ("2025-03-13T23:59:59Z", 400_000)] {
            world.hands().set(day);
            let id = reserve(&client, day, "1").await;
            settle(&client, &id, tokens).await;
        }
        let days = [
            (at("2025-03-13T00:00:00Z"), at("2025-03-14T00:00:00Z"), "1".to_owned()),
            (at("2025-03-12T00:00:00Z"), at("2025-03-13T00:00:00Z"), "0.5".to_owned()),
            (at("2025-03-10T12:00:00Z"), at("2025-03-11T00:00:00Z"), "0.25".to_owned()),
            (None, None, "1.75".to_owned()),
        ];
        assert_eq!(windows(&world, of(BudgetScope::Team, "x/y")).await, days);
        assert_eq!(windows(&world, of(BudgetScope::TeamMember, "x/y/a/b")).await, days);
        assert_eq!(windows(&world, of(BudgetScope::Key, &key.key_id)).await, [(None, None, "1.75".to_owned())]);
        assert_eq!(windows(&world, of(BudgetScope::User, "a/b")).await, [], "its keys in teams are not personal");
        // Page by page, and when the team is gone.
        world.admin.teams().delete_teams(pb::DeleteTeamsRequest { team_ids: vec!["x/y".into()], ..Default::default() }).await.answer();
        let mut request = pb::ListBudgetWindowsRequest { page_size: 1, include_total: true, ..of(BudgetScope::Team, "x/y") };
        for expected in &days {
            let page = world.admin.budgets().list_budget_windows(request.clone()).await.answer();
            assert_eq!((page.total_size, &page.windows[0].spend), (Some(4), &expected.2));
            request.page_token = page.next_page_token;
        }
        assert_eq!(request.page_token, "");
    }

    async fn fiscal_years_begin_when_the_setting_says(backend: Backend) {
        let world = World::builder(backend).at("2025-03-10T12:00:00Z").set("fiscal_year_start", "04-01").start().await;
        world.team(pb::Team { team_id: "red".into(), budget_duration: Some("1y".into()), max_budget: Some("1".into()), ..Default::default() }).await;
        let team = world.admin.teams().get_team(pb::GetTeamRequest { team_id: "red".into(), ..Default::default() }).await.answer().team.unwrap();
        assert_eq!(team.budget_resets_at, at("2025-04-01T00:00:00Z"));
    }

    async fn accounts_are_named_by_kind_and_id(world: World) {
        for bad in [of(BudgetScope::Unspecified, "x"), of(BudgetScope::Team, ""), pb::ListBudgetWindowsRequest { scope: 99, ..of(BudgetScope::Team, "x") }] {
            world.admin.budgets().list_budget_windows(bad).await.refused(Code::InvalidArgument, ErrorReason::FieldInvalid);
        }
        assert_eq!(windows(&world, of(BudgetScope::TeamMember, "no-pair")).await, []);
        assert_eq!(windows(&world, of(BudgetScope::Global, "")).await, []);
    }
}
