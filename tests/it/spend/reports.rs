//! Every view of the same calls adds up to them: by whatever they are split,
//! filtered and cut into days, merged into rollups or not.

use std::collections::{BTreeMap, BTreeSet};

use bursar::domain::clock::Timestamp;
use bursar::pb;
use chrono::{Datelike, Days, NaiveDate};
use pb::{ErrorReason, ReportBucket, SpendDimension};
use tonic::Code;

use super::{at, event, record};
use crate::support::world::{World, parse_instant};
use crate::support::{Answer, Backend, Dice, on_both};

/// A call as the test remembers it.
pub struct Call {
    pub at: Timestamp,
    pub nanos: i64,
    pub failed: bool,
    pub error_code: &'static str,
    pub deployment: &'static str,
    /// By dimension: its values, of which tags may be several.
    pub places: BTreeMap<SpendDimension, Vec<String>>,
}

fn usd(nanos: i64) -> String {
    bursar::domain::money::Usd::from_nanos(nanos).to_string()
}

/// Records calls of four keys over seven weeks, and remembers them.
pub async fn seven_weeks(world: &World) -> Vec<Call> {
    let mut keys = Vec::new();
    for team in ["red", "blue"] {
        world.team(pb::Team { team_id: team.into(), ..Default::default() }).await;
        let (secret, key) = world.key(pb::Key { team_id: Some(team.into()), ..Default::default() }).await;
        keys.push((secret, key.key_id, String::new(), team.to_owned()));
    }
    world.user(pb::User { user_id: "alice".into(), ..Default::default() }).await;
    let (secret, key) = world.key(pb::Key { user_id: Some("alice".into()), ..Default::default() }).await;
    keys.push((secret, key.key_id, "alice".to_owned(), String::new()));
    let (secret, key) = world.key(pb::Key::default()).await;
    keys.push((secret, key.key_id, String::new(), String::new()));

    let mut dice = Dice(7);
    let (mut calls, mut events) = (Vec::new(), Vec::new());
    let begin = parse_instant("2025-05-01T00:00:00Z").micros();
    for number in 0..600 {
        let (secret, key_id, user, team) = &keys[dice.roll(4)];
        // Quarters of an hour and the microseconds around them, where borders are.
        let quarter = i64::try_from(dice.roll(49 * 96)).unwrap() * 900_000_000;
        let at = Timestamp::from_micros(begin + quarter + [0, 1, -1, 450_000_000][dice.roll(4)]);
        let nanos = i64::try_from(dice.roll(1_000_000_000)).unwrap();
        let failed = dice.roll(5) == 0;
        let [model, group, provider] =
            [["m-1", "small", "p"], ["m-2", "large", "p"], ["m-3", "large", "q"]][dice.roll(3)];
        let customer = ["", "c1", "c2", "c3"][dice.roll(4)];
        let error_code = if failed { ["429", "500"][dice.roll(2)] } else { "" };
        let deployment = ["east", "west"][dice.roll(2)];
        let tags: &[&str] = [&[][..], &["x"], &["y", "x"], &["z", "z"]][dice.roll(4)];
        events.push(pb::UsageEvent {
            model: model.into(),
            model_group: group.into(),
            provider: provider.into(),
            customer_id: customer.into(),
            tags: tags.iter().map(ToString::to_string).collect(),
            start_time: super::at(&at.to_string()).map(|wire| prost_types::Timestamp {
                nanos: i32::try_from(at.micros() % 1_000_000 * 1_000).unwrap(),
                ..wire
            }),
            cost: Some(usd(nanos)),
            status: if failed { pb::UsageStatus::Failure } else { pb::UsageStatus::Success }.into(),
            error_code: error_code.into(),
            deployment: deployment.into(),
            ..event(&format!("r{number}"), secret, 10)
        });
        let distinct: BTreeSet<&str> = if tags.is_empty() { [""].into() } else { tags.iter().copied().collect() };
        let one = |value: &str| vec![value.to_owned()];
        calls.push(Call {
            at,
            nanos,
            failed,
            error_code,
            deployment,
            places: BTreeMap::from([
                (SpendDimension::Key, one(key_id)),
                (SpendDimension::User, one(user)),
                (SpendDimension::Team, one(team)),
                (SpendDimension::Organization, one("")),
                (SpendDimension::Model, one(model)),
                (SpendDimension::ModelGroup, one(group)),
                (SpendDimension::Provider, one(provider)),
                (SpendDimension::Customer, one(customer)),
                (SpendDimension::Tag, distinct.into_iter().map(str::to_owned).collect()),
            ]),
        });
    }
    let (merged, waiting) = events.split_at(350);
    record(&world.admin, merged.to_vec()).await;
    // Some are in rollups, some on their way there, wherever the job stands.
    world.store().merge_deltas(200).await.unwrap();
    record(&world.admin, waiting.to_vec()).await;
    calls
}

