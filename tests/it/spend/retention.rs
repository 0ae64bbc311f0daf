//! Retention: usage events go, and what they add up to stays.

use std::sync::Arc;
use std::time::Duration;

use bursar::pb;
use pb::ErrorReason;
use tonic::Code;

use super::{at, event, record};
use crate::support::world::{MASTER, World, parse_instant};
use crate::support::{Answer, Backend, on_both};

const NOW: &str = "2025-08-01T12:00:00Z";

/// Three events of January, one of March and one of July.
async fn furnish(world: &World) -> (String, pb::Key) {
    world
        .team(pb::Team {
            team_id: "red".into(),
            max_budget: Some("5".into()),
            budget_duration: Some("30d".into()),
            ..Default::default()
        })
        .await;
    let (secret, key) =
        world.key(pb::Key { team_id: Some("red".into()), max_budget: Some("1".into()), ..Default::default() }).await;
    let days = [
        "2025-01-05T10:00:00Z",
        "2025-01-05T10:00:00Z",
        "2025-01-20T23:59:59Z",
        "2025-03-01T00:00:00Z",
        "2025-07-30T08:00:00Z",
    ];
    let events = days.iter().enumerate().map(|(number, day)| pb::UsageEvent {
        start_time: at(day),
        customer_id: "acme".into(),
        tags: (0..number).map(|tag| format!("tag-{tag}")).collect(),
        status: if number == 1 { pb::UsageStatus::Failure.into() } else { 0 },
        error_code: if number == 1 { "429".into() } else { String::new() },
        ..event(&format!("event-{number}"), &secret, 400)
    });
    record(&world.admin, events.collect()).await;
    (secret, key)
}

/// Lets everything go that is older than this.
async fn close(world: &World, horizon: &str) {
    while world.store().close_events_before(parse_instant(horizon), parse_instant(NOW)).await.unwrap() {}
}

async fn listed(world: &World) -> Vec<String> {
    let events = world.admin.spend().list_usage(pb::ListUsageRequest::default()).await.answer().events;
    events.into_iter().map(|event| event.request_id).collect()
}

/// What reports, counters and lists of names say.
async fn reports(world: &World, key: &pb::Key) -> String {
    let spend = world.admin.spend();
    let (start_date, end_date) = ("2025-01-01".to_owned(), "2025-08-01".to_owned());
    let daily = pb::GetDailySpendRequest {
        start_date: start_date.clone(),
        end_date: end_date.clone(),
        breakdowns: vec![pb::SpendDimension::Key.into(), pb::SpendDimension::Tag.into()],
        ..Default::default()
    };
    let days = spend.clone().get_daily_spend(daily).await.answer();
    let customers = spend.clone().list_customer_spend(pb::ListCustomerSpendRequest::default()).await.answer();
    let errors = spend
        .clone()
        .get_error_activity(pb::GetErrorActivityRequest { start_date, end_date, ..Default::default() })
        .await
        .answer();
    let names = spend.clone().list_tag_names(pb::ListTagNamesRequest::default()).await.answer();
    let shown = world.admin.keys().get_key(pb::GetKeyRequest { key: key.key_hash.clone() }).await.answer().key.unwrap();
    let team = crate::teams::team(world, "red").await;
    format!("{days:?} {customers:?} {errors:?} {names:?} {:?} {:?}", shown.spend, team.spend)
}

async fn is_clean(world: &World) -> bool {
    world.store().verify().await.unwrap().discrepancies.is_empty()
}

