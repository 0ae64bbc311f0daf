//! Keys and callers: what it costs to know somebody — a key that is in memory,
//! one of a million that is not, the token of an identity provider that was
//! seen before, and one that was not — and to make a key, against a bare commit
//! of one row; and whether starting with a million keys takes longer.
//!
//! `BENCH_DATABASE_URL=postgres://…/empty cargo bench --bench keys`

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::pedantic,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::disallowed_types,
    clippy::disallowed_methods
)]

#[path = "../tests/it/support/issuer.rs"]
#[allow(dead_code, reason = "the bench needs a part of it")]
mod issuer;
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bursar::pb;
use issuer::IdentityProvider;
use pb::gateway_service_client::GatewayServiceClient;
use pb::key_service_client::KeyServiceClient;
use sea_orm::sqlx::{self, Connection, Executor, PgConnection, SqliteConnection};
use serde_json::json;
use support::{Bench, MASTER, MODEL, Round, ServerProcess, Sqlite, connect, drive, median, with_key};
use tonic::transport::Channel;

const KEYS: i64 = 1_000_000;
const IN_FLIGHT: usize = 64;
const ROUNDS: usize = 11;
const LENGTH: Duration = Duration::from_millis(500);
const MAKERS: usize = 16;
const TOKENS: usize = 100_000;

/// Copies of a key that is there.
const SEED: &str = "INSERT INTO keys SELECT (jsonb_populate_record(one, jsonb_build_object( \
     'key_id', md5('id' || n)::uuid::text, 'key_hash', md5('a' || n) || md5('b' || n), 'key_alias', NULL, \
     'created_at', one.created_at + n))).* FROM keys one, generate_series(1, {keys}) n \
     WHERE one.key_id = (SELECT min(key_id) FROM keys)";

/// Requests of one kind, the next one each time.
#[derive(Clone)]
struct Asked {
    make: Arc<dyn Fn(usize) -> pb::AuthorizeRequest + Send + Sync>,
    next: Arc<AtomicUsize>,
}

impl Asked {
    fn new(make: impl Fn(usize) -> pb::AuthorizeRequest + Send + Sync + 'static) -> Self {
        Self { make: Arc::new(make), next: Arc::new(AtomicUsize::new(0)) }
    }

    /// Each of a list once; it must not come to its end.
    fn each(list: Vec<String>, of: impl Fn(String) -> pb::AuthorizeRequest + Send + Sync + 'static) -> Self {
        Self::new(move |number| of(list[number].clone()))
    }
}

fn ask() -> pb::AuthorizeRequest {
    pb::AuthorizeRequest { model: MODEL.into(), estimated_input_tokens: Some(1_000), ..Default::default() }
}

async fn round(clients: &[GatewayServiceClient<Channel>], sidecar: &str, asked: &Asked) -> Round {
    let (clients, sidecar, asked) = (clients.to_vec(), sidecar.to_owned(), asked.clone());
    drive(IN_FLIGHT, LENGTH, move |task, _| {
        let mut client = clients[task % clients.len()].clone();
        let request = with_key((asked.make)(asked.next.fetch_add(1, Ordering::Relaxed)), &sidecar);
        async move {
            let began = Instant::now();
            let answer = client.authorize(request).await.expect("an answer").into_inner();
            assert_eq!(answer.decision(), pb::Decision::Allow, "{}", answer.message);
            vec![began.elapsed()]
        }
    })
    .await
}

/// Calls by who makes them, in turns.
async fn knowing(bench: &Bench, issuer: &IdentityProvider, hashes: Vec<String>) {
    let (secret, sidecar) = bench.key_and_sidecar().await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();
    let signer = issuer.key();
    let token = |number: usize| {
        let claims = json!({ "sub": "alice", "team": "red", "jti": number, "iat": now, "exp": now + 7_200 });
        signer.sign(&issuer.claims(&claims))
    };
    let known = token(0);
    let tokens: Vec<String> = (1..=TOKENS).map(token).collect();
    let kinds = [
        ("a key in memory", Asked::new(move |_| pb::AuthorizeRequest { key: secret.clone(), ..ask() })),
        (
            "a JWT (ES256) that was seen before",
            Asked::new(move |_| pb::AuthorizeRequest { key: known.clone(), ..ask() }),
        ),
        ("a JWT that was not", Asked::each(tokens, |key| pb::AuthorizeRequest { key, ..ask() })),
        ("one of a million keys, for the first time", {
            Asked::each(hashes, |key_hash| pb::AuthorizeRequest { key_hash, ..ask() })
        }),
    ];
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(GatewayServiceClient::new(connect(&bench.address).await));
    }
    round(&clients, &sidecar, &kinds[0].1).await;
    let mut rounds: Vec<Vec<Round>> = vec![Vec::new(); kinds.len()];
    for _ in 0..ROUNDS {
        for ((_, asked), rounds) in kinds.iter().zip(&mut rounds) {
            rounds.push(round(&clients, &sidecar, asked).await);
        }
    }
    println!("\n| Authorize with | calls a second | of the first | p50, ms | p99, ms |\n|---|---|---|---|---|");
    let of = |rounds: &[Round], value: fn(&Round) -> f64| median(rounds.iter().map(value).collect());
    let first = of(&rounds[0], Round::rate);
    for ((name, _), rounds) in kinds.iter().zip(&rounds) {
        let rate = of(rounds, Round::rate);
        let [p50, p99] = [of(rounds, |round| round.percentile(0.5)), of(rounds, |round| round.percentile(0.99))];
        println!("| {name} | {rate:.0} | {:.2} | {p50:.2} | {p99:.2} |", rate / first);
    }
}

