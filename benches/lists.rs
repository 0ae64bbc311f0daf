//! Lists at the size of a company: a page at the end of 1 M users, 100 k teams and
//! 2 M keys against the first one, in turns. What is shown is their ratio.
//!
//! `BENCH_DATABASE_URL=postgres://…/empty cargo bench --bench lists`; seeding takes
//! minutes, and is done once in a database.

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
use pb::key_service_client::KeyServiceClient;
use pb::team_service_client::TeamServiceClient;
use pb::user_service_client::UserServiceClient;
use sea_orm::sqlx::{self, Connection, Executor, PgConnection};
use support::{Bench, MASTER, connect, with_key};
use tonic::transport::Channel;

const SEED: &str = include_str!("support/seed.sql");
const USERS: usize = 1_000_000;
const TEAMS: usize = 100_000;
const KEYS: usize = 2_000_000;
/// How many times each page is read.
const READS: usize = 200;

/// A list: reads the page behind a token, and returns the token of the next.
#[derive(Clone, Copy, Debug)]
enum List {
    Users,
    Teams,
    Keys,
}

impl List {
    async fn page(self, channel: &Channel, order_by: &str, page_size: i32, page_token: String) -> String {
        let order_by = order_by.to_owned();
        let channel = channel.clone();
        match self {
            Self::Users => {
                let request = pb::ListUsersRequest { order_by, page_size, page_token, ..Default::default() };
                let answer = UserServiceClient::new(channel).list_users(with_key(request, MASTER)).await;
                answer.expect("users").into_inner().next_page_token
            }
            Self::Teams => {
                let request = pb::ListTeamsRequest { order_by, page_size, page_token, ..Default::default() };
                let answer = TeamServiceClient::new(channel).list_teams(with_key(request, MASTER)).await;
                answer.expect("teams").into_inner().next_page_token
            }
            Self::Keys => {
                let request = pb::ListKeysRequest { order_by, page_size, page_token, ..Default::default() };
                let answer = KeyServiceClient::new(channel).list_keys(with_key(request, MASTER)).await;
                answer.expect("keys").into_inner().next_page_token
            }
        }
    }
}

async fn seed(bench: &Bench, url: &str) {
    let mut connection = PgConnection::connect(url).await.expect("a connection");
    let users: i64 = sqlx::query_scalar("SELECT count(*) FROM users").fetch_one(&mut connection).await.expect("users");
    if users > 0 {
        return;
    }
    bench.key_and_sidecar().await;
    connection.execute("DELETE FROM keys WHERE user_id IS NULL").await.expect("one key");
    let mut seed = SEED.to_owned();
    for (name, count) in [("{users}", USERS), ("{teams}", TEAMS), ("{keys}", KEYS)] {
        seed = seed.replace(name, &count.to_string());
    }
    for statement in seed.split(';').filter(|statement| !statement.trim().is_empty()) {
        connection.execute(sqlx::AssertSqlSafe(statement)).await.expect("seeds");
    }
}

fn median(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1_000.0
}

#[tokio::main]
async fn main() {
    let url = std::env::var("BENCH_DATABASE_URL").expect("BENCH_DATABASE_URL names an empty PostgreSQL database");
    let bench = Bench::start(&url).await;
    let begun = Instant::now();
    seed(&bench, &url).await;
    println!("seeded in {:.0} s", begun.elapsed().as_secs_f64());
    let channel = connect(&bench.address).await;
    println!("{:<28}{:>12}{:>12}{:>8}", "", "first ms", "last ms", "ratio");
    for (list, orders) in
        [(List::Users, ["", "user_alias"]), (List::Teams, ["", "team_alias"]), (List::Keys, ["", "key_alias"])]
    {
        for order in orders {
            // The last page but one, which is a full one.
            let (mut last, mut end) = (String::new(), String::new());
            loop {
                let next = list.page(&channel, order, 1_000, end.clone()).await;
                if next.is_empty() {
                    break;
                }
                (last, end) = (end, next);
            }
            let (mut firsts, mut lasts) = (Vec::new(), Vec::new());
            for _ in 0..READS {
                for (token, times) in [("", &mut firsts), (last.as_str(), &mut lasts)] {
                    let begun = Instant::now();
                    list.page(&channel, order, 50, token.to_owned()).await;
                    times.push(begun.elapsed());
                }
            }
            let (first, last) = (median(&mut firsts), median(&mut lasts));
            let name = format!("{list:?} by {}", if order.is_empty() { "created_at desc" } else { order });
            println!("{name:<28}{first:>12.2}{last:>12.2}{:>8.2}", last / first);
        }
    }
}
