//! Databases: a file of SQLite, or a database of its own on a PostgreSQL that
//! the tests share.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use bursar::store::{ConnectOptions, Store};
use sqlx::{Connection, Executor, PgConnection};
use tokio::sync::OnceCell;

/// Which database a test runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    Sqlite,
    Postgres,
}

/// A database of one test.
pub struct Database {
    pub url: String,
    /// Where a file of SQLite lives.
    directory: Option<PathBuf>,
}

impl Database {
    /// Makes a database: empty on SQLite, a copy of a migrated one on
    /// PostgreSQL.
    pub async fn new(backend: Backend) -> Self {
        match backend {
            Backend::Sqlite => {
                let directory = fresh_directory();
                let url = format!("sqlite://{}?mode=rwc", directory.join("bursar.db").display());
                Self { url, directory: Some(directory) }
            }
            Backend::Postgres => {
                let (server, template) = TEMPLATE.get_or_init(make_template).await;
                Self { url: server.create(Some(template)).await, directory: None }
            }
        }
    }

    /// Makes a database that holds nothing at all.
    pub async fn empty(backend: Backend) -> Self {
        match backend {
            Backend::Sqlite => Self::new(backend).await,
            Backend::Postgres => {
                let (server, _) = TEMPLATE.get_or_init(make_template).await;
                Self { url: server.create(None).await, directory: None }
            }
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        match &self.directory {
            Some(directory) => {
                let _ = std::fs::remove_dir_all(directory);
            }
            None => ENDED.lock().unwrap().push(self.url.rsplit('/').next().unwrap().to_owned()),
        }
    }
}

/// Databases on PostgreSQL whose tests have ended. The next test removes them:
/// together they would fill a disk.
static ENDED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// How the tests connect to a database besides the server.
pub fn connect_options(url: &str) -> ConnectOptions {
    ConnectOptions {
        url: url.to_owned(),
        max_connections: 4,
        acquire_timeout: std::time::Duration::from_secs(10),
        statement_timeout: std::time::Duration::from_secs(30),
    }
}

static NUMBER: AtomicU64 = AtomicU64::new(0);

fn unique() -> String {
    format!("bursar_test_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// A new directory for a test.
pub fn fresh_directory() -> PathBuf {
    let directory = std::env::temp_dir().join(unique());
    std::fs::create_dir_all(&directory).unwrap();
    directory
}

/// A PostgreSQL that runs.
struct Server {
    /// Its address, without the name of a database.
    base: String,
    /// A database that is always there.
    admin: String,
}

static TEMPLATE: OnceCell<(Server, String)> = OnceCell::const_new();

async fn make_template() -> (Server, String) {
    let server = match std::env::var("TEST_DATABASE_URL") {
        Ok(url) => {
            let (base, _) = url.rsplit_once('/').expect("TEST_DATABASE_URL is postgres://…/database");
            Server { base: base.to_owned(), admin: url.clone() }
        }
        Err(_) => start_cluster(),
    };
    let url = server.create(None).await;
    let store = Store::connect(&connect_options(&url)).await.unwrap();
    store.migrate().await.unwrap();
    // A template must have nobody connected.
    store.close().await.unwrap();
    let name = url.rsplit('/').next().unwrap().to_owned();
    (server, name)
}

impl Server {
    async fn create(&self, template: Option<&str>) -> String {
        let name = unique();
        let mut connection = PgConnection::connect(&self.admin).await.unwrap();
        let ended = std::mem::take(&mut *ENDED.lock().unwrap());
        for name in ended {
            // Some of its test's servers may still be about to stop.
            connection.execute(sqlx::AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"))).await.unwrap();
        }
        let template = template.map_or_else(String::new, |template| format!(" TEMPLATE {template}"));
        connection.execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}{template}"))).await.unwrap();
        connection.close().await.unwrap();
        format!("{}/{name}", self.base)
    }
}

/// Starts a private cluster from installed binaries. A shell watches over it:
/// when the test process ends, however it ends, the shell's input ends, and the
/// shell stops the cluster and removes it.
fn start_cluster() -> Server {
    let bin = server_binaries();
    let directory = fresh_directory();
    let script = r#"
        set -e
        run() { if [ "$(id -u)" = 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi; }
        [ "$(id -u)" != 0 ] || chown postgres "$DIRECTORY"
        chmod 755 "$DIRECTORY"
        cd "$DIRECTORY"
        run "$BIN/initdb" -D "$DIRECTORY/data" -U postgres -A trust --no-sync >"$DIRECTORY/log" 2>&1
        port=20000
        until run "$BIN/pg_ctl" -w -s -D "$DIRECTORY/data" -l "$DIRECTORY/data/server.log" start \
            -o "-p $port -k $DIRECTORY -c listen_addresses=127.0.0.1 -c max_connections=400 -c fsync=off" >/dev/null 2>&1
        do port=$((port + 1)); [ $port -lt 20100 ]; done
        echo $port
        cat >/dev/null || true
        run "$BIN/pg_ctl" -s -D "$DIRECTORY/data" -m immediate stop || true
        cd /
        rm -rf "$DIRECTORY"
    "#;
    let mut shell = Command::new("sh")
        .args(["-c", script])
        .env("BIN", &bin)
        .env("DIRECTORY", &directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut port = String::new();
    BufReader::new(shell.stdout.take().unwrap()).read_line(&mut port).unwrap();
    let port = port.trim();
    assert!(!port.is_empty(), "PostgreSQL did not start: {:?}", std::fs::read_to_string(directory.join("log")));
    // The input stays open for as long as this process lives.
    std::mem::forget(shell);
    let base = format!("postgres://postgres@127.0.0.1:{port}");
    Server { admin: format!("{base}/postgres"), base }
}

/// Where the programs of PostgreSQL are.
pub fn server_binaries() -> PathBuf {
    let asked = Command::new("pg_config").arg("--bindir").output().ok();
    let told = asked.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    let installed = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut places: Vec<PathBuf> = installed.map(|version| version.path().join("bin")).collect();
    places.sort();
    let has_server = |place: &PathBuf| Path::new(place).join("initdb").is_file();
    told.into_iter()
        .chain(places.into_iter().rev())
        .find(has_server)
        .expect("the tests need PostgreSQL's server binaries (apt install postgresql), or TEST_DATABASE_URL")
}
