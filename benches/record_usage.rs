//! Durable usage events, through RecordUsage, against a hand-written multi-row
//! insert of the same rows into a table with the same indexes, in the same
//! database. Bursar also prices each event, moves its accounts and rollups, and
//! is asked over a socket.
//!
//! `cargo bench --bench record_usage`; PostgreSQL where `BENCH_DATABASE_URL`
//! names an empty database.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::pedantic,
    clippy::print_stdout,
    clippy::disallowed_types,
    clippy::disallowed_methods
)]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bursar::pb;
use pb::spend_service_client::SpendServiceClient;
use sea_orm::sqlx::{self, Column as _, Executor, PgConnection, Row, SqliteConnection};
use sqlx::Connection;
use support::{Bench, MASTER, MODEL, Sqlite, connect, drive, median, with_key};

const CALLERS: usize = 16;
const EVENTS: usize = 500;
const KEYS: usize = 20;
const ROUNDS: usize = 5;
const LENGTH: Duration = Duration::from_secs(3);
/// How many rows the hand-written insert commits at once.
const BATCH: usize = 1_000;

/// The values of a column of `usage_events`.
#[derive(Clone)]
enum Values {
    Text(Vec<String>),
    Number(Vec<i64>),
    Flag(Vec<bool>),
}

const FLAGS: [&str; 2] = ["inconsistent", "cache_hit"];

fn is_number(name: &str) -> bool {
    name.ends_with("_at") || name.ends_with("_tokens") || name == "cost_nanos"
}

/// Rows of `usage_events`, column by column.
struct Rows {
    names: Vec<String>,
    columns: Vec<Values>,
    len: usize,
}

impl Rows {
    fn of<R>(rows: &[R]) -> Self
    where
        R: Row,
        for<'a> &'a str: sqlx::ColumnIndex<R>,
        for<'a> String: sqlx::Decode<'a, R::Database> + sqlx::Type<R::Database>,
        for<'a> i64: sqlx::Decode<'a, R::Database> + sqlx::Type<R::Database>,
        for<'a> bool: sqlx::Decode<'a, R::Database> + sqlx::Type<R::Database>,
    {
        let names: Vec<String> = rows[0].columns().iter().map(|column| column.name().to_owned()).collect();
        let columns = names.iter().map(|name| {
            let name = name.as_str();
            if FLAGS.contains(&name) {
                Values::Flag(rows.iter().map(|row| row.get(name)).collect())
            } else if is_number(name) {
                Values::Number(rows.iter().map(|row| row.get(name)).collect())
            } else {
                Values::Text(rows.iter().map(|row| row.get(name)).collect())
            }
        });
        Self { columns: columns.collect(), len: rows.len(), names }
    }
}

fn events(keys: &[String], caller: usize, number: u64) -> Vec<pb::UsageEvent> {
    let event = |index: usize| pb::UsageEvent {
        request_id: uuid::Uuid::now_v7().to_string(),
        key: keys[(caller + index) % keys.len()].clone(),
        model: MODEL.into(),
        prompt_tokens: 400 + (index as i64 * 7 + number as i64) % 3_000,
        completion_tokens: 20 + index as i64 % 300,
        ..Default::default()
    };
    (0..EVENTS).map(event).collect()
}

/// Records for a while; returns events a second.
async fn ours(keys: &Arc<Vec<String>>, clients: &[SpendServiceClient<tonic::transport::Channel>]) -> f64 {
    let (keys, clients) = (Arc::clone(keys), clients.to_vec());
    let round = drive(CALLERS, LENGTH, move |caller, number| {
        let mut client = clients[caller % clients.len()].clone();
        let events = events(&keys, caller, number);
        async move {
            let began = Instant::now();
            let request = with_key(pb::RecordUsageRequest { events, ..Default::default() }, MASTER);
            let answer = client.record_usage(request).await.expect("an answer").into_inner();
            assert_eq!(answer.recorded, EVENTS as i64);
            vec![began.elapsed()]
        }
    })
    .await;
    round.rate() * EVENTS as f64
}

/// A prepared database for the hand-written insert.
enum Hand {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Hand {
    async fn connect(url: &str) -> Self {
        if url.starts_with("sqlite:") {
            let mut connection = SqliteConnection::connect(url).await.expect("a connection");
            connection.execute("PRAGMA synchronous = FULL").await.expect("a pragma");
            Self::Sqlite(connection)
        } else {
            Self::Postgres(PgConnection::connect(url).await.expect("a connection"))
        }
    }

    /// A table like `usage_events`, with its indexes.
    async fn make_table(&mut self) {
        match self {
            Self::Sqlite(connection) => {
                let sql = "SELECT sql FROM sqlite_master WHERE tbl_name = 'usage_events' AND sql IS NOT NULL";
                let statements: Vec<String> =
                    sqlx::query_scalar(sql).fetch_all(&mut *connection).await.expect("a schema");
                for statement in statements {
                    let copy = statement.replace("usage_events", "by_hand");
                    connection.execute(sqlx::AssertSqlSafe(copy)).await.expect("a table");
                }
            }
            Self::Postgres(connection) => {
                connection.execute("CREATE TABLE by_hand (LIKE usage_events INCLUDING ALL)").await.expect("a table");
            }
        }
    }

