//! Reports over 10 M usage events of 90 days against the same over 1 M: 200 keys
//! in 20 teams, 30 models, 5,000 customers. Each report is read many times; what
//! is shown are its times and their ratio.
//!
//! `BENCH_DATABASE_URL=postgres://…/empty cargo bench --bench reports`; seeding
//! takes a quarter of an hour. `BENCH_EVENTS` is another number than 10,000,000.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::pedantic,
    clippy::print_stdout,
    clippy::disallowed_types,
    clippy::disallowed_methods
)]

mod support;

use std::time::{Duration, Instant};

use bursar::pb;
use pb::spend_service_client::SpendServiceClient;
use pb::team_service_client::TeamServiceClient;
use pb::{ReportBucket, SpendDimension};
use sea_orm::sqlx::{self, Connection, Executor, PgConnection};
use support::{Bench, MASTER, connect, with_key};
use tonic::transport::Channel;

const SEED: &str = include_str!("support/usage.sql");
/// 90 days from here.
const START: &str = "2025-03-03T00:00:00Z";
const DAYS: (&str, &str) = ("2025-03-03", "2025-05-31");
const FEW: i64 = 1_000_000;
const AT_ONCE: i64 = 500_000;
const READS: usize = 100;

/// A report to measure.
#[derive(Clone, Copy, Debug)]
enum Report {
    DailySpend,
    DailyByTeam,
    DailyByKey,
    DailyOfKeyByModel,
    Keys,
    Teams,
    Models,
    Customers,
    Tags,
    KeysEver,
    CustomersEver,
    ModelActivity,
    Errors,
    TeamsByWeek,
    CustomersByMonth,
    Total,
}

const REPORTS: [Report; 16] = [
    Report::DailySpend,
    Report::DailyByTeam,
    Report::DailyByKey,
    Report::DailyOfKeyByModel,
    Report::Keys,
    Report::Teams,
    Report::Models,
    Report::Customers,
    Report::Tags,
    Report::KeysEver,
    Report::CustomersEver,
    Report::ModelActivity,
    Report::Errors,
    Report::TeamsByWeek,
    Report::CustomersByMonth,
    Report::Total,
];

/// Reads a report once.
async fn read(report: Report, client: &mut SpendServiceClient<Channel>, key: &str) {
    let (start_date, end_date) = (DAYS.0.to_owned(), DAYS.1.to_owned());
    let daily = |breakdowns: Vec<i32>, key: &str| {
        let (start_date, end_date) = (DAYS.0.to_owned(), DAYS.1.to_owned());
        with_key(
            pb::GetDailySpendRequest { start_date, end_date, breakdowns, key: key.to_owned(), ..Default::default() },
            MASTER,
        )
    };
    macro_rules! list {
        ($rpc:ident, $request:ident) => {
            drop(
                client
                    .$rpc(with_key(pb::$request { start_date, end_date, ..Default::default() }, MASTER))
                    .await
                    .expect("a list"),
            )
        };
    }
    let split = |group_by: SpendDimension, bucket: ReportBucket| {
        let (start_date, end_date) = (DAYS.0.to_owned(), DAYS.1.to_owned());
        with_key(
            pb::GetSpendReportRequest {
                start_date,
                end_date,
                group_by: group_by.into(),
                bucket: bucket.into(),
                ..Default::default()
            },
            MASTER,
        )
    };
    match report {
        Report::DailySpend => drop(client.get_daily_spend(daily(Vec::new(), "")).await.expect("days")),
        Report::DailyByTeam => {
            drop(client.get_daily_spend(daily(vec![SpendDimension::Team.into()], "")).await.expect("days"));
        }
        Report::DailyByKey => {
            drop(client.get_daily_spend(daily(vec![SpendDimension::Key.into()], "")).await.expect("days"));
        }
        Report::DailyOfKeyByModel => {
            drop(client.get_daily_spend(daily(vec![SpendDimension::Model.into()], key)).await.expect("days"));
        }
        Report::Keys => list!(list_key_spend, ListKeySpendRequest),
        Report::Teams => list!(list_team_spend, ListTeamSpendRequest),
        Report::Models => list!(list_model_spend, ListModelSpendRequest),
        Report::Customers => list!(list_customer_spend, ListCustomerSpendRequest),
        Report::Tags => list!(list_tag_spend, ListTagSpendRequest),
        Report::KeysEver => {
            drop(client.list_key_spend(with_key(pb::ListKeySpendRequest::default(), MASTER)).await.expect("a list"));
        }
        Report::CustomersEver => {
            let request = pb::ListCustomerSpendRequest::default();
            drop(client.list_customer_spend(with_key(request, MASTER)).await.expect("a list"));
        }
        Report::ModelActivity => list!(get_model_activity, GetModelActivityRequest),
        Report::Errors => list!(get_error_activity, GetErrorActivityRequest),
        Report::TeamsByWeek => {
            drop(client.get_spend_report(split(SpendDimension::Team, ReportBucket::Week)).await.expect("a report"));
        }
        Report::CustomersByMonth => {
            let request = split(SpendDimension::Customer, ReportBucket::Month);
            drop(client.get_spend_report(request).await.expect("a report"));
        }
        Report::Total => {
            drop(client.get_total_spend(with_key(pb::GetTotalSpendRequest::default(), MASTER)).await.expect("a total"));
        }
    }
}

