//! Reports over 10 M usage events of 90 days against the same over 1 M: 200 keys
//! in 20 teams, 30 models, 5,000 customers. Each report is read many times; what
//! is shown are its times and their ratio. Then what else must not grow with
//! the table: deep pages, ingestion (also against COPY), and memory.
//!
//! `BENCH_DATABASE_URL=postgres://…/empty cargo bench --bench reports`; seeding
//! takes a quarter of an hour. `BENCH_EVENTS` is another number than 10,000,000.
//! With `BENCH_SEEDED` the database has them already, and reports are only read.

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
use support::{Bench, MASTER, MODEL, ServerProcess, connect, drive, median, with_key};
use tonic::transport::Channel;

const SEED: &str = include_str!("support/usage.sql");
/// 90 days from here.
const START: &str = "2025-03-03T00:00:00Z";
const DAYS: (&str, &str) = ("2025-03-03", "2025-05-31");
const FEW: i64 = 1_000_000;
const AT_ONCE: i64 = 500_000;
const READS: usize = 300;
/// A report that has taken so long is read no more.
const ENOUGH: Duration = Duration::from_secs(20);
/// A zone whose days begin at other hours than those of UTC.
const BERLIN: &str = "Europe/Berlin";

/// A report to measure.
#[derive(Clone, Copy, Debug)]
enum Report {
    DailySpend,
    DailyByTeam,
    DailyByKey,
    DailyByCustomer,
    DailyByTag,
    DailyByTeamInBerlin,
    DailyOfKeyByModel,
    Keys,
    Teams,
    Users,
    Providers,
    Models,
    Customers,
    Tags,
    KeysEver,
    CustomersEver,
    CustomersInBerlin,
    Activity,
    ModelActivity,
    Errors,
    TeamsByWeek,
    CustomersByMonth,
    Total,
}

const REPORTS: [Report; 23] = [
    Report::DailySpend,
    Report::DailyByTeam,
    Report::DailyByKey,
    Report::DailyByCustomer,
    Report::DailyByTag,
    Report::DailyByTeamInBerlin,
    Report::DailyOfKeyByModel,
    Report::Keys,
    Report::Teams,
    Report::Users,
    Report::Providers,
    Report::Models,
    Report::Customers,
    Report::Tags,
    Report::KeysEver,
    Report::CustomersEver,
    Report::CustomersInBerlin,
    Report::Activity,
    Report::ModelActivity,
    Report::Errors,
    Report::TeamsByWeek,
    Report::CustomersByMonth,
    Report::Total,
];

/// Reads a report once.
async fn read(report: Report, client: &mut SpendServiceClient<Channel>, key: &str) {
    let (start_date, end_date) = (DAYS.0.to_owned(), DAYS.1.to_owned());
    let daily = |breakdowns: Vec<i32>, key: &str, time_zone: &str| {
        let (start_date, end_date) = (DAYS.0.to_owned(), DAYS.1.to_owned());
        let (key, time_zone) = (key.to_owned(), time_zone.to_owned());
        let request =
            pb::GetDailySpendRequest { start_date, end_date, breakdowns, key, time_zone, ..Default::default() };
        with_key(request, MASTER)
    };
    let split_by = |dimension: SpendDimension, time_zone: &str| daily(vec![dimension.into()], "", time_zone);
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
        Report::DailySpend => drop(client.get_daily_spend(daily(Vec::new(), "", "")).await.expect("days")),
        Report::DailyByTeam => {
            drop(client.get_daily_spend(split_by(SpendDimension::Team, "")).await.expect("days"));
        }
        Report::DailyByKey => {
            drop(client.get_daily_spend(split_by(SpendDimension::Key, "")).await.expect("days"));
        }
        Report::DailyByCustomer => {
            drop(client.get_daily_spend(split_by(SpendDimension::Customer, "")).await.expect("days"));
        }
        Report::DailyByTag => drop(client.get_daily_spend(split_by(SpendDimension::Tag, "")).await.expect("days")),
        Report::DailyByTeamInBerlin => {
            drop(client.get_daily_spend(split_by(SpendDimension::Team, BERLIN)).await.expect("days"));
        }
        Report::DailyOfKeyByModel => {
            drop(client.get_daily_spend(daily(vec![SpendDimension::Model.into()], key, "")).await.expect("days"));
        }
        Report::Keys => list!(list_key_spend, ListKeySpendRequest),
        Report::Teams => list!(list_team_spend, ListTeamSpendRequest),
        Report::Users => list!(list_user_spend, ListUserSpendRequest),
        Report::Providers => list!(list_provider_spend, ListProviderSpendRequest),
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
        Report::CustomersInBerlin => {
            let time_zone = BERLIN.to_owned();
            let request = pb::ListCustomerSpendRequest { start_date, end_date, time_zone, ..Default::default() };
            drop(client.list_customer_spend(with_key(request, MASTER)).await.expect("a list"));
        }
        Report::Activity => list!(get_activity, GetActivityRequest),
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
            if times.iter().sum::<Duration>() > ENOUGH {
                continue;
            }
            let begun = Instant::now();
            read(report, &mut client, key).await;
            times.push(begun.elapsed());
        }
    }
    times
        .into_iter()
        .map(|mut times| {
            times.sort_unstable();
            // The least time that so many of a hundred reads need no more than.
            let at = |share: usize| times[(times.len() * share).div_ceil(100) - 1].as_secs_f64() * 1_000.0;
            (at(50), at(99))
        })
        .collect()
}