    async fn rows(&mut self, count: usize) -> Rows {
        let sql = sqlx::AssertSqlSafe(format!("SELECT * FROM usage_events LIMIT {count}"));
        match self {
            Self::Sqlite(connection) => Rows::of(&sqlx::query(sql).fetch_all(connection).await.expect("rows")),
            Self::Postgres(connection) => Rows::of(&sqlx::query(sql).fetch_all(connection).await.expect("rows")),
        }
    }

    /// Inserts for a while, batch by batch; returns rows a second.
    async fn insert(&mut self, rows: &mut Rows) -> f64 {
        let began = Instant::now();
        let mut done = 0;
        while began.elapsed() < LENGTH {
            let start = done % rows.len;
            let range = start..(start + BATCH).min(rows.len);
            // As a caller would send them: with ids that come later in time.
            if let Some(Values::Text(ids)) = rows.columns.first_mut() {
                ids[range.clone()].iter_mut().for_each(|id| *id = uuid::Uuid::now_v7().to_string());
            }
            done += range.len();
            match self {
                Self::Sqlite(connection) => insert_sqlite(connection, rows, range).await,
                Self::Postgres(connection) => insert_postgres(connection, rows, range).await,
            }
        }
        done as f64 / began.elapsed().as_secs_f64()
    }
}

async fn insert_postgres(connection: &mut PgConnection, rows: &Rows, range: std::ops::Range<usize>) {
    let arrays: Vec<String> = rows
        .columns
        .iter()
        .enumerate()
        .map(|(index, values)| {
            let kind = match values {
                Values::Text(_) => "text",
                Values::Number(_) => "bigint",
                Values::Flag(_) => "boolean",
            };
            format!("${}::{kind}[]", index + 1)
        })
        .collect();
    let sql = format!("INSERT INTO by_hand ({}) SELECT * FROM UNNEST({})", rows.names.join(", "), arrays.join(", "));
    let mut query = sqlx::query(sqlx::AssertSqlSafe(sql));
    for values in &rows.columns {
        query = match values {
            Values::Text(values) => query.bind(values[range.clone()].to_vec()),
            Values::Number(values) => query.bind(values[range.clone()].to_vec()),
            Values::Flag(values) => query.bind(values[range.clone()].to_vec()),
        };
    }
    query.execute(connection).await.expect("an insert");
}

async fn insert_sqlite(connection: &mut SqliteConnection, rows: &Rows, range: std::ops::Range<usize>) {
    let row = format!("({})", vec!["?"; rows.columns.len()].join(", "));
    connection.execute("BEGIN IMMEDIATE").await.expect("a transaction");
    // Within SQLite's 32,766 variables a statement.
    let indexes: Vec<usize> = range.collect();
    for chunk in indexes.chunks(500) {
        let values = vec![row.as_str(); chunk.len()].join(", ");
        let sql = format!("INSERT INTO by_hand ({}) VALUES {values}", rows.names.join(", "));
        let mut query = sqlx::query(sqlx::AssertSqlSafe(sql));
        for index in chunk {
            for values in &rows.columns {
                query = match values {
                    Values::Text(values) => query.bind(values[*index].clone()),
                    Values::Number(values) => query.bind(values[*index]),
                    Values::Flag(values) => query.bind(values[*index]),
                };
            }
        }
        query.execute(&mut *connection).await.expect("an insert");
    }
    connection.execute("COMMIT").await.expect("a commit");
}

async fn measure(name: &str, url: &str) {
    let bench = Bench::start(url).await;
    let mut keys = Vec::new();
    for _ in 0..KEYS {
        keys.push(bench.generate(pb::Key { max_budget: Some("1000000".into()), ..Default::default() }).await);
    }
    let keys = Arc::new(keys);
    let mut clients = Vec::new();
    for _ in 0..4 {
        let client = SpendServiceClient::new(connect(&bench.address).await);
        clients.push(client.max_encoding_message_size(8 << 20));
    }
    ours(&keys, &clients).await;
    let mut hand = Hand::connect(url).await;
    hand.make_table().await;
    let mut rows = hand.rows(20_000).await;
    hand.insert(&mut rows).await;
    let mut ratios = Vec::new();
    println!("\n{name}: {CALLERS} callers with {EVENTS} events a call, {ROUNDS} rounds of {LENGTH:?} each, in turns\n");
    println!("| round | by hand, rows/s | Bursar, events/s | ratio |");
    println!("|---|---|---|---|");
    for number in 0..ROUNDS {
        let by_hand = hand.insert(&mut rows).await;
        let recorded = ours(&keys, &clients).await;
        ratios.push(recorded / by_hand);
        println!("| {number} | {by_hand:.0} | {recorded:.0} | {:.2} |", recorded / by_hand);
    }
    println!("\nmedian: {:.2} of the hand-written insert (at least 0.5)", median(ratios));
    let verified = bench.app.store.verify().await.expect("a verification");
    assert!(verified.discrepancies.is_empty());
    println!("verified: counters equal the sum of {} events", verified.events);
}

#[tokio::main]
async fn main() {
    let sqlite = Sqlite::new("record_usage");
    measure("SQLite", &sqlite.url()).await;
    match std::env::var("BENCH_DATABASE_URL") {
        Ok(url) => measure("PostgreSQL", &url).await,
        Err(_) => println!("\nPostgreSQL: not measured; BENCH_DATABASE_URL names an empty database"),
    }
}