/// The median and the 99th percentile of each report, in milliseconds.
async fn measure(bench: &Bench, key: &str) -> Vec<(f64, f64)> {
    let mut client = SpendServiceClient::new(connect(&bench.address).await);
    let mut times: Vec<Vec<Duration>> = vec![Vec::new(); REPORTS.len()];
    for _ in 0..READS {
        for (report, times) in REPORTS.into_iter().zip(&mut times) {
            let begun = Instant::now();
            read(report, &mut client, key).await;
            times.push(begun.elapsed());
        }
    }
    times
        .into_iter()
        .map(|mut times| {
            times.sort_unstable();
            let at = |share: usize| times[(times.len() * share / 100).min(times.len() - 1)].as_secs_f64() * 1_000.0;
            (at(50), at(99))
        })
        .collect()
}

async fn seed(bench: &Bench, url: &str, from: i64, until: i64) {
    let mut connection = PgConnection::connect(url).await.expect("a connection");
    let start = bursar::domain::clock::Timestamp::try_from(START.to_owned()).expect("an instant").micros();
    let mut first = from;
    while first < until {
        let last = (first + AT_ONCE).min(until) - 1;
        let mut sql = SEED.to_owned();
        for (name, value) in [("{first}", first), ("{last}", last), ("{start}", start)] {
            sql = sql.replace(name, &value.to_string());
        }
        for statement in sql.split(';').filter(|statement| !statement.trim().is_empty()) {
            connection.execute(sqlx::AssertSqlSafe(statement)).await.expect("seeds");
        }
        while bench.app.store.merge_deltas(500_000).await.expect("merges") > 0 {}
        first = last + 1;
    }
    connection.execute("VACUUM ANALYZE usage_rollups").await.expect("vacuum");
    connection.execute("VACUUM ANALYZE usage_deltas").await.expect("vacuum");
    connection.execute("VACUUM ANALYZE usage_events").await.expect("vacuum");
}

/// Twenty teams of ten keys.
async fn keys(bench: &Bench) {
    let mut teams = TeamServiceClient::new(connect(&bench.address).await);
    for team in 0..20 {
        let team_id = format!("team-{team}");
        let request = pb::CreateTeamRequest {
            team: Some(pb::Team { team_id: team_id.clone(), ..Default::default() }),
            ..Default::default()
        };
        teams.create_team(with_key(request, MASTER)).await.expect("a team");
        for number in 0..10 {
            let key_alias = Some(format!("key-{team}-{number}"));
            bench.generate(pb::Key { team_id: Some(team_id.clone()), key_alias, ..Default::default() }).await;
        }
    }
}

#[tokio::main]
async fn main() {
    let url = std::env::var("BENCH_DATABASE_URL").expect("BENCH_DATABASE_URL names an empty PostgreSQL database");
    let many = std::env::var("BENCH_EVENTS").ok().and_then(|text| text.parse().ok()).unwrap_or(10_000_000);
    let bench = Bench::start(&url).await;
    keys(&bench).await;
    let mut connection = PgConnection::connect(&url).await.expect("a connection");
    let key: String = sqlx::query_scalar("SELECT key_hash FROM keys WHERE team_id IS NOT NULL ORDER BY key_id LIMIT 1")
        .fetch_one(&mut connection)
        .await
        .expect("a key");
    let begun = Instant::now();
    seed(&bench, &url, 0, FEW).await;
    let few = measure(&bench, &key).await;
    seed(&bench, &url, FEW, many).await;
    println!("seeded and read in {:.0} s", begun.elapsed().as_secs_f64());
    let all = measure(&bench, &key).await;
    println!("\n| | 1 M, p50 ms | {} M, p50 ms | ratio | p99 ms |\n|---|---|---|---|---|", many / 1_000_000);
    for ((report, few), all) in REPORTS.into_iter().zip(few).zip(all) {
        println!("| {report:?} | {:.1} | {:.1} | {:.2} | {:.1} |", few.0, all.0, all.0 / few.0, all.1);
    }
}