/// Ranks the days that are over, as a server does within a minute.
async fn rank(bench: &Bench) {
    let now = bursar::domain::clock::Clock::system().now();
    while bench.app.store.rank_a_day(now).await.expect("ranks") {}
}

async fn seed(bench: &Bench, url: &str, from: i64, until: i64) {
    let mut connection = PgConnection::connect(url).await.expect("a connection");
    connection.execute("SET synchronous_commit = off").await.expect("a setting");
    let start = bursar::domain::clock::Timestamp::try_from(START.to_owned()).expect("an instant").micros();
    let mut first = from;
    while first < until {
        let last = (first + AT_ONCE).min(until) - 1;
        let mut sql = SEED.to_owned();
        // All of them together are spread over the 90 days.
        let step = 90 * 86_400 * 1_000_000 / (until - from);
        for (name, value) in
            [("{first}", first), ("{last}", last), ("{start}", start), ("{from}", from), ("{step}", step)]
        {
            sql = sql.replace(name, &value.to_string());
        }
        for statement in sql.split(';').filter(|statement| !statement.trim().is_empty()) {
            connection.execute(sqlx::AssertSqlSafe(statement)).await.expect("seeds");
        }
        while bench.app.store.merge_deltas(500_000).await.expect("merges") > 0 {}
        first = last + 1;
    }
    rank(bench).await;
    connection.execute("VACUUM ANALYZE usage_rollups").await.expect("vacuum");
    connection.execute("VACUUM ANALYZE usage_deltas").await.expect("vacuum");
    connection.execute("VACUUM ANALYZE usage_events").await.expect("vacuum");
}

/// Partitions for 90 days; those that are there stay.
async fn partitions(url: &str) {
    const SPAN: i64 = 16 * 86_400 * 1_000_000;
    let mut connection = PgConnection::connect(url).await.expect("a connection");
    let start = bursar::domain::clock::Timestamp::try_from(START.to_owned()).expect("an instant").micros();
    for number in 0..=90 / 16 + 1 {
        let from = start / SPAN * SPAN + number * SPAN;
        for table in ["usage_events", "usage_event_tags"] {
            let sql = format!(
                "CREATE TABLE IF NOT EXISTS {table}_{from} PARTITION OF {table} FOR VALUES FROM ({from}) TO ({})",
                from + SPAN
            );
            connection.execute(sqlx::AssertSqlSafe(sql)).await.expect("a partition");
        }
    }
}

/// Events a second that 16 callers record, 500 in a call, for ten seconds.
async fn ingest(address: &str, secret: &str) -> f64 {
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(SpendServiceClient::new(connect(address).await));
    }
    let secret = secret.to_owned();
    let round = drive(16, Duration::from_secs(10), move |caller, _| {
        let mut client = clients[caller % 4].clone();
        let events = (0..500).map(|index| pb::UsageEvent {
            request_id: uuid::Uuid::now_v7().to_string(),
            key: secret.clone(),
            model: MODEL.into(),
            prompt_tokens: 400 + index,
            ..Default::default()
        });
        let request = with_key(pb::RecordUsageRequest { events: events.collect(), ..Default::default() }, MASTER);
        async move {
            let began = Instant::now();
            client.record_usage(request).await.expect("an answer");
            vec![began.elapsed()]
        }
    });
    round.await.rate() * 500.0
}

/// Rows a second by COPY, 2,000 in a transaction, into a table like that of the
/// events, with its indexes.
async fn copy(url: &str) -> f64 {
    let mut connection = PgConnection::connect(url).await.expect("a connection");
    connection.execute("CREATE TABLE by_copy (LIKE usage_events INCLUDING ALL)").await.expect("a table");
    let mut seconds = 0.0;
    let (batches, rows) = (50, 2_000);
    for batch in 0..batches {
        let select = format!(
            "COPY (SELECT * FROM usage_events WHERE started_at > 0 OFFSET {} LIMIT {rows}) TO STDOUT",
            batch * rows
        );
        let mut stream = connection.copy_out_raw(&select).await.expect("rows");
        let mut bytes = Vec::new();
        while let Some(part) = futures_util::StreamExt::next(&mut stream).await {
            bytes.extend_from_slice(&part.expect("rows"));
        }
        drop(stream);
        let began = Instant::now();
        let mut copy = connection.copy_in_raw("COPY by_copy FROM STDIN").await.expect("a copy");
        copy.send(bytes).await.expect("rows");
        copy.finish().await.expect("a copy");
        seconds += began.elapsed().as_secs_f64();
    }
    connection.execute("DROP TABLE by_copy").await.expect("a drop");
    f64::from(batches * rows) / seconds
}

