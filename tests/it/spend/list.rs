//! `ListUsage` and `GetUsage`: filters, pages, and who sees what.

use bursar::pb;
use pb::ErrorReason;
use tonic::Code;

use super::{at, event, record};
use crate::support::world::World;
use crate::support::{Answer, Backend, Client, on_both};

async fn ids(client: &Client, request: pb::ListUsageRequest) -> Vec<String> {
    client.spend().list_usage(request).await.answer().events.into_iter().map(|event| event.request_id).collect()
}

fn all() -> pb::ListUsageRequest {
    pb::ListUsageRequest::default()
}

on_both! {
    async fn filters_are_combined_and_the_latest_come_first(backend: Backend) {
        let world = World::builder(backend).at("2025-06-10T00:00:00Z").start().await;
        world.user(pb::User { user_id: "alice".into(), ..Default::default() }).await;
        let members = vec![pb::TeamMember { user_id: "alice".into(), ..Default::default() }];
        world.team(pb::Team { team_id: "red".into(), members, ..Default::default() }).await;
        let (mine, mine_shown) = world.key(pb::Key { user_id: Some("alice".into()), team_id: Some("red".into()), ..Default::default() }).await;
        let (other, _) = world.key(pb::Key::default()).await;
        record(&world.admin, vec![
            pb::UsageEvent { start_time: at("2025-06-01T00:00:00Z"), tags: vec!["night".into()], ..event("one", &mine, 400) },
            pb::UsageEvent { start_time: at("2025-06-02T00:00:00Z"), customer_id: "c1".into(), session_id: "s1".into(), ..event("two", &mine, 4_000) },
            pb::UsageEvent { start_time: at("2025-06-03T00:00:00Z"), model_group: "fast".into(), ..event("three", &other, 40_000) },
            pb::UsageEvent { start_time: at("2025-06-04T00:00:00Z"), status: pb::UsageStatus::Failure.into(), cache_hit: true, ..event("four", &other, 0) },
            pb::UsageEvent { start_time: at("2025-06-05T00:00:00Z"), model: "nameless".into(), provider: "house".into(), call_type: "embedding".into(), ..event("five", &other, 5) },
        ]).await;
        for (request, found) in [
            (all(), vec!["five", "four", "three", "two", "one"]),
            (pb::ListUsageRequest { start_time: at("2025-06-02T00:00:00Z"), end_time: at("2025-06-04T00:00:00Z"), ..all() }, vec!["three", "two"]),
            (pb::ListUsageRequest { key: mine.clone(), ..all() }, vec!["two", "one"]),
            (pb::ListUsageRequest { key: mine_shown.key_hash.clone(), ..all() }, vec!["two", "one"]),
            (pb::ListUsageRequest { user_id: "alice".into(), ..all() }, vec!["two", "one"]),
            (pb::ListUsageRequest { team_id: "red".into(), tag: "night".into(), ..all() }, vec!["one"]),
            (pb::ListUsageRequest { customer_id: "c1".into(), ..all() }, vec!["two"]),
            (pb::ListUsageRequest { session_id: "s1".into(), ..all() }, vec!["two"]),
            (pb::ListUsageRequest { model: "fast".into(), ..all() }, vec!["three"]),
            (pb::ListUsageRequest { model: "gpt-4o".into(), ..all() }, vec!["four", "three", "two", "one"]),
            (pb::ListUsageRequest { request_id: "three".into(), ..all() }, vec!["three"]),
            (pb::ListUsageRequest { status: pb::UsageStatus::Failure.into(), ..all() }, vec!["four"]),
            (pb::ListUsageRequest { min_spend: Some("0.01".into()), max_spend: Some("0.01".into()), ..all() }, vec!["two"]),
            (pb::ListUsageRequest { provider: "house".into(), ..all() }, vec!["five"]),
            (pb::ListUsageRequest { model_group: "fast".into(), ..all() }, vec!["three"]),
            (pb::ListUsageRequest { model_group: "gpt-4o".into(), ..all() }, vec!["four", "two", "one"]),
            (pb::ListUsageRequest { call_type: "embedding".into(), ..all() }, vec!["five"]),
            (pb::ListUsageRequest { cache_hit: Some(true), ..all() }, vec!["four"]),
            (pb::ListUsageRequest { cache_hit: Some(false), ..all() }, vec!["five", "three", "two", "one"]),
            (pb::ListUsageRequest { cost_source: pb::CostSource::Unpriced.into(), ..all() }, vec!["five"]),
            (pb::ListUsageRequest { cost_source: pb::CostSource::CacheHit.into(), ..all() }, vec!["four"]),
            (pb::ListUsageRequest { cost_source: pb::CostSource::Adjustment.into(), ..all() }, vec![]),
            (pb::ListUsageRequest { customer_id: "nobody".into(), ..all() }, vec![]),
        ] {
            assert_eq!(ids(&world.admin, request.clone()).await, found, "{request:?}");
        }
    }

    async fn a_range_is_of_any_time_of_an_event(backend: Backend) {
        let world = World::builder(backend).at("2025-06-10T00:00:00Z").start().await;
        let (secret, _) = world.key(pb::Key::default()).await;
        let call = |id: &str, start: &str, end: &str| pb::UsageEvent { start_time: at(start), end_time: at(end), ..event(id, &secret, 1) };
        record(&world.admin, vec![call("long", "2025-06-01T00:00:00Z", "2025-06-02T10:00:00Z"), call("short", "2025-06-02T00:00:00Z", "2025-06-02T00:00:01Z")]).await;
        world.hands().set("2025-06-11T00:00:00Z");
        record(&world.admin, vec![call("late", "2025-06-01T12:00:00Z", "2025-06-01T12:00:01Z")]).await;
        for (field, from, until, found) in [
            (pb::UsageTimeField::Unspecified, "2025-06-02T00:00:00Z", "2025-06-03T00:00:00Z", vec!["short"]),
            (pb::UsageTimeField::Start, "2025-06-02T00:00:00Z", "2025-06-03T00:00:00Z", vec!["short"]),
            (pb::UsageTimeField::End, "2025-06-02T00:00:00Z", "2025-06-03T00:00:00Z", vec!["short", "long"]),
            (pb::UsageTimeField::End, "2025-06-02T00:00:01Z", "2025-06-02T10:00:00Z", vec!["short"]),
            (pb::UsageTimeField::Recorded, "2025-06-10T00:00:00Z", "2025-06-11T00:00:00Z", vec!["short", "long"]),
            (pb::UsageTimeField::Recorded, "2025-06-11T00:00:00Z", "2025-06-12T00:00:00Z", vec!["late"]),
        ] {
            let request = pb::ListUsageRequest { start_time: at(from), end_time: at(until), time_field: field.into(), ..all() };
            assert_eq!(ids(&world.admin, request.clone()).await, found, "{request:?}");
        }
        // Of what only its end is known, it began then.
        record(&world.admin, vec![pb::UsageEvent { end_time: at("2025-06-10T23:00:00Z"), ..event("ended", &secret, 1) }]).await;
        let ended = pb::ListUsageRequest { time_field: pb::UsageTimeField::End.into(), start_time: at("2025-06-10T00:00:00Z"), end_time: at("2025-06-11T00:00:00Z"), ..all() };
        assert_eq!(ids(&world.admin, ended).await, ["ended"]);
        let odd = pb::ListUsageRequest { time_field: 9, ..all() };
        assert_eq!(world.admin.spend().list_usage(odd).await.bad()[0].0, "time_field");
    }

    async fn pages_skip_and_repeat_nothing_at_equal_times(backend: Backend) {
        let world = World::builder(backend).at("2025-06-10T00:00:00Z").start().await;
        let (secret, _) = world.key(pb::Key::default()).await;
        record(&world.admin, (0..7).map(|number| event(&format!("e{number}"), &secret, 1)).collect()).await;
        let mut request = pb::ListUsageRequest { page_size: 3, include_total: true, ..all() };
        let mut found = Vec::new();
        loop {
            let page = world.admin.spend().list_usage(request.clone()).await.answer();
            assert_eq!(page.total_size, Some(7));
            found.extend(page.events.into_iter().map(|event| event.request_id));
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
        found.sort_unstable();
        assert_eq!(found, (0..7).map(|number| format!("e{number}")).collect::<Vec<_>>());
        let moved = pb::ListUsageRequest { model: "x".into(), ..request };
        world.admin.spend().list_usage(moved).await.refused(Code::InvalidArgument, ErrorReason::PageTokenInvalid);
    }

    async fn everybody_sees_its_own(world: World) {
        let (lead, alice) = crate::teams::red(&world, pb::Team::default()).await;
        let viewer = world.person("viewer", pb::Role::ProxyAdminViewer).await;
        let (personal, _) = world.key(pb::Key { user_id: Some("alice".into()), ..Default::default() }).await;
        let (in_team, _) = world.key(crate::keys::in_team("alice")).await;
        let (leads, _) = world.key(crate::keys::in_team("lead")).await;
        let (free, free_shown) = world.key(pb::Key::default()).await;
        record(&world.admin, vec![
            event("personal", &personal, 1), event("in-team", &in_team, 1), event("leads", &leads, 1), event("free", &free, 1),
        ]).await;
        let seen = |client: Client| async move {
            let mut seen = ids(&client, all()).await;
            seen.sort_unstable();
            seen
        };
        assert_eq!(seen(viewer.clone()).await, ["free", "in-team", "leads", "personal"]);
        assert_eq!(seen(alice.clone()).await, ["in-team", "personal"]);
        assert_eq!(seen(lead.clone()).await, ["in-team", "leads"]);
        assert_eq!(seen(world.with_key(&free)).await, ["free"]);
        // What one does not see is not found, and may not be asked about.
        let get = |id: &str| pb::GetUsageRequest { request_id: id.into() };
        assert_eq!(alice.spend().get_usage(get("personal")).await.answer().event.unwrap().request_id, "personal");
        for id in ["free", "leads", "never"] {
            alice.spend().get_usage(get(id)).await.refused(Code::NotFound, ErrorReason::UsageNotFound);
        }
        for (request, reason) in [
            (pb::ListUsageRequest { key: free_shown.key_hash, ..all() }, ErrorReason::NotYourKey),
            (pb::ListUsageRequest { key: "f".repeat(64), ..all() }, ErrorReason::NotYourKey),
            (pb::ListUsageRequest { user_id: "lead".into(), ..all() }, ErrorReason::NotYourUser),
            (pb::ListUsageRequest { team_id: "blue".into(), ..all() }, ErrorReason::NotYourTeam),
        ] {
            alice.spend().list_usage(request).await.refused(Code::PermissionDenied, reason);
        }
        assert_eq!(ids(&lead, pb::ListUsageRequest { team_id: "red".into(), user_id: "alice".into(), ..all() }).await, ["in-team"]);
    }
}
