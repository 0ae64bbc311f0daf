//! Tokens a day: of keys and of teams.

use bursar::pb;
use pb::{BudgetScope, DenyReason, RateLimitKind};

use super::rates::tokens;
use super::{authorize, denial, settle};
use crate::spend::{event, record};
use crate::support::world::World;
use crate::support::{Answer, Backend, Client, on_both};

/// A key of a team, each with so many tokens a day.
async fn caller(world: &World, of_key: i64, of_team: i64) -> String {
    world.team(pb::Team { team_id: "red".into(), tpd_limit: Some(of_team), ..Default::default() }).await;
    world.key(pb::Key { team_id: Some("red".into()), tpd_limit: Some(of_key), ..Default::default() }).await.0
}

/// What is left of the day, by scope.
async fn left(client: &Client) -> Vec<(BudgetScope, i64)> {
    let request = pb::GetBudgetStatusRequest::default();
    let limits = client.budgets().get_budget_status(request).await.answer().rate_limits;
    let of_days = limits.iter().filter(|limit| limit.kind() == RateLimitKind::TokensPerDay);
    of_days.map(|limit| (limit.scope(), limit.remaining)).collect()
}

on_both! {
    async fn they_are_set_aside_and_then_counted_as_used(backend: Backend) {
        let world = World::builder(backend).at("2025-01-01T23:00:00Z").start().await;
        let secret = caller(&world, 1_000, 10_000).await;
        let client = world.with_key(&secret);
        let first = authorize(&client, tokens("a", 300, 500)).await;
        assert_eq!(left(&client).await, [(BudgetScope::Key, 200), (BudgetScope::Team, 9_200)]);
        let denied = authorize(&client, tokens("b", 201, 0)).await;
        assert_eq!(denial(&denied), (DenyReason::RateLimited, BudgetScope::Key));
        assert_eq!((denied.rate_limits[0].kind(), denied.rate_limits[0].limit), (RateLimitKind::TokensPerDay, 1_000));
        assert_eq!(denied.retry_after.unwrap().seconds, 3_600);
        assert!(denied.message.contains("tokens a day"), "{}", denied.message);
        settle(&client, &first.reservation_id, 400).await;
        assert_eq!(left(&client).await, [(BudgetScope::Key, 600), (BudgetScope::Team, 9_600)]);
        let released = authorize(&client, tokens("c", 600, 0)).await;
        client.gateway().release(pb::ReleaseRequest { reservation_id: released.reservation_id }).await.answer();
        record(&world.sidecar().await, vec![event("d", &secret, 100)]).await;
        // Minutes end, and what expires is free again; the day goes on.
        authorize(&client, tokens("e", 500, 0)).await;
        world.hands().advance(1_200);
        assert_eq!(left(&client).await, [(BudgetScope::Key, 500), (BudgetScope::Team, 9_500)]);
        world.hands().advance(2_400);
        assert_eq!(left(&client).await, [(BudgetScope::Key, 1_000), (BudgetScope::Team, 10_000)]);
    }

    async fn a_restart_forgets_none(backend: Backend) {
        let world = World::builder(backend).at("2025-01-01T12:00:00Z").start().await;
        let secret = caller(&world, 10_000, 1_000).await;
        let client = world.with_key(&secret);
        let first = authorize(&client, tokens("a", 300, 0)).await;
        settle(&client, &first.reservation_id, 300).await;
        let world = World::builder(backend).at("2025-01-01T13:00:00Z").start_on(world.stop().await).await;
        let client = world.with_key(&secret);
        assert_eq!(denial(&authorize(&client, tokens("b", 701, 0)).await), (DenyReason::RateLimited, BudgetScope::Team));
        assert_eq!(authorize(&client, tokens("c", 700, 0)).await.decision(), pb::Decision::Allow);
    }

    async fn other_instances_see_them(backend: Backend) {
        let world = World::builder(backend).at("2025-01-01T12:00:00Z").start().await;
        let other = World::builder(backend).at("2025-01-01T12:00:00Z").start_on(std::sync::Arc::clone(&world.database)).await;
        let secret = caller(&world, 10_000, 1_000).await;
        let (here, there) = (world.with_key(&secret), other.with_key(&secret));
        assert_eq!(left(&there).await[1], (BudgetScope::Team, 1_000));
        let first = authorize(&here, tokens("a", 300, 0)).await;
        settle(&here, &first.reservation_id, 300).await;
        other.hands().advance(30);
        assert_eq!(left(&there).await[1], (BudgetScope::Team, 700));
    }

    async fn a_key_keeps_to_its_team_and_to_its_bound(backend: Backend) {
        let world = World::builder(backend).set("upperbound_key_generate_params", "{ tpd_limit = 500 }").start().await;
        world.team(pb::Team { team_id: "red".into(), tpd_limit: Some(300), ..Default::default() }).await;
        let request = pb::GenerateKeyRequest { key: Some(pb::Key { tpd_limit: Some(900), ..Default::default() }), ..Default::default() };
        let made = world.admin.keys().generate_key(request).await.answer();
        let (key, adjusted) = (made.key.unwrap(), &made.adjusted_fields);
        assert_eq!((key.tpd_limit, adjusted.len()), (Some(500), 1), "{adjusted:?}");
        let move_to = |tpd_limit| pb::UpdateKeyRequest {
            key: Some(pb::Key { key_hash: key.key_hash.clone(), team_id: Some("red".into()), tpd_limit, ..Default::default() }),
            ..Default::default()
        };
        let refused = world.admin.keys().update_key(move_to(None)).await.unwrap_err();
        assert!(refused.message().contains("tpd_limit 500 is larger than the team's, 300"), "{refused}");
        let moved = world.admin.keys().update_key(move_to(Some(200))).await.answer().key.unwrap();
        assert_eq!(moved.tpd_limit, Some(200));
        let negative = pb::GenerateKeyRequest { key: Some(pb::Key { tpd_limit: Some(-1), ..Default::default() }), ..Default::default() };
        assert_eq!(world.admin.keys().generate_key(negative).await.bad()[0].0, "key.tpd_limit");
    }

    async fn a_team_admin_lowers_and_does_not_raise_them(world: World) {
        let lead = pb::TeamMember { user_id: "lead".into(), role: pb::TeamRole::Admin.into(), ..Default::default() };
        let client = world.person("lead", pb::Role::InternalUser).await;
        world.team(pb::Team { team_id: "red".into(), tpd_limit: Some(300), members: vec![lead], ..Default::default() }).await;
        let update = |tpd_limit| pb::UpdateTeamRequest {
            team: Some(pb::Team { team_id: "red".into(), tpd_limit, ..Default::default() }),
            update_mask: Some(prost_types::FieldMask { paths: vec!["tpd_limit".into()] }),
            add_members_to_organization: false,
        };
        for raised in [Some(301), None] {
            let refused = client.teams().update_team(update(raised)).await.unwrap_err();
            assert!(refused.message().contains("tpd_limit"), "{refused}");
        }
        assert_eq!(client.teams().update_team(update(Some(299))).await.answer().team.unwrap().tpd_limit, Some(299));
        let cleared = world.admin.teams().update_team(update(None)).await.answer().team.unwrap();
        assert_eq!(cleared.tpd_limit, None);
    }
}