on_both! {
    async fn what_events_add_up_to_stays_when_they_go(backend: Backend) {
        let world = World::builder(backend).at(NOW).start().await;
        let (secret, key) = furnish(&world).await;
        while world.store().merge_deltas(1_000).await.unwrap() > 0 {}
        let before = reports(&world, &key).await;
        close(&world, "2025-03-01T00:00:00Z").await;
        assert_eq!(listed(&world).await, ["event-4", "event-3"]);
        assert_eq!(reports(&world, &key).await, before);
        assert!(is_clean(&world).await);
        let gone = pb::GetUsageRequest { request_id: "event-0".into() };
        assert_eq!(world.admin.spend().get_usage(gone).await.unwrap_err().code(), Code::NotFound);
        let kept = pb::GetUsageRequest { request_id: "event-3".into() };
        assert_eq!(world.admin.spend().get_usage(kept).await.answer().event.unwrap().tags.len(), 3);
        // Twice is as once, and what is recorded later for a closed day counts.
        close(&world, "2025-03-01T00:00:00Z").await;
        record(&world.admin, vec![pb::UsageEvent { start_time: at("2025-01-05T11:00:00Z"), ..event("late", &secret, 400) }]).await;
        while world.store().merge_deltas(1_000).await.unwrap() > 0 {}
        close(&world, "2025-03-01T00:00:00Z").await;
        assert_eq!(listed(&world).await, ["event-4", "event-3"]);
        let total = world.admin.spend().get_total_spend(pb::GetTotalSpendRequest::default()).await.answer();
        assert_eq!((total.spend.as_str(), total.metrics.unwrap().api_requests), ("0.006", 6));
        assert!(is_clean(&world).await);
    }

    async fn a_rebuild_leaves_alone_what_it_can_not_know(backend: Backend) {
        let world = World::builder(backend).at(NOW).start().await;
        let (_, key) = furnish(&world).await;
        while world.store().merge_deltas(1_000).await.unwrap() > 0 {}
        let before = reports(&world, &key).await;
        close(&world, "2025-03-01T00:00:00Z").await;
        let request = pb::RebuildRollupsRequest { start_date: "2025-01-01".into(), ..Default::default() };
        let job = world.admin.spend().rebuild_rollups(request).await.answer().rebuild.unwrap();
        let found = crate::spend::rebuild::done(&world.admin, &job.job_id).await;
        assert_eq!(found.rows_repaired, 0);
        assert_eq!(reports(&world, &key).await, before);
    }

    async fn a_report_that_needs_events_says_so(backend: Backend) {
        let world = World::builder(backend).at(NOW).start().await;
        furnish(&world).await;
        let ask = |start: &str, time_zone: &str, customer_id: &str, model: &str| {
            let request = pb::GetDailySpendRequest {
                start_date: start.into(), end_date: "2025-08-01".into(), time_zone: time_zone.into(), customer_id: customer_id.into(), model: model.into(), ..Default::default()
            };
            let client = world.admin.clone();
            async move { client.spend().get_daily_spend(request).await }
        };
        let (nepal, before) = ("Asia/Kathmandu", "2025-01-01");
        assert_eq!(ask(before, nepal, "acme", "gpt-4o").await.answer().totals.unwrap().api_requests, 5);
        close(&world, "2025-03-01T00:00:00Z").await;
        ask(before, nepal, "", "").await.refused(Code::FailedPrecondition, ErrorReason::TimeZoneNeedsLogs);
        let status = ask(before, "", "acme", "gpt-4o").await.refused(Code::FailedPrecondition, ErrorReason::ReportNeedsLogs);
        assert!(status.message().contains("2025-01-24T00:00:00Z"), "{}", status.message());
        assert_eq!(ask(before, "Europe/Berlin", "", "gpt-4o").await.answer().totals.unwrap().api_requests, 5);
        assert_eq!(ask("2025-03-02", nepal, "acme", "gpt-4o").await.answer().totals.unwrap().api_requests, 1);
    }

    async fn the_setting_lets_events_go_and_nothing_else_counts_twice(backend: Backend) {
        let world = World::builder(backend).at(NOW).start().await;
        let (secret, _) = furnish(&world).await;
        let database = world.stop().await;
        let world = World::builder(backend).at(NOW).set("usage_retention", "100d").start_on(Arc::clone(&database)).await;
        for _ in 0..200 {
            if listed(&world).await.len() == 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(listed(&world).await, ["event-4"]);
        // What is gone is too old to be told again by a gateway.
        let again = pb::UsageEvent { start_time: at("2025-01-05T10:00:00Z"), ..event("event-0", &secret, 400) };
        let answer = record(&world.sidecar().await, vec![again]).await;
        assert_eq!(answer.results[0].status(), pb::UsageResult::Rejected);
        if backend == Backend::Postgres {
            let partitions = "SELECT 1 FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhparent WHERE c.relname = 'usage_events'";
            for _ in 0..200 {
                if world.execute(partitions).await == 1 {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            assert_eq!(world.execute(partitions).await, 1, "that of July");
        }
        assert!(is_clean(&world).await);
    }
}

#[test]
fn events_are_kept_for_as_long_as_they_may_be_told() {
    let flags = |kept: &str| {
        vec![("usage_retention".to_owned(), kept.to_owned()), ("master_key".to_owned(), MASTER.to_owned())]
    };
    let rules = |kept: &str| bursar::config::load_from(&flags(kept), None, &[]).unwrap().gate_rules();
    assert!(rules("34d").unwrap_err().to_string().contains("usage_retention must not be shorter than max_event_age"));
    assert!(rules("35d").is_ok());
}
