//! `RebuildRollups`: what reports read, made anew from the events.

use std::time::Duration;

use bursar::pb;
use pb::ErrorReason;
use tokio::task::JoinSet;
use tonic::Code;

use super::{at, event, record};
use crate::support::world::World;
use crate::support::{Answer, Backend, Client, on_both};

async fn start(world: &World, dates: (&str, &str)) -> pb::RollupRebuild {
    let request =
        pb::RebuildRollupsRequest { start_date: dates.0.into(), end_date: dates.1.into(), ..Default::default() };
    world.admin.spend().rebuild_rollups(request).await.answer().rebuild.unwrap()
}

/// Waits until a job is done.
pub async fn done(client: &Client, job_id: &str) -> pb::RollupRebuild {
    for _ in 0..400 {
        let request = pb::RebuildRollupsRequest { job_id: job_id.into(), ..Default::default() };
        let found = client.spend().rebuild_rollups(request).await.answer().rebuild.unwrap();
        if found.done {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the job is never done");
}

/// Usage of three months, with tags, customers and failures.
async fn furnish(world: &World) -> String {
    let (secret, _) = world.key(pb::Key::default()).await;
    let days = ["2025-03-01T10:00:00Z", "2025-03-17T23:59:59Z", "2025-04-01T00:00:00Z", "2025-05-30T12:15:00Z"];
    let events = (0..200).map(|number: i64| pb::UsageEvent {
        start_time: at(days[usize::try_from(number % 4).unwrap()]),
        customer_id: format!("customer-{}", number % 7),
        tags: (0..number % 3).map(|tag| format!("tag-{tag}")).collect(),
        status: if number % 10 == 0 { pb::UsageStatus::Failure.into() } else { 0 },
        error_code: if number % 10 == 0 { "429".into() } else { String::new() },
        model_group: format!("group-{}", number % 5),
        ..event(&number.to_string(), &secret, 400 + number)
    });
    record(&world.admin, events.collect()).await;
    while world.store().merge_deltas(1_000).await.unwrap() > 0 {}
    secret
}

async fn is_clean(world: &World) -> bool {
    world.store().verify().await.unwrap().discrepancies.is_empty()
}

on_both! {
    async fn rollups_that_are_right_stay_as_they_are(world: World) {
        furnish(&world).await;
        let job = start(&world, ("", "")).await;
        assert_eq!(job.start_date, "2025-03-01");
        let found = done(&world.admin, &job.job_id).await;
        assert_eq!((found.rows_repaired, found.next_date.as_str()), (0, ""));
        assert!(found.rows_compared > 200, "{found:?}");
        assert!(is_clean(&world).await);
    }

    async fn rollups_that_are_wrong_become_right(world: World) {
        furnish(&world).await;
        let total = || async { world.admin.spend().get_total_spend(pb::GetTotalSpendRequest::default()).await.answer().spend };
        let before = total().await;
        world.execute("UPDATE usage_rollups SET spent_nanos = spent_nanos + 5 WHERE cut = 'team' AND grain = 'month'").await;
        world.execute("DELETE FROM usage_rollups WHERE cut = 'key' AND grain = 'day' AND bucket_at = (SELECT MIN(bucket_at) FROM usage_rollups WHERE cut = 'key' AND grain = 'day')").await;
        world.execute("INSERT INTO usage_rollups SELECT 'tag', 'day', bucket_at, 'stray', key_id, user_id, team_id, organization_id, customer_id, 'stray', model, model_group, provider, deployment, error_code, 1, 1, 1, 1, 1, 1, 1, 0 FROM usage_rollups WHERE cut = 'tag' AND grain = 'day' LIMIT 1").await;
        assert!(!is_clean(&world).await);
        assert_ne!(total().await, before);
        let found = done(&world.admin, &start(&world, ("", "")).await.job_id).await;
        assert!(found.rows_repaired >= 5, "three months, a day and a stray row: {found:?}");
        assert!(is_clean(&world).await);
        assert_eq!(total().await, before);
        let again = done(&world.admin, &start(&world, ("", "")).await.job_id).await;
        assert_eq!((again.rows_repaired, again.rows_compared), (0, found.rows_compared - 1), "the stray row is gone");
    }

    async fn usage_that_is_recorded_meanwhile_counts_once(world: World) {
        let secret = furnish(&world).await;
        world.execute("DELETE FROM usage_rollups WHERE cut <> 'model'").await;
        let job = start(&world, ("2025-03-01", "2025-05-30")).await;
        let mut senders = JoinSet::new();
        for sender in 0..8 {
            let (client, secret) = (world.admin.clone(), secret.clone());
            senders.spawn(async move {
                for number in 0..20 {
                    let day = ["2025-03-01T11:00:00Z", "2025-03-17T01:00:00Z", "2025-05-30T12:15:00Z"][number % 3];
                    let events = (0..10).map(|index| pb::UsageEvent {
                        start_time: at(day), tags: vec!["late".into()], ..event(&format!("{sender}-{number}-{index}"), &secret, 400)
                    });
                    record(&client, events.collect()).await;
                }
            });
        }
        senders.join_all().await;
        let found = done(&world.admin, &job.job_id).await;
        assert!(found.rows_repaired > 100, "{found:?}");
        while world.store().merge_deltas(1_000).await.unwrap() > 0 {}
        assert!(is_clean(&world).await);
        let request = pb::GetDailySpendRequest { start_date: "2025-03-01".into(), end_date: "2025-05-31".into(), tag: "late".into(), ..Default::default() };
        let late = world.admin.spend().get_daily_spend(request).await.answer().totals.unwrap();
        assert_eq!((late.api_requests, late.spend.as_str()), (1_600, "1.6"));
    }

    async fn a_job_goes_on_after_its_server_died(backend: Backend) {
        let world = World::builder(backend).at("2025-06-01T12:00:00Z").start().await;
        let secret = furnish(&world).await;
        world.execute("UPDATE usage_rollups SET api_requests = 0").await;
        // Somebody took the job, did a day, and is gone.
        world.execute("INSERT INTO rollup_rebuilds VALUES ('left', 1740787200000000, 1748649600000000, 1740787200000000, false, 1, 1748779500000000, 0, 0, 0, 0)").await;
        // What is recorded for its day waits, and counts.
        record(&world.admin, vec![pb::UsageEvent { start_time: at("2025-03-01T10:00:00Z"), ..event("late", &secret, 400) }]).await;
        assert_eq!(world.store().merge_deltas(1_000).await.unwrap(), 0);
        world.hands().advance(600);
        let found = done(&world.admin, "left").await;
        assert!(found.rows_repaired > 100, "{found:?}");
        while world.store().merge_deltas(1_000).await.unwrap() > 0 {}
        assert!(is_clean(&world).await);
    }

    async fn bad_requests_are_told(world: World) {
        let ask = |start_date: &str, end_date: &str, job_id: &str| {
            let request = pb::RebuildRollupsRequest { start_date: start_date.into(), end_date: end_date.into(), job_id: job_id.into() };
            let client = world.admin.clone();
            async move { client.spend().rebuild_rollups(request).await }
        };
        for (dates, field) in [(("2025-1-1", ""), "start_date"), (("", "x"), "end_date"), (("2025-02-01", "2025-01-01"), "end_date")] {
            assert_eq!(ask(dates.0, dates.1, "").await.bad()[0].0, field);
        }
        assert_eq!(ask("2025-01-01", "", "x").await.bad()[0].0, "job_id");
        ask("", "", "nobody").await.refused(Code::NotFound, ErrorReason::JobNotFound);
        let nothing = ask("2025-01-01", "2025-01-02", "").await.answer().rebuild.unwrap();
        let found = done(&world.admin, &nothing.job_id).await;
        assert_eq!((found.rows_compared, found.start_date.as_str(), found.end_date.as_str()), (0, "2025-01-01", "2025-01-02"));
    }
}