/// The median time of a page of ListUsage among the first ones, and after half a
/// million events.
async fn pages(address: &str) -> (f64, f64) {
    let mut client = SpendServiceClient::new(connect(address).await).max_decoding_message_size(64 << 20);
    let mut times = Vec::new();
    let mut page_token = String::new();
    for _ in 0..500 {
        let request = pb::ListUsageRequest { page_size: 1_000, page_token, ..Default::default() };
        let began = Instant::now();
        page_token = client.list_usage(with_key(request, MASTER)).await.expect("a page").into_inner().next_page_token;
        times.push(began.elapsed().as_secs_f64() * 1_000.0);
    }
    (median(times[..20].to_vec()), median(times[480..].to_vec()))
}

/// Streams every event once; returns events a second.
async fn export(address: &str) -> f64 {
    let mut client = SpendServiceClient::new(connect(address).await).max_decoding_message_size(64 << 20);
    let began = Instant::now();
    let mut stream =
        client.export_usage(with_key(pb::ExportUsageRequest::default(), MASTER)).await.expect("a stream").into_inner();
    let mut count = 0;
    while let Some(message) = stream.message().await.expect("a message") {
        count += message.events.len();
    }
    count as f64 / began.elapsed().as_secs_f64()
}

/// Rebuilds a few days; returns events a second, and how many rows were wrong.
async fn rebuild(address: &str, of_day: i64) -> (f64, i64) {
    let mut client = SpendServiceClient::new(connect(address).await);
    let began = Instant::now();
    let request = pb::RebuildRollupsRequest {
        start_date: "2025-03-10".into(),
        end_date: "2025-03-12".into(),
        ..Default::default()
    };
    let mut job =
        client.rebuild_rollups(with_key(request, MASTER)).await.expect("a job").into_inner().rebuild.expect("a job");
    while !job.done {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let request = pb::RebuildRollupsRequest { job_id: job.job_id.clone(), ..Default::default() };
        job = client
            .rebuild_rollups(with_key(request, MASTER))
            .await
            .expect("a job")
            .into_inner()
            .rebuild
            .expect("a job");
    }
    ((3 * of_day) as f64 / began.elapsed().as_secs_f64(), job.rows_repaired)
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
    let seeded = std::env::var("BENCH_SEEDED").is_ok();
    if !seeded {
        keys(&bench).await;
    }
    let mut connection = PgConnection::connect(&url).await.expect("a connection");
    let key: String = sqlx::query_scalar("SELECT key_hash FROM keys WHERE team_id IS NOT NULL ORDER BY key_id LIMIT 1")
        .fetch_one(&mut connection)
        .await
        .expect("a key");
    if seeded {
        rank(&bench).await;
        println!("| | p50 ms | p99 ms |\n|---|---|---|");
        for (report, (p50, p99)) in REPORTS.into_iter().zip(measure(&bench, &key).await) {
            println!("| {report:?} | {p50:.1} | {p99:.1} |");
        }
        return;
    }
    partitions(&url).await;
    let secret = bench.generate(pb::Key::default()).await;
    let empty = {
        let server = ServerProcess::start(&url).await;
        ingest(&server.address, &secret).await;
        ingest(&server.address, &secret).await
    };
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
    // Seeding filled this process's memory: what follows asks one of its own.
    let server = ServerProcess::start(&url).await;
    ingest(&server.address, &secret).await;
    let resting = server.peak_mib();
    let full = ingest(&server.address, &secret).await;
    let ingesting = server.peak_mib();
    let by_copy = copy(&url).await;
    println!("\n| ingestion | events/s | ratio | wanted |\n|---|---|---|---|");
    println!("| into an empty table | {empty:.0} | | |");
    println!("| into {} M | {full:.0} | {:.2} of that | 0.8 |", many / 1_000_000, full / empty);
    println!("| COPY, same indexes | {by_copy:.0} | {:.2} of that | 0.5 |", full / by_copy);
    let (first, deep) = pages(&server.address).await;
    println!("\n| a page of 1,000 events | ms |\n|---|---|");
    println!("| among the first | {first:.1} |\n| after half a million | {deep:.1}, {:.2} of that |", deep / first);
    server.peak_mib();
    let exported = export(&server.address).await;
    let exporting = server.peak_mib();
    let (rebuilt, repaired) = rebuild(&server.address, many / 90).await;
    let rebuilding = server.peak_mib();
    println!("\n| | events/s | most memory of the server, MiB |\n|---|---|---|");
    println!("| ingestion, the first seconds | | {resting} |\n| ingestion | {full:.0} | {ingesting} |");
    println!("| export | {exported:.0} | {exporting} |\n| rebuild | {rebuilt:.0} | {rebuilding} |");
    println!("\n{repaired} rows repaired");
}
