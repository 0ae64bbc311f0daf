//! Outages: the database is away, silent, slow, full, locked, or has no connections
//! left. What memory knows goes on for the stated time, everything else is refused at
//! once and says when to come back; and nothing that was acknowledged is lost.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bursar::pb;
use bursar::store::Store;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqliteConnection};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::crash::{Acknowledged, events_of, load};
use crate::gateway::{ask, authorize, reserve, settle};
use crate::spend::event;
use crate::support::cutter::{Cutter, Wire};
use crate::support::database::{Database, connect_options, fresh_directory};
use crate::support::process::{Process, bursar};
use crate::support::world::MASTER;
use crate::support::{Answer, Backend, Client, reason_of};

/// So long nobody waits, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// How soon everything works again once the database is back.
const RECOVERY: Duration = Duration::from_secs(5);

/// A server, and who calls.
struct Site {
    directory: PathBuf,
    server: Process,
    admin: Client,
    secret: String,
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Site {
    async fn on(url: &str) -> Self {
        let directory = fresh_directory();
        let server = Process::serve(&directory, url, &[("master-key", MASTER), ("max-feed-age", "3s")]);
        Self::with(directory, server).await
    }

    async fn with(directory: PathBuf, server: Process) -> Self {
        let admin = Client::anonymous(server.connect().await).with_key(MASTER);
        let key = pb::Key { max_budget: Some("1000".into()), ..Default::default() };
        let request = pb::GenerateKeyRequest { key: Some(key), ..Default::default() };
        let secret = admin.keys().generate_key(request).await.answer().secret;
        let site = Self { directory, server, admin, secret };
        site.decide().await.unwrap();
        site
    }

    fn key(&self) -> Client {
        self.admin.with_key(&self.secret)
    }

    /// A question that memory can answer.
    async fn decide(&self) -> Result<(), Status> {
        let asked = pb::AuthorizeRequest { reserve: false, ..ask("", "0.001") };
        let answer = self.key().gateway().authorize(asked).await?.into_inner();
        assert_eq!(answer.decision(), pb::Decision::Allow, "{}", answer.message);
        Ok(())
    }

    /// Something that only the database can do.
    async fn manage(&self) -> Result<(), Status> {
        let team = pb::Team { team_alias: Some("t".into()), ..Default::default() };
        let request = pb::CreateTeamRequest { team: Some(team), ..Default::default() };
        self.admin.teams().create_team(request).await.map(drop)
    }

    /// A call, from beginning to end.
    async fn book(&self) -> Result<(), Status> {
        let asked = ask(&format!("book-{:?}", Instant::now()), "0.001");
        let reservation_id = self.key().gateway().authorize(asked).await?.into_inner().reservation_id;
        let usage = Some(pb::UsageEvent { prompt_tokens: 10, ..Default::default() });
        self.key().gateway().settle(pb::SettleRequest { reservation_id, usage }).await.map(drop)
    }

    /// Waits until something is refused as it should be.
    async fn until_refused(&self, attempt: impl AsyncFn(&Self) -> Result<(), Status>) {
        let began = Instant::now();
        loop {
            match attempt(self).await {
                Ok(()) => assert!(began.elapsed() < PATIENCE, "it goes on and on"),
                Err(status) => {
                    assert_eq!(
                        (status.code(), &*reason_of(&status)),
                        (Code::Unavailable, "STORE_UNAVAILABLE"),
                        "{status:?}"
                    );
                    let wait = status.get_details_retry_info().and_then(|info| info.retry_delay);
                    assert!(wait.is_some_and(|wait| wait > Duration::ZERO), "{status:?}");
                    return;
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// While it is known to be away nobody waits for it.
    async fn refuses_at_once(&self) {
        let first = Instant::now();
        // Whoever asked before that waits for a connection.
        while self.refusal().await > Duration::from_millis(200) {
            assert!(first.elapsed() < PATIENCE, "everybody waits");
        }
        let began = Instant::now();
        let mut took = Vec::new();
        for _ in 0..20 {
            took.push(self.refusal().await);
        }
        assert!(began.elapsed() < PATIENCE / 10, "{took:?} {}", self.server.log());
    }

    /// How long it takes to be refused.
    async fn refusal(&self) -> Duration {
        let began = Instant::now();
        assert_eq!(self.manage().await.unwrap_err().code(), Code::Unavailable);
        began.elapsed()
    }

    /// Waits until everything works, without a restart.
    async fn recovers(&self) {
        let began = Instant::now();
        while self.manage().await.is_err() || self.decide().await.is_err() || self.book().await.is_err() {
            assert!(began.elapsed() < RECOVERY, "it does not recover: {}", self.server.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // And until it hears of changes again, so that what it knows stays.
        while self.server.metric("bursar_feed_age_seconds").await > 0 {
            assert!(began.elapsed() < RECOVERY, "it does not hear of changes: {}", self.server.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        // When it did, it forgot whom it had known before.
        self.decide().await.unwrap();
    }
}

async fn verify(url: &str) -> Store {
    let store = Store::connect(&connect_options(url)).await.unwrap();
    let verified = store.verify().await.unwrap();
    assert!(verified.discrepancies.is_empty(), "{verified:?}");
    store
}

async fn on_postgres() -> (Database, Cutter, Site) {
    let database = Database::empty(Backend::Postgres).await;
    let cutter = Cutter::new(&database.url).await;
    let site = Site::on(&cutter.url).await;
    (database, cutter, site)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_known_is_decided_about_for_a_while_when_the_database_is_gone() {
    let (database, cutter, site) = on_postgres().await;
    for wire in [Wire::Cut, Wire::Silent] {
        cutter.set(wire);
        let cut_at = Instant::now();
        site.decide().await.unwrap();
        site.until_refused(Site::manage).await;
        if cut_at.elapsed() < Duration::from_secs(2) {
            site.decide().await.expect("the time that was stated is not over");
        }
        site.refuses_at_once().await;
        site.until_refused(Site::decide).await;
        assert!(cut_at.elapsed() > Duration::from_secs(2), "the time that was stated");
        // What a call used can't be booked, and is not said to be.
        let events = vec![event("lost", &site.secret, 10)];
        let told = site.admin.spend().record_usage(pb::RecordUsageRequest { events, ..Default::default() }).await;
        assert_eq!(told.unwrap_err().code(), Code::Unavailable);
        cutter.set(Wire::Whole);
        site.recovers().await;
    }
    let store = verify(&database.url).await;
    assert!(!events_of(&store).await.contains(&"lost".to_owned()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_database_slows_down_what_needs_it_and_nothing_else() {
    let (database, cutter, site) = on_postgres().await;
    cutter.set(Wire::Slow(Duration::from_millis(100)));
    for _ in 0..20 {
        site.decide().await.unwrap();
    }
    for number in 0..3 {
        site.manage().await.unwrap();
        let id = reserve(&site.key(), &format!("slow-{number}"), "0.001").await;
        settle(&site.key(), &id, 10).await;
    }
    cutter.set(Wire::Whole);
    site.recovers().await;
    verify(&database.url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_the_database_under_load_loses_nothing() {
    let (database, cutter, site) = on_postgres().await;
    let told = Arc::new(Acknowledged::default());
    let mut workers = tokio::task::JoinSet::new();
    for worker in 0..8 {
        let client = Client::anonymous(site.server.connect().await).with_key(MASTER);
        workers.spawn(load(client, site.secret.clone(), worker, Arc::clone(&told)));
    }
    for round in 1..=4 {
        let before = told.events.lock().await.len();
        let began = Instant::now();
        while told.events.lock().await.len() < before + 100 {
            assert!(began.elapsed() < PATIENCE, "round {round}: {}", site.server.log());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        cutter.set(Wire::Cut);
        tokio::time::sleep(Duration::from_millis(300 * round)).await;
        cutter.set(Wire::Whole);
    }
    site.recovers().await;
    told.stop.store(true, Ordering::Relaxed);
    workers.join_all().await;
    let store = verify(&database.url).await;
    let events = events_of(&store).await;
    let missing: Vec<String> = told.events.lock().await.iter().filter(|id| !events.contains(id)).cloned().collect();
    assert!(missing.is_empty(), "acknowledged and not there: {missing:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_connections_left_it_waits_for_one() {
    let database = Database::empty(Backend::Postgres).await;
    let (base, name) = database.url.rsplit_once('/').unwrap();
    let mut root = PgConnection::connect(&database.url).await.unwrap();
    let role = format!("role_of_{name}");
    let mut run = async |sql: String| root.execute(AssertSqlSafe(sql)).await.unwrap();
    run(format!("CREATE ROLE {role} LOGIN")).await;
    run(format!("ALTER DATABASE {name} OWNER TO {role}")).await;
    run(format!("GRANT ALL ON SCHEMA public TO {role}")).await;
    let host = base.rsplit_once('@').unwrap().1;
    let site = Site::on(&format!("postgres://{role}@{host}/{name}")).await;
    run(format!("ALTER ROLE {role} CONNECTION LIMIT 0")).await;
    run(format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{role}'")).await;
    site.until_refused(Site::manage).await;
    site.refuses_at_once().await;
    run(format!("ALTER ROLE {role} CONNECTION LIMIT -1")).await;
    site.recovers().await;
    verify(&database.url).await;
    drop(site);
    run(format!("REASSIGN OWNED BY {role} TO CURRENT_USER")).await;
    run(format!("DROP OWNED BY {role}")).await;
    run(format!("DROP ROLE {role}")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_file_is_waited_for_and_then_refused() {
    let database = Database::empty(Backend::Sqlite).await;
    let site = Site::on(&database.url).await;
    let mut other = SqliteConnection::connect(&database.url).await.unwrap();
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    site.until_refused(Site::manage).await;
    // Reading goes on, and so does who is known.
    site.admin.teams().list_teams(pb::ListTeamsRequest::default()).await.answer();
    site.decide().await.unwrap();
    other.execute("ROLLBACK").await.unwrap();
    site.recovers().await;
    verify(&database.url).await;
}

/// A shell that lets no file of the server's grow beyond so many KiB.
fn with_little_room(directory: &Path, kib: u32) -> Command {
    let binary = bursar(directory);
    let mut shell = Command::new("sh");
    let limit = kib * 2;
    shell.args(["-c", &format!("trap '' XFSZ; ulimit -f {limit}; exec \"$@\""), "sh"]);
    shell.arg(binary.get_program()).env("BURSAR_HTTP_LISTEN", "127.0.0.1:0").current_dir(directory);
    shell
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_what_it_can_not_keep() {
    let database = Database::empty(Backend::Sqlite).await;
    let directory = fresh_directory();
    // With its tables, so that the limit is met while usage is booked.
    drop(Site::on(&database.url).await);
    let file = database.url.trim_start_matches("sqlite://").trim_end_matches("?mode=rwc");
    let kib = u32::try_from(std::fs::metadata(file).unwrap().len() / 1024).unwrap() + 1_024;
    let mut command = with_little_room(&directory, kib);
    command.args(["--listen", "127.0.0.1:0", "--database-url", &database.url, "--master-key", MASTER]);
    let site = Site::with(directory.clone(), Process::of(command)).await;
    let mut booked = Vec::new();
    let refused = loop {
        let ids: Vec<String> = (0..500).map(|number| format!("e-{}-{number}", booked.len())).collect();
        let events = ids.iter().map(|id| event(id, &site.secret, 10)).collect();
        match site.admin.spend().record_usage(pb::RecordUsageRequest { events, ..Default::default() }).await {
            Ok(_) => booked.extend(ids),
            Err(status) => break status,
        }
        assert!(booked.len() < 1_000_000, "the disk is never full");
    };
    assert_eq!((refused.code(), &*reason_of(&refused)), (Code::Unavailable, "STORE_UNAVAILABLE"), "{refused:?}");
    authorize(&site.key(), pb::AuthorizeRequest { reserve: false, ..ask("", "0.001") }).await;
    drop(site);
    let site = Site::on(&database.url).await;
    site.recovers().await;
    let events = events_of(&verify(&database.url).await).await;
    assert!(booked.iter().all(|id| events.contains(id)), "{} booked, {} there", booked.len(), events.len());
}