/// Keys a second that 16 callers make.
async fn made(bench: &Bench) -> f64 {
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(KeyServiceClient::new(connect(&bench.address).await));
    }
    let round = drive(MAKERS, 4 * LENGTH, move |task, _| {
        let mut client = clients[task % 4].clone();
        async move {
            let began = Instant::now();
            let key = pb::Key { max_budget: Some("10".into()), ..Default::default() };
            let request = pb::GenerateKeyRequest { key: Some(key), ..Default::default() };
            client.generate_key(with_key(request, MASTER)).await.expect("a key");
            vec![began.elapsed()]
        }
    });
    round.await.rate()
}

const ROW: &str = "INSERT INTO bare (body) VALUES ('one row')";

/// Rows a second that 16 connections commit, one at a time.
async fn committed(url: &str) -> f64 {
    let url = url.to_owned();
    let began = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..MAKERS {
        let url = url.clone();
        tasks.spawn(async move {
            let mut rows = 0;
            if url.starts_with("sqlite:") {
                let mut connection = SqliteConnection::connect(&url).await.expect("a connection");
                connection.execute("PRAGMA synchronous = FULL; PRAGMA busy_timeout = 10000").await.expect("pragmas");
                while began.elapsed() < 4 * LENGTH {
                    connection.execute(ROW).await.expect("a row");
                    rows += 1;
                }
            } else {
                let mut connection = PgConnection::connect(&url).await.expect("a connection");
                while began.elapsed() < 4 * LENGTH {
                    connection.execute(ROW).await.expect("a row");
                    rows += 1;
                }
            }
            rows
        });
    }
    let rows: u32 = tasks.join_all().await.into_iter().sum();
    f64::from(rows) / began.elapsed().as_secs_f64()
}

async fn making(name: &str, bench: &Bench, url: &str) {
    let table = "CREATE TABLE IF NOT EXISTS bare (body text NOT NULL)";
    if url.starts_with("sqlite:") {
        SqliteConnection::connect(url).await.expect("a connection").execute(table).await.expect("a table");
    } else {
        PgConnection::connect(url).await.expect("a connection").execute(table).await.expect("a table");
    }
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        bare.push(committed(url).await);
        ours.push(made(bench).await);
    }
    let ratios = ours.iter().zip(&bare).map(|(ours, bare)| ours / bare).collect();
    println!("| {name} | {:.0} | {:.0} | {:.2} | at least 0.5 |", median(bare), median(ours), median(ratios));
}

/// Milliseconds until a server listens, and its memory then.
async fn start(url: &str) -> (f64, u64) {
    let mut times = Vec::new();
    let mut memory = 0;
    for _ in 0..5 {
        let began = Instant::now();
        let server = ServerProcess::start(url).await;
        times.push(began.elapsed().as_secs_f64() * 1_000.0);
        memory = server.peak_mib();
    }
    (median(times), memory)
}

#[tokio::main]
async fn main() {
    let url = std::env::var("BENCH_DATABASE_URL").expect("BENCH_DATABASE_URL names an empty PostgreSQL database");
    let issuer = IdentityProvider::start();
    let claims = "claims = { user_id = \"sub\", team_id = \"team\" }";
    let settings = [("jwt", issuer.setting(claims))];
    let bench = Bench::start_with(&url, &settings).await;
    bench.generate(pb::Key::default()).await;
    let few = start(&url).await;
    println!(
        "\n| GenerateKey, 16 callers | bare commits a second | keys a second | ratio | wanted |\n|---|---|---|---|---|"
    );
    let sqlite = Sqlite::new("keys");
    making("SQLite", &Bench::start(&sqlite.url()).await, &sqlite.url()).await;
    making("PostgreSQL", &bench, &url).await;
    let mut connection = PgConnection::connect(&url).await.expect("a connection");
    let seed = SEED.replace("{keys}", &KEYS.to_string());
    connection.execute(sqlx::AssertSqlSafe(seed)).await.expect("keys");
    connection.execute("VACUUM ANALYZE keys").await.expect("vacuum");
    let many = start(&url).await;
    let hashes: Vec<String> =
        sqlx::query_scalar("SELECT key_hash FROM keys WHERE created_at > 0 ORDER BY key_id LIMIT 500000")
            .fetch_all(&mut connection)
            .await
            .expect("hashes");
    knowing(&bench, &issuer, hashes).await;
    println!("\n| keys in the database | ready after, ms | memory, MiB |\n|---|---|---|");
    println!("| 1 | {:.0} | {} |\n| {KEYS} | {:.0} | {} |", few.0, few.1, many.0, many.1);
    making("PostgreSQL, a million keys", &bench, &url).await;
}
