//! `GetDailySpend`: days of any zone, from rollups, equal to the events.

use bursar::pb;
use pb::{ErrorReason, SpendDimension};
use tonic::Code;

use super::{at, event, record};
use crate::support::world::World;
use crate::support::{Answer, Backend, on_both};

fn range(start: &str, end: &str) -> pb::GetDailySpendRequest {
    pb::GetDailySpendRequest { start_date: start.into(), end_date: end.into(), ..Default::default() }
}

/// Date, spend and calls of each day.
fn days(answer: &pb::GetDailySpendResponse) -> Vec<(&str, &str, i64)> {
    let days = answer.days.iter().map(|day| (day.date.as_str(), day.metrics.as_ref().unwrap()));
    days.map(|(date, metrics)| (date, metrics.spend.as_str(), metrics.api_requests)).collect()
}

on_both! {
    async fn days_without_spend_are_there_as_zero(backend: Backend) {
        let world = World::builder(backend).at("2025-06-05T12:00:00Z").start().await;
        let (secret, _) = world.key(pb::Key::default()).await;
        record(&world.admin, vec![
            pb::UsageEvent { start_time: at("2025-06-01T00:00:00Z"), completion_tokens: 3, cache_read_tokens: 100, ..event("a", &secret, 400) },
            pb::UsageEvent { start_time: at("2025-06-03T23:59:59Z"), status: pb::UsageStatus::Failure.into(), ..event("b", &secret, 800) },
            pb::UsageEvent { start_time: at("2025-06-04T00:00:00Z"), ..event("c", &secret, 4_000) },
        ]).await;
        let answer = world.admin.spend().get_daily_spend(range("2025-06-01", "2025-06-03")).await.answer();
        assert_eq!(days(&answer), [("2025-06-01", "0.000905", 1), ("2025-06-02", "0", 0), ("2025-06-03", "0.002", 1)]);
        assert_eq!(answer.totals.unwrap(), pb::SpendMetrics {
            spend: "0.002905".into(), prompt_tokens: 1_200, completion_tokens: 3, total_tokens: 1_203, cache_read_tokens: 100,
            cache_write_tokens: 0, api_requests: 2, successful_requests: 1, failed_requests: 1,
        });
        // Without dates: the last thirty days, of which today is the last.
        let recent = world.admin.spend().get_daily_spend(pb::GetDailySpendRequest::default()).await.answer();
        assert_eq!((recent.days.len(), recent.days[29].date.as_str()), (30, "2025-06-05"));
        assert_eq!(recent.totals.unwrap().spend, "0.012905");
    }

    async fn a_day_follows_its_time_zone_to_the_quarter_hour(backend: Backend) {
        let world = World::builder(backend).at("2025-06-05T12:00:00Z").start().await;
        let (secret, _) = world.key(pb::Key::default()).await;
        // Midnight of 2 June in Kathmandu (UTC+5:45) is 18:15 UTC: inside a half-hour.
        record(&world.admin, vec![
            pb::UsageEvent { start_time: at("2025-06-01T18:14:59Z"), ..event("before", &secret, 400) },
            pb::UsageEvent { start_time: at("2025-06-01T18:15:00Z"), ..event("after", &secret, 4_000) },
        ]).await;
        let in_zone = |zone: &str| pb::GetDailySpendRequest { time_zone: zone.into(), ..range("2025-06-01", "2025-06-02") };
        let kathmandu = world.admin.spend().get_daily_spend(in_zone("Asia/Kathmandu")).await.answer();
        assert_eq!(days(&kathmandu), [("2025-06-01", "0.001", 1), ("2025-06-02", "0.01", 1)]);
        let utc = world.admin.spend().get_daily_spend(in_zone("")).await.answer();
        assert_eq!(days(&utc), [("2025-06-01", "0.011", 2), ("2025-06-02", "0", 0)]);
        let breakdowns = vec![SpendDimension::Model.into()];
        let split = world.admin.spend().get_daily_spend(pb::GetDailySpendRequest { breakdowns, ..in_zone("Asia/Kathmandu") }).await.answer();
        let slice = &split.days[1].breakdowns[0].slices[0];
        assert_eq!((slice.id.as_str(), slice.metrics.as_ref().unwrap().spend.as_str()), ("gpt-4o", "0.01"));
    }

    async fn filters_and_breakdowns_add_up_to_the_whole(backend: Backend) {
        let world = World::builder(backend).at("2025-06-05T12:00:00Z").start().await;
        world.user(pb::User { user_id: "alice".into(), ..Default::default() }).await;
        let members = vec![pb::TeamMember { user_id: "alice".into(), ..Default::default() }];
        world.team(pb::Team { team_id: "red".into(), members, ..Default::default() }).await;
        let (teams, teams_shown) = world.key(crate::keys::in_team("alice")).await;
        let (free, _) = world.key(pb::Key::default()).await;
        record(&world.admin, vec![
            event("a", &teams, 400), event("b", &free, 800), event("c", &teams, 4_000),
            pb::UsageEvent { model: "claude-sonnet-4-5".into(), cost: Some("0.5".into()), ..event("d", &teams, 1) },
        ]).await;
        let every = [SpendDimension::Key, SpendDimension::User, SpendDimension::Team, SpendDimension::Model, SpendDimension::Provider];
        let today = || pb::GetDailySpendRequest { breakdowns: every.iter().map(|one| (*one).into()).collect(), ..range("2025-06-05", "2025-06-05") };
        let answer = world.admin.spend().get_daily_spend(today()).await.answer();
        let day = &answer.days[0];
        assert_eq!(day.metrics.as_ref().unwrap().spend, "0.513");
        for breakdown in &day.breakdowns {
            let parts = breakdown.slices.iter().map(|slice| slice.metrics.as_ref().unwrap());
            let sum: rust_decimal::Decimal = parts.map(|metrics| metrics.spend.parse::<rust_decimal::Decimal>().unwrap()).sum();
            assert_eq!(sum.normalize().to_string(), "0.513", "{breakdown:?}");
        }
        let teams_of_day: Vec<(&str, &str)> = day.breakdowns[2].slices.iter().map(|slice| (slice.id.as_str(), slice.metrics.as_ref().unwrap().spend.as_str())).collect();
        assert_eq!(teams_of_day, [("red", "0.511"), ("", "0.002")]);
        for (request, spend) in [
            (pb::GetDailySpendRequest { key: teams_shown.key_hash.clone(), ..today() }, "0.511"),
            (pb::GetDailySpendRequest { user_id: "alice".into(), model: "gpt-4o".into(), ..today() }, "0.011"),
            (pb::GetDailySpendRequest { team_id: "red".into(), provider: "anthropic".into(), ..today() }, "0.5"),
            (pb::GetDailySpendRequest { provider: "nobody".into(), ..today() }, "0"),
        ] {
            let found = world.admin.spend().get_daily_spend(request.clone()).await.answer();
            assert_eq!(found.totals.unwrap().spend, spend, "{request:?}");
        }
    }

    async fn a_day_shows_as_many_parts_as_are_asked_for(backend: Backend) {
        let world = World::builder(backend).at("2025-06-03T00:00:00Z").start().await;
        let (secret, _) = world.key(pb::Key::default()).await;
        let of_model = |number: i64| pb::UsageEvent {
            model: format!("m-{number:02}"), cost: Some(format!("0.{number:02}")), start_time: at("2025-06-01T12:00:00Z"), ..event(&format!("e{number}"), &secret, 1)
        };
        record(&world.admin, (1..=25).map(of_model).collect()).await;
        for (top, shown, others) in [(None, 20, Some("0.15")), (Some(2), 2, Some("2.76")), (Some(25), 25, None)] {
            let by_model = vec![pb::SpendDimension::Model.into()];
            let request = pb::GetDailySpendRequest { breakdowns: by_model, top, ..range("2025-06-01", "2025-06-02") };
            let days = world.admin.spend().get_daily_spend(request).await.answer().days;
            let breakdown = &days[0].breakdowns[0];
            assert_eq!((breakdown.slices.len(), breakdown.distinct, breakdown.slices[0].id.as_str()), (shown, 25, "m-25"));
            assert_eq!(breakdown.others.as_ref().map(|others| others.spend.as_str()), others);
            assert_eq!((days[1].breakdowns[0].distinct, &days[1].breakdowns[0].others), (0, &None));
        }
        for top in [0, -1, 101] {
            let request = pb::GetDailySpendRequest { top: Some(top), ..range("2025-06-01", "2025-06-02") };
            assert_eq!(world.admin.spend().get_daily_spend(request).await.bad()[0].0, "top");
        }
    }

    async fn everybody_sums_its_own(backend: Backend) {
        let world = World::builder(backend).at("2025-06-05T12:00:00Z").start().await;
        let (lead, alice) = crate::teams::red(&world, pb::Team::default()).await;
        let (personal, _) = world.key(pb::Key { user_id: Some("alice".into()), ..Default::default() }).await;
        let (in_team, _) = world.key(crate::keys::in_team("alice")).await;
        let (leads, _) = world.key(crate::keys::in_team("lead")).await;
        let (free, _) = world.key(pb::Key::default()).await;
        record(&world.admin, vec![
            event("a", &personal, 400), event("b", &in_team, 800), event("c", &leads, 1_600), event("d", &free, 3_200),
        ]).await;
        let today = || range("2025-06-05", "2025-06-05");
        for (client, spend) in [
            (&world.admin, "0.015"), (&alice, "0.003"), (&lead, "0.006"), (&world.with_key(&free), "0.008"),
        ] {
            assert_eq!(client.spend().get_daily_spend(today()).await.answer().totals.unwrap().spend, spend);
        }
        let request = pb::GetDailySpendRequest { user_id: "lead".into(), ..today() };
        alice.spend().get_daily_spend(request).await.refused(Code::PermissionDenied, ErrorReason::NotYourUser);
    }

    async fn impossible_ranges_are_refused(world: World) {
        for (request, field) in [
            (range("2025-06-31", "2025-07-01"), "start_date"),
            (range("2025-06-01", "tomorrow"), "end_date"),
            (range("2025-06-02", "2025-06-01"), "end_date"),
            (range("2020-01-01", "2025-06-01"), "end_date"),
            (range("2025-06-01", ""), "end_date"),
            (pb::GetDailySpendRequest { time_zone: "Mars/Olympus".into(), ..range("2025-06-01", "2025-06-02") }, "time_zone"),
            (pb::GetDailySpendRequest { breakdowns: vec![0], ..range("2025-06-01", "2025-06-02") }, "breakdowns[0]"),
            (pb::GetDailySpendRequest { key: "nonsense".into(), ..range("2025-06-01", "2025-06-02") }, "key"),
        ] {
            assert_eq!(world.admin.spend().get_daily_spend(request.clone()).await.bad()[0].0, field, "{request:?}");
        }
    }
}
