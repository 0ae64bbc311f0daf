//! Connecting: one file of SQLite, or PostgreSQL.

use std::fs::OpenOptions;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bursar_migrations::Migrator;
use sea_orm::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sea_orm::{
    ConnectOptions as SeaOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, DbBackend,
    SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait,
};
use sea_orm_migration::MigratorTrait;
use tokio::sync::watch;
use uuid::Uuid;

use super::additions::Additions;
use super::alerts::Telling;
use super::error::StoreError;
use super::partitions::Known;
use super::tx::Tx;
use super::view::View;
use crate::domain::audit::Author;
use crate::domain::clock::Timestamp;
use crate::domain::ids::new_uuid;

/// Readers of one SQLite file.
const SQLITE_READERS: u32 = 8;

/// How long a write waits for another process that writes to the same file.
const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Any number will do, as long as every version of Bursar takes the same.
const MIGRATION_LOCK: i64 = 0x6275_7273_6172;

/// How to connect.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// `sqlite://path?mode=rwc` or `postgres://…`.
    pub url: String,
    /// The most connections to PostgreSQL.
    pub max_connections: u32,
    /// How long a request waits for a connection.
    pub acquire_timeout: Duration,
    /// PostgreSQL cancels statements that take longer.
    pub statement_timeout: Duration,
}

/// How many connections there are for something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolStatus {
    /// For what.
    pub name: &'static str,
    /// Those that wait for work.
    pub idle: u32,
    /// Those that have some.
    pub used: u32,
}

impl PoolStatus {
    fn new(name: &'static str, size: u32, idle: usize) -> Self {
        let idle = u32::try_from(idle).unwrap_or(u32::MAX);
        Self { name, idle, used: size.saturating_sub(idle) }
    }
}

/// Connections to PostgreSQL for whoever looks whether it is there: one that is
/// stuck must not be the only one.
const LOOKOUTS: u32 = 2;

/// The database.
#[derive(Clone, Debug)]
pub struct Store {
    readers: DatabaseConnection,
    /// On SQLite a single connection: writers queue for it in order, instead
    /// of failing with "database is locked".
    writer: DatabaseConnection,
    /// For whoever looks whether the database is there.
    lookout: DatabaseConnection,
    away: Arc<watch::Sender<bool>>,
    statements: Arc<AtomicU64>,
    partitions: Known,
    additions: Arc<Additions>,
    telling: Option<Arc<Telling>>,
    shares_clock: bool,
    /// Its name among those that ring the bell.
    ringer: Uuid,
}

impl Store {
    /// Connects, without touching the tables.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the database can't be reached.
    pub async fn connect(options: &ConnectOptions) -> Result<Self, StoreError> {
        let statements = Arc::new(AtomicU64::new(0));
        let open = async |size: u32| -> Result<DatabaseConnection, StoreError> {
            let mut connection = Database::connect(sea_options(options, size)).await?;
            let counter = Arc::clone(&statements);
            connection.set_metric_callback(move |_| {
                counter.fetch_add(1, Ordering::Relaxed);
            });
            Ok(connection)
        };
        let (readers, writer, lookout) = if options.url.starts_with("sqlite:") {
            make_private_file(&options.url);
            let writer = open(1).await?;
            let readers = open(SQLITE_READERS).await?;
            (readers.clone(), writer, readers)
        } else {
            let pool = open(options.max_connections).await?;
            (pool.clone(), pool, open(LOOKOUTS).await?)
        };
        Ok(Self {
            readers,
            writer,
            lookout,
            away: Arc::default(),
            statements,
            partitions: Known::default(),
            additions: Arc::default(),
            telling: None,
            shares_clock: false,
            ringer: new_uuid(),
        })
    }

    /// Connects to a database that must be there, with its tables.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if it is not there or can't be reached.
    pub async fn connect_existing(options: &ConnectOptions) -> Result<Self, StoreError> {
        let options = ConnectOptions { url: options.url.replace("mode=rwc", "mode=rw"), ..options.clone() };
        let store = Self::connect(&options).await.map_err(|error| {
            let file = SqliteConnectOptions::from_str(&options.url).map(|sqlite| sqlite.get_filename().to_owned());
            match file {
                Ok(file) => StoreError::Unavailable(format!("is there a database at {}? {error}", file.display())),
                Err(_) => error,
            }
        })?;
        if store.steps_behind().await? == 0 {
            return Ok(store);
        }
        Err(StoreError::Unavailable("its tables are missing or of an earlier version; run `bursar migrate`".to_owned()))
    }