const EVERY: [SpendDimension; 9] = [
    SpendDimension::Key,
    SpendDimension::User,
    SpendDimension::Team,
    SpendDimension::Organization,
    SpendDimension::Model,
    SpendDimension::ModelGroup,
    SpendDimension::Provider,
    SpendDimension::Customer,
    SpendDimension::Tag,
];

/// Spend in nano-dollars, calls, and failed ones.
pub type Sums = (i64, i64, i64);

/// What a report should say: by the first day of each period, by part.
fn expected(calls: &[Call], request: &pb::GetSpendReportRequest) -> BTreeMap<String, BTreeMap<String, Sums>> {
    let zone: chrono_tz::Tz = request.time_zone.parse().unwrap();
    let day = |text: &str| text.parse::<NaiveDate>().unwrap();
    let (first, last) = (day(&request.start_date), day(&request.end_date));
    let begins = |day: NaiveDate| match request.bucket() {
        ReportBucket::Week => day - Days::new(day.weekday().num_days_from_monday().into()),
        ReportBucket::Month => day.with_day(1).unwrap(),
        ReportBucket::None => first,
        _ => day,
    };
    let mut periods: BTreeMap<String, BTreeMap<String, Sums>> = BTreeMap::new();
    for day in first.iter_days().take_while(|day| *day <= last) {
        periods.entry(begins(day).max(first).to_string()).or_default();
    }
    let filters = [
        (SpendDimension::User, &request.user_id),
        (SpendDimension::Team, &request.team_id),
        (SpendDimension::Customer, &request.customer_id),
        (SpendDimension::Tag, &request.tag),
        (SpendDimension::Model, &request.model),
        (SpendDimension::ModelGroup, &request.model_group),
        (SpendDimension::Provider, &request.provider),
    ];
    for call in calls {
        let local = call.at.to_utc().with_timezone(&zone).date_naive();
        let wanted =
            |(dimension, value): &(SpendDimension, &String)| value.is_empty() || call.places[dimension].contains(value);
        if local < first || local > last || !filters.iter().all(wanted) {
            continue;
        }
        let period = periods.get_mut(&begins(local).max(first).to_string()).unwrap();
        let is_shown = |part: &&String| {
            request.group_by() != SpendDimension::Tag || request.tag.is_empty() || **part == request.tag
        };
        for part in call.places[&request.group_by()].iter().filter(is_shown) {
            let sums = period.entry(part.clone()).or_default();
            *sums = (sums.0 + call.nanos, sums.1 + 1, sums.2 + i64::from(call.failed));
        }
    }
    periods
}

pub fn sums(metrics: Option<&pb::SpendMetrics>) -> Sums {
    let metrics = metrics.unwrap();
    let spend: bursar::domain::money::Usd = metrics.spend.parse().unwrap();
    assert_eq!(metrics.successful_requests + metrics.failed_requests, metrics.api_requests);
    (spend.nanos(), metrics.api_requests, metrics.failed_requests)
}

fn shown(answer: &pb::GetSpendReportResponse) -> BTreeMap<String, BTreeMap<String, Sums>> {
    let parts = |period: &pb::SpendPeriod| {
        let slices = &period.breakdown.as_ref().unwrap().slices;
        slices.iter().map(|slice| (slice.id.clone(), sums(slice.metrics.as_ref()))).collect()
    };
    answer.periods.iter().map(|period| (period.start_date.clone(), parts(period))).collect()
}

fn days(start: &str, end: &str) -> pb::GetSpendReportRequest {
    pb::GetSpendReportRequest { start_date: start.into(), end_date: end.into(), ..Default::default() }
}

