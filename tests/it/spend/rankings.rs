//! Days that are ranked in advance say what they would without.

use bursar::pb;
use pb::{ReportBucket, SpendDimension};

use super::rebuild::done;
use super::reports::seven_weeks;
use super::{at, event, record};
use crate::support::world::World;
use crate::support::{Answer, Backend, on_both};

const DAY: &str = "2025-05-20";

async fn world(backend: Backend) -> World {
    let world = World::builder(backend).at("2025-06-25T12:00:00Z").set("max_event_age", "100d").start().await;
    seven_weeks(&world).await;
    merge(&world).await;
    world
}

async fn merge(world: &World) {
    while world.store().merge_deltas(1_000).await.unwrap() > 0 {}
}

/// Ranks every day that is due; returns how many were.
async fn rank(world: &World) -> usize {
    let mut days = 0;
    while world.store().rank_a_day(world.hands().now()).await.unwrap() {
        days += 1;
    }
    days
}

async fn report(world: &World, request: pb::GetSpendReportRequest) -> pb::GetSpendReportResponse {
    world.admin.spend().get_spend_report(request).await.answer()
}

fn by(group_by: SpendDimension, top: i32) -> pb::GetSpendReportRequest {
    pb::GetSpendReportRequest {
        start_date: "2025-05-01".into(),
        end_date: "2025-06-20".into(),
        group_by: group_by.into(),
        top,
        ..Default::default()
    }
}

/// Reports that read rankings, and some that must not.
async fn reports(world: &World) -> Vec<pb::GetSpendReportResponse> {
    let ranked = [SpendDimension::Customer, SpendDimension::Key, SpendDimension::User, SpendDimension::Tag];
    let mut found = Vec::new();
    for group_by in ranked {
        for top in [1, 2, 100] {
            found.push(report(world, by(group_by, top)).await);
        }
        found.push(
            report(world, pb::GetSpendReportRequest { time_zone: "Europe/Berlin".into(), ..by(group_by, 1) }).await,
        );
        found.push(report(world, pb::GetSpendReportRequest { team_id: "red".into(), ..by(group_by, 1) }).await);
        found.push(
            report(world, pb::GetSpendReportRequest { bucket: ReportBucket::Week.into(), ..by(group_by, 1) }).await,
        );
    }
    found
}

/// What the largest customer of [`DAY`] spent, and all of them.
async fn of_day(world: &World) -> (String, String) {
    let request =
        pb::GetSpendReportRequest { start_date: DAY.into(), end_date: DAY.into(), ..by(SpendDimension::Customer, 1) };
    let breakdown = report(world, request).await.periods[0].breakdown.clone().unwrap();
    (breakdown.slices[0].metrics.as_ref().unwrap().spend.clone(), breakdown.others.unwrap().spend)
}

/// Makes the ranking of [`DAY`] wrong, so that one sees where it is read.
async fn spoil(world: &World) {
    const SQL: &str = "UPDATE usage_rankings SET spent_nanos = 999000000000 \
                       WHERE bucket_at = 1747699200000000 AND dimension = 'customer_id' AND place = 1";
    assert_eq!(world.execute(SQL).await, 1);
    assert_eq!(of_day(world).await.0, "999");
}

on_both! {
    async fn days_that_were_ranked_say_what_they_said_before(backend: Backend) {
        let world = world(backend).await;
        let before = reports(&world).await;
        assert!(rank(&world).await > 40);
        assert_eq!(reports(&world).await, before);
        assert_eq!(rank(&world).await, 0, "none has changed");
    }

    async fn what_comes_late_makes_a_ranking_void(backend: Backend) {
        let world = world(backend).await;
        rank(&world).await;
        let (largest, others) = of_day(&world).await;
        spoil(&world).await;
        let (secret, _) = world.key(pb::Key::default()).await;
        let late = pb::UsageEvent { start_time: at(&format!("{DAY}T23:59:59Z")), cost: Some("7777".into()), customer_id: "late".into(), ..event("late", &secret, 1) };
        record(&world.admin, vec![late]).await;
        let sum = |left: &str, right: &str| {
            let usd = |text: &str| text.parse::<bursar::domain::money::Usd>().unwrap().nanos();
            usd(left) + usd(right)
        };
        // Before it is merged, when it is, and when the day is ranked again.
        for step in 0..3 {
            match step {
                1 => merge(&world).await,
                2 => assert_eq!(rank(&world).await, 1),
                _ => {}
            }
            let found = of_day(&world).await;
            assert_eq!((found.0.as_str(), sum(&found.1, "0")), ("7777", sum(&largest, &others)), "step {step}");
        }
    }

    async fn rollups_made_anew_are_ranked_anew(backend: Backend) {
        let world = world(backend).await;
        rank(&world).await;
        let before = of_day(&world).await;
        spoil(&world).await;
        let request = pb::RebuildRollupsRequest { start_date: DAY.into(), end_date: DAY.into(), ..Default::default() };
        let job = world.admin.spend().rebuild_rollups(request).await.answer().rebuild.unwrap();
        done(&world.admin, &job.job_id).await;
        assert_eq!(of_day(&world).await, before);
        rank(&world).await;
        assert_eq!(of_day(&world).await, before);
    }

    async fn a_day_is_ranked_when_it_is_over(backend: Backend) {
        let world = World::builder(backend).at("2025-06-25T12:00:00Z").start().await;
        let (secret, _) = world.key(pb::Key::default()).await;
        record(&world.admin, vec![event("today", &secret, 1)]).await;
        merge(&world).await;
        assert_eq!(rank(&world).await, 0);
        world.hands().advance(86_400);
        assert_eq!(rank(&world).await, 1);
    }
}