    /// How many steps its tables are behind this binary. Looks only: a strange
    /// database stays as it is.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn steps_behind(&self) -> Result<usize, StoreError> {
        let sql = match self.writer.get_database_backend() {
            DbBackend::Postgres => "SELECT count(*) FROM pg_class WHERE oid = to_regclass('seaql_migrations')",
            _ => "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'seaql_migrations'",
        };
        let statement = Statement::from_string(self.writer.get_database_backend(), sql);
        let row = self.writer.query_one_raw(statement).await?;
        let found: i64 =
            row.ok_or_else(|| StoreError::Broken("a count without a row".to_owned()))?.try_get_by_index(0)?;
        if found == 0 {
            return Ok(Migrator::migrations().len());
        }
        Ok(Migrator::get_pending_migrations(&self.writer).await?.len())
    }

    /// Brings the tables up to date, under a lock: of several instances that
    /// start at once one does it and the others wait.
    ///
    /// # Errors
    /// [`StoreError`] if a step fails; then none of them has happened.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let transaction = self.begin_raw().await?;
        if transaction.get_database_backend() == DbBackend::Postgres {
            // A step may take long on a large table, and so may waiting for the one who does it.
            transaction.execute_unprepared("SET LOCAL statement_timeout = 0").await?;
            transaction.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({MIGRATION_LOCK})")).await?;
        }
        Migrator::up(&transaction, None).await?;
        Ok(transaction.commit().await?)
    }

    /// The same database, whose changes of balances tell of budgets.
    #[must_use]
    pub fn telling(self, telling: Telling) -> Self {
        Self { telling: Some(Arc::new(telling)), ..self }
    }

    /// The same database, whose clock says when leases expire: for instances that
    /// have the time from machines of their own.
    #[must_use]
    pub fn sharing_its_clock(self) -> Self {
        Self { shares_clock: true, ..self }
    }

    pub(super) const fn ringer(&self) -> Uuid {
        self.ringer
    }

    pub(super) const fn shares_clock(&self) -> bool {
        self.shares_clock
    }

    /// A view of what is committed.
    pub fn view(&self) -> View<'_> {
        View::of_pool(&self.readers)
    }

    /// Begins a change that `author` makes at `now`.
    ///
    /// # Errors
    /// [`StoreError`] if no transaction can be begun.
    pub async fn begin(&self, author: Author, now: Timestamp) -> Result<Tx, StoreError> {
        Ok(Tx::new(self.begin_raw().await?, author, now, self.telling.clone()))
    }

    /// Begins a transaction that may write at once.
    pub(super) async fn begin_raw(&self) -> Result<DatabaseTransaction, StoreError> {
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        self.while_present(async { Ok(self.writer.begin_with_options(options).await?) }).await
    }

    /// What is told of budgets.
    pub(super) fn told(&self) -> Option<&Telling> {
        self.telling.as_deref()
    }

    /// The keys that wait to be added.
    pub(super) fn additions(&self) -> &Additions {
        &self.additions
    }

    /// The partitions that are known.
    pub(super) const fn partitions(&self) -> &Known {
        &self.partitions
    }

    /// The connection for reads.
    pub(super) const fn readers(&self) -> &DatabaseConnection {
        &self.readers
    }

    /// The connection for single statements that write.
    pub(super) const fn writer(&self) -> &DatabaseConnection {
        &self.writer
    }

    pub(super) const fn lookout(&self) -> &DatabaseConnection {
        &self.lookout
    }

    pub(super) fn away(&self) -> &watch::Sender<bool> {
        &self.away
    }

    /// How many statements were sent since the start: for tests that promise
    /// to send none.
    pub fn statements(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }

    /// Asks the database whether it is there.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if it does not answer.
    pub async fn ping(&self) -> Result<(), StoreError> {
        Ok(self.readers.ping().await?)
    }

    /// How many connections there are.
    pub fn pools(&self) -> Vec<PoolStatus> {
        if self.writer.get_database_backend() == DbBackend::Postgres {
            let pool = self.writer.get_postgres_connection_pool();
            return vec![PoolStatus::new("all", pool.size(), pool.num_idle())];
        }
        let of = |name, connection: &DatabaseConnection| {
            let pool = connection.get_sqlite_connection_pool();
            PoolStatus::new(name, pool.size(), pool.num_idle())
        };
        vec![of("readers", &self.readers), of("writer", &self.writer)]
    }

    /// Closes every connection.
    ///
    /// # Errors
    /// [`StoreError`] if one can't be closed.
    pub async fn close(self) -> Result<(), StoreError> {
        self.lookout.close().await?;
        self.readers.close().await?;
        Ok(self.writer.close().await?)
    }
}

/// Makes the file of a new SQLite database readable by its owner only, as are
/// then the files that SQLite puts beside it.
fn make_private_file(url: &str) {
    use std::os::unix::fs::OpenOptionsExt;
    let Ok(sqlite) = SqliteConnectOptions::from_str(url) else { return };
    if url.contains("mode=rwc") {
        // Whatever goes wrong here, connecting will tell.
        let _ = OpenOptions::new().write(true).create_new(true).mode(0o600).open(sqlite.get_filename());
    }
}

/// Settings of PostgreSQL's sessions. Every statement is short: compiling it, or
/// sharing it with workers, takes longer than running it. The sums of some ten
/// thousand parts of a report fit into this memory; sorting them instead takes
/// several times as long.
const FOR_SHORT_STATEMENTS: [(&str, &str); 3] =
    [("jit", "off"), ("max_parallel_workers_per_gather", "0"), ("work_mem", "16MB")];

fn sea_options(options: &ConnectOptions, size: u32) -> SeaOptions {
    let mut sea = SeaOptions::new(options.url.clone());
    sea.max_connections(size)
        .acquire_timeout(options.acquire_timeout)
        .connect_timeout(options.acquire_timeout)
        .max_lifetime(Duration::from_mins(30))
        // Asking each connection whether it lives costs more than most queries; those
        // that an outage killed were idle meanwhile.
        .test_before_acquire_if_idle_for(Duration::from_secs(1))
        .sqlx_logging(false)
        .map_sqlx_sqlite_opts(|sqlite| {
            sqlite
                .journal_mode(SqliteJournalMode::Wal)
                // With FULL a commit survives a power cut, with NORMAL it need not.
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(SQLITE_BUSY_TIMEOUT)
                .foreign_keys(true)
        });
    if !options.url.starts_with("sqlite:") {
        sea.statement_timeout(options.statement_timeout);
        sea.map_sqlx_postgres_opts(|postgres| postgres.options(FOR_SHORT_STATEMENTS));
    }
    sea
}
