//! A fleet: Authorize and Release at one instance and at two of one database, each
//! in a process of its own beside the callers; what instances cost the database
//! when nobody calls and under load, and what it costs to widen a lease.
//!
//! `BENCH_DATABASE_URL=postgres://…/empty cargo bench --bench fleet`

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
use pb::gateway_service_client::GatewayServiceClient;
use pb::key_service_client::KeyServiceClient;
use pb::team_service_client::TeamServiceClient;
use sea_orm::sqlx::{self, Connection, PgConnection};
use support::calls::{Callers, IN_FLIGHT, ask, clients};
use support::{MASTER, Round, ServerProcess, connect, median, with_key};
use tonic::transport::Channel;

const ROUNDS: usize = 15;
const LENGTH: Duration = Duration::from_millis(500);
const WATCHED: Duration = Duration::from_secs(10);
const PLENTY: &str = "1000000";
/// How many leases are widened, one call at a time.
const WIDENED: usize = 500;

/// What the database did: commits, and bytes of its log.
async fn work_of(database: &mut PgConnection) -> (i64, i64) {
    // Statistics arrive a little late.
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let sql = "SELECT xact_commit, (pg_current_wal_lsn() - '0/0')::bigint FROM pg_stat_database \
               WHERE datname = current_database()";
    sqlx::query_as(sql).fetch_one(database).await.expect("statistics")
}

/// Commits a second, and bytes of the log, while something happens.
async fn during(database: &mut PgConnection, work: impl Future<Output = ()>) -> (f64, f64) {
    let before = work_of(database).await;
    let began = Instant::now();
    work.await;
    let after = work_of(database).await;
    let seconds = began.elapsed().as_secs_f64();
    ((after.0 - before.0) as f64 / seconds, (after.1 - before.1) as f64 / seconds)
}

async fn generate(channel: &Channel, key: pb::Key) -> String {
    let request = with_key(pb::GenerateKeyRequest { key: Some(key), ..Default::default() }, MASTER);
    KeyServiceClient::new(channel.clone()).generate_key(request).await.expect("a key").into_inner().secret
}

type Clients = Arc<Vec<GatewayServiceClient<Channel>>>;

/// The latency of a call whose budget holds nothing yet, and of the next one of
/// the same key, which finds room.
async fn widen(client: &GatewayServiceClient<Channel>, secrets: &[String], sidecar: &str) -> [f64; 2] {
    let mut times = [Vec::new(), Vec::new()];
    for secret in secrets {
        for (number, times) in times.iter_mut().enumerate() {
            let began = Instant::now();
            let request = with_key(ask(secret, "", format!("{secret}-{number}")), sidecar);
            let answer = client.clone().authorize(request).await.expect("an answer").into_inner();
            assert_eq!(answer.decision(), pb::Decision::Allow, "{}", answer.message);
            times.push(began.elapsed().as_secs_f64() * 1_000.0);
        }
    }
    times.map(median)
}

#[tokio::main]
async fn main() {
    let url = std::env::var("BENCH_DATABASE_URL").expect("BENCH_DATABASE_URL names an empty PostgreSQL database");
    let mut database = PgConnection::connect(&url).await.expect("a connection");
    let first = ServerProcess::start(&url).await;
    let channel = connect(&first.address).await;
    let budget = || Some(PLENTY.to_owned());
    let team = pb::Team { team_id: "red".into(), max_budget: budget(), ..Default::default() };
    let request = pb::CreateTeamRequest { team: Some(team), ..Default::default() };
    TeamServiceClient::new(channel.clone()).create_team(with_key(request, MASTER)).await.expect("a team");
    let sidecar = generate(&channel, pb::Key { key_type: pb::KeyType::Gateway.into(), ..Default::default() }).await;
    let mut secrets = Vec::new();
    for _ in 0..IN_FLIGHT {
        let key = pb::Key { team_id: Some("red".into()), max_budget: budget(), ..Default::default() };
        secrets.push(generate(&channel, key).await);
    }
    let mut fresh = Vec::new();
    for _ in 0..WIDENED {
        fresh.push(generate(&channel, pb::Key { max_budget: budget(), ..Default::default() }).await);
    }
    let callers = Callers::new(secrets, &sidecar, "");

    // What was made is tended for a while.
    tokio::time::sleep(WATCHED / 2).await;
    let idle_of_one = during(&mut database, tokio::time::sleep(WATCHED)).await;
    let at_one = clients(&first.address).await;
    let mut widened = [0.0; 2];
    let widening = during(&mut database, async { widened = widen(&at_one[0], &fresh, &sidecar).await });
    let of_widening = widening.await;
    let second = ServerProcess::start(&url).await;
    let at_second = clients(&second.address).await;
    let at_both: Clients =
        Arc::new(at_one.iter().zip(at_second.iter()).flat_map(|(a, b)| [a.clone(), b.clone()]).collect());
    tokio::time::sleep(WATCHED / 2).await;
    let idle_of_two = during(&mut database, tokio::time::sleep(WATCHED)).await;
    let (mut one, mut two) = (Vec::new(), Vec::new());
    callers.round(&at_both, 0, LENGTH).await;
    for number in 0..ROUNDS {
        one.push(Round::rate(&callers.round(&at_one, 1_000 + number, LENGTH).await));
        two.push(Round::rate(&callers.round(&at_both, 2_000 + number, LENGTH).await));
    }
    let under_load = during(&mut database, async { drop(callers.round(&at_both, 9_000, WATCHED).await) }).await;

    let ratios = one.iter().zip(&two).map(|(one, two)| two / one).collect();
    println!("\n| calls a second at one instance | at two | ratio |\n|---|---|---|");
    println!("| {:.0} | {:.0} | {:.2} |", median(one), median(two), median(ratios));
    println!("\n| the database, a second | commits | KiB of its log |\n|---|---|---|");
    for (name, (commits, bytes)) in [
        ("one instance, nobody calls", idle_of_one),
        ("two instances, nobody calls", idle_of_two),
        ("two instances, all that they can", under_load),
        ("a lease widened for each call, one after the other", of_widening),
    ] {
        println!("| {name} | {commits:.1} | {:.1} |", bytes / 1_024.0);
    }
    let [cold, warm] = widened;
    println!("\n| Authorize, one at a time | p50, ms |\n|---|---|");
    println!("| a key and a budget for the first time: read, and a lease widened | {cold:.2} |");
    println!("| room is there | {warm:.2} |");
}