on_both! {
    async fn reports_equal_the_calls_however_they_are_asked_for(backend: Backend) {
        let world = World::builder(backend).at("2025-06-25T12:00:00Z").set("max_event_age", "100d").start().await;
        let calls = seven_weeks(&world).await;
        let mut dice = Dice(11);
        for _ in 0..120 {
            let first = "2025-04-28".parse::<NaiveDate>().unwrap() + Days::new(dice.roll(40) as u64);
            let last = first + Days::new(dice.roll(30) as u64);
            let mut pick = |of: &[&str]| of[dice.roll(of.len())].to_owned();
            let request = pb::GetSpendReportRequest {
                time_zone: pick(&["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns"]),
                user_id: pick(&["", "", "", "alice"]),
                team_id: pick(&["", "", "red"]),
                customer_id: pick(&["", "", "", "c2"]),
                tag: pick(&["", "", "", "x", "z"]),
                model: pick(&["", "", "m-2"]),
                model_group: pick(&["", "", "large"]),
                provider: pick(&["", "", "q"]),
                group_by: EVERY[dice.roll(EVERY.len())].into(),
                bucket: [ReportBucket::Day, ReportBucket::Week, ReportBucket::Month, ReportBucket::None][dice.roll(4)].into(),
                ..days(&first.to_string(), &last.to_string())
            };
            let answer = world.admin.spend().get_spend_report(request.clone()).await.answer();
            assert_eq!(shown(&answer), expected(&calls, &request), "{request:?}");
            // The parts of a period add up to it, and the periods to the whole;
            // except that a call counts under each of its tags.
            let mut whole = (0, 0, 0);
            for period in &answer.periods {
                let of_period = sums(period.metrics.as_ref());
                whole = (whole.0 + of_period.0, whole.1 + of_period.1, whole.2 + of_period.2);
                let parts = period.breakdown.as_ref().unwrap().slices.iter().map(|slice| sums(slice.metrics.as_ref()));
                let added = parts.fold((0, 0, 0), |sum, part| (sum.0 + part.0, sum.1 + part.1, sum.2 + part.2));
                assert!(added == of_period || request.group_by() == SpendDimension::Tag, "{request:?}");
            }
            assert_eq!(sums(answer.totals.as_ref()), whole, "{request:?}");
        }
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty());
    }

    async fn what_is_not_shown_by_itself_is_in_others(backend: Backend) {
        let world = World::builder(backend).at("2025-06-25T12:00:00Z").set("max_event_age", "100d").start().await;
        let calls = seven_weeks(&world).await;
        let report = pb::GetSpendReportRequest { group_by: SpendDimension::Key.into(), bucket: ReportBucket::None.into(), top: 1, ..days("2025-05-01", "2025-06-20") };
        let answer = world.admin.spend().get_spend_report(report).await.answer();
        let breakdown = answer.periods[0].breakdown.as_ref().unwrap();
        assert_eq!((breakdown.slices.len(), breakdown.distinct), (1, 4));
        let (shown, others) = (sums(breakdown.slices[0].metrics.as_ref()), sums(breakdown.others.as_ref()));
        let all: i64 = calls.iter().map(|call| call.nanos).sum();
        assert_eq!((shown.0 + others.0, shown.1 + others.1), (all, 600));
        for (request, field) in [
            (pb::GetSpendReportRequest { top: 1_001, ..days("2025-05-01", "2025-05-02") }, "top"),
            (pb::GetSpendReportRequest { top: 1_000, ..days("2025-05-01", "2025-06-01") }, "top"),
            (pb::GetSpendReportRequest { bucket: 9, ..days("2025-05-01", "2025-05-02") }, "bucket"),
            (pb::GetSpendReportRequest { group_by: 99, ..days("2025-05-01", "2025-05-02") }, "group_by"),
            (days("", ""), "start_date"),
        ] {
            assert_eq!(world.admin.spend().get_spend_report(request).await.bad()[0].0, field);
        }
    }

    async fn a_report_of_single_calls_adds_up_these(backend: Backend) {
        let world = World::builder(backend).at("2025-06-25T12:00:00Z").set("max_event_age", "100d").start().await;
        let calls = seven_weeks(&world).await;
        let report = async |request: pb::GetSpendReportRequest| sums(world.admin.spend().get_spend_report(request).await.answer().totals.as_ref());
        let sum = |wanted: &dyn Fn(&&Call) -> bool| {
            let found = calls.iter().filter(wanted).map(|call| (call.nanos, 1, i64::from(call.failed)));
            found.fold((0, 0, 0), |sum, call| (sum.0 + call.0, sum.1 + call.1, sum.2 + call.2))
        };
        let all = || days("2025-05-01", "2025-06-20");
        let failed = pb::GetSpendReportRequest { status: pb::UsageStatus::Failure.into(), ..all() };
        assert_eq!(report(failed.clone()).await, sum(&|call| call.failed));
        let of_team = pb::GetSpendReportRequest { team_id: "red".into(), time_zone: "Europe/Berlin".into(), ..failed };
        assert_eq!(report(of_team).await, sum(&|call| call.failed && call.places[&SpendDimension::Team] == ["red"]));
        let dear = pb::GetSpendReportRequest { min_spend: Some("0.5".into()), max_spend: Some("0.75".into()), ..all() };
        assert_eq!(report(dear.clone()).await, sum(&|call| (500_000_000..=750_000_000).contains(&call.nanos)));
        // By tags each counts once for each of its own.
        let by_tag = world.admin.spend().get_spend_report(pb::GetSpendReportRequest { group_by: SpendDimension::Tag.into(), bucket: ReportBucket::None.into(), ..dear }).await.answer();
        let tagged = |tag: &'static str| move |call: &&Call| (500_000_000..=750_000_000).contains(&call.nanos) && call.places[&SpendDimension::Tag].iter().any(|found| found == tag);
        for slice in &by_tag.periods[0].breakdown.as_ref().unwrap().slices {
            let tag = ["", "x", "y", "z"].into_iter().find(|tag| *tag == slice.id).unwrap();
            assert_eq!(sums(slice.metrics.as_ref()), sum(&tagged(tag)), "{tag}");
        }
        let reported = pb::GetSpendReportRequest { cost_source: pb::CostSource::Reported.into(), cache_hit: Some(false), ..all() };
        assert_eq!(report(reported).await, sum(&|_| true));
        let elsewhere = pb::GetSpendReportRequest { session_id: "none".into(), ..all() };
        assert_eq!(report(elsewhere).await, (0, 0, 0));
        let wrong = pb::GetSpendReportRequest { min_spend: Some("much".into()), status: 9, ..all() };
        let fields: Vec<String> = world.admin.spend().get_spend_report(wrong).await.bad().into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["status", "min_spend"]);
    }

    async fn end_users_are_shown_to_who_administers(backend: Backend) {
        let world = World::builder(backend).at("2025-06-25T12:00:00Z").start().await;
        let (lead, alice) = crate::teams::red(&world, pb::Team::default()).await;
        let (in_team, _) = world.key(crate::keys::in_team("alice")).await;
        let (free, _) = world.key(pb::Key::default()).await;
        let of = |customer: &str, event: pb::UsageEvent| pb::UsageEvent { customer_id: customer.into(), start_time: at("2025-06-25T01:00:00Z"), ..event };
        record(&world.admin, vec![of("c1", event("a", &in_team, 400)), of("c2", event("b", &free, 800))]).await;
        let report = || pb::GetSpendReportRequest { group_by: SpendDimension::Customer.into(), ..days("2025-06-25", "2025-06-25") };
        let customers = |answer: pb::GetSpendReportResponse| -> Vec<String> {
            answer.periods[0].breakdown.as_ref().unwrap().slices.iter().map(|slice| slice.id.clone()).collect()
        };
        assert_eq!(customers(world.admin.spend().get_spend_report(report()).await.answer()), ["c2", "c1"]);
        assert_eq!(customers(lead.spend().get_spend_report(report()).await.answer()), ["c1"]);
        alice.spend().get_spend_report(report()).await.refused(Code::PermissionDenied, ErrorReason::FieldNotAllowed);
        let daily = pb::GetDailySpendRequest { breakdowns: vec![SpendDimension::Customer.into()], ..Default::default() };
        alice.spend().get_daily_spend(daily).await.refused(Code::PermissionDenied, ErrorReason::FieldNotAllowed);
    }
}
