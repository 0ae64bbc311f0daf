//! Pages: what a list reads, however far one has walked. PostgreSQL itself
//! counts the rows.

use bursar::pb;
use sqlx::{Connection, Executor, PgConnection};

use crate::support::world::World;
use crate::support::{Answer, Backend, Client};

const USERS: i64 = 8_000;
const TEAMS: i64 = 4_000;
const KEYS: i64 = 8_000;

/// What the bench of lists fills a database with, too.
const SEED: &str = include_str!("../../../benches/support/seed.sql");

/// What PostgreSQL counted of a table: sequential scans, and rows read.
type Counts = (i64, i64);

async fn counts(connection: &mut PgConnection, table: &str) -> Counts {
    let sql = "SELECT seq_scan, seq_tup_read + COALESCE(idx_tup_fetch, 0) FROM pg_stat_user_tables WHERE relname = $1";
    sqlx::query_as(sql).bind(table).fetch_one(connection).await.unwrap()
}

/// Waits until nobody else is connected: who leaves has told its counts.
async fn alone(connection: &mut PgConnection) {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    while sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut *connection).await.unwrap() > 0 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// Walks a list to its end; returns how many items it showed.
macro_rules! walk {
    ($client:expr, $service:ident . $rpc:ident, $request:ident, $items:ident, $order:expr) => {{
        let mut request = pb::$request { order_by: $order.into(), page_size: 250, ..Default::default() };
        let mut shown = 0;
        loop {
            let page = $client.$service().$rpc(request.clone()).await.answer();
            shown += i64::try_from(page.$items.len()).unwrap();
            if page.next_page_token.is_empty() {
                break shown;
            }
            request.page_token = page.next_page_token;
        }
    }};
}

async fn walk(client: &Client, table: &str, order: &str) -> i64 {
    match table {
        "users" => walk!(client, users.list_users, ListUsersRequest, users, order),
        "teams" => walk!(client, teams.list_teams, ListTeamsRequest, teams, order),
        _ => walk!(client, keys.list_keys, ListKeysRequest, keys, order),
    }
}

#[tokio::test]
async fn a_walk_reads_each_row_once_by_an_index() {
    let world = World::start(Backend::Postgres).await;
    world.user(pb::User { user_id: "u0".into(), ..Default::default() }).await;
    world.team(pb::Team { team_id: "t0".into(), ..Default::default() }).await;
    world.key(pb::Key { user_id: Some("u0".into()), ..Default::default() }).await;
    let mut connection = PgConnection::connect(&world.database.url).await.unwrap();
    let mut seed = SEED.to_owned();
    for (name, count) in [("{users}", USERS), ("{teams}", TEAMS), ("{keys}", KEYS)] {
        seed = seed.replace(name, &count.to_string());
    }
    // One by one: VACUUM is none of a transaction.
    for statement in seed.split(';').filter(|statement| !statement.trim().is_empty()) {
        connection.execute(sqlx::AssertSqlSafe(statement)).await.unwrap();
    }
    // As everybody sets it who has no spinning disks; at this size a page is a
    // good part of a table, and would be read whole and sorted.
    let name: String = sqlx::query_scalar("SELECT current_database()").fetch_one(&mut connection).await.unwrap();
    let cost = format!("ALTER DATABASE {name} SET random_page_cost = 1.1");
    connection.execute(sqlx::AssertSqlSafe(cost)).await.unwrap();
    let mut database = world.stop().await;

    let orders: [(&str, i64, &[&str]); 3] = [
        ("users", USERS, &["", "user_id", "user_email", "user_alias desc", "max_budget"]),
        ("teams", TEAMS, &["", "team_id desc", "team_alias", "max_budget desc"]),
        ("keys", KEYS, &["", "updated_at", "key_alias desc", "max_budget", "expires_at"]),
    ];
    for (table, rows, orders) in orders {
        for order in orders {
            alone(&mut connection).await;
            let before = counts(&mut connection, table).await;
            let world = World::builder(Backend::Postgres).start_on(database).await;
            assert_eq!(walk(&world.admin, table, order).await, rows + 1, "{table} by {order:?}");
            database = world.stop().await;
            alone(&mut connection).await;
            let after = counts(&mut connection, table).await;
            let read = after.1 - before.1;
            assert_eq!(after.0 - before.0, 0, "{table} by {order:?}: sequential scans");
            assert!(read < rows * 2, "{table} by {order:?}: {read} rows read to show {rows}");
        }
    }
}
