//! Views: where a read looks.

use sea_orm::{
    AccessMode, ConnectionTrait, DatabaseConnection, DatabaseExecutor, DatabaseTransaction, DbBackend, IsolationLevel,
    TransactionTrait,
};

use super::connect::Store;
use super::error::StoreError;

/// What is committed, or what an open transaction sees. Queries are methods of
/// it, in the files of their tables.
#[derive(Clone, Copy)]
pub struct View<'a> {
    source: Source<'a>,
    backend: DbBackend,
}

#[derive(Clone, Copy)]
enum Source<'a> {
    Pool(&'a DatabaseConnection),
    Transaction(&'a DatabaseTransaction),
}

impl<'a> View<'a> {
    pub(super) fn of_pool(pool: &'a DatabaseConnection) -> Self {
        Self { source: Source::Pool(pool), backend: pool.get_database_backend() }
    }

    pub(super) fn of_transaction(transaction: &'a DatabaseTransaction) -> Self {
        use sea_orm::ConnectionTrait;
        Self { source: Source::Transaction(transaction), backend: transaction.get_database_backend() }
    }

    pub(super) fn executor(&self) -> DatabaseExecutor<'a> {
        match self.source {
            Source::Pool(pool) => pool.into(),
            Source::Transaction(transaction) => transaction.into(),
        }
    }

    pub(super) const fn backend(&self) -> DbBackend {
        self.backend
    }
}

/// One state of the database, for reads that must agree with each other.
#[derive(Debug)]
pub struct Snapshot(pub(super) DatabaseTransaction);

impl Snapshot {
    /// What it sees.
    #[must_use]
    pub fn view(&self) -> View<'_> {
        View::of_transaction(&self.0)
    }
}

impl Store {
    /// What is committed now, and nothing that comes later.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        self.present()?;
        let readers = self.readers();
        Ok(Snapshot(match readers.get_database_backend() {
            DbBackend::Postgres => {
                let (level, access) = (Some(IsolationLevel::RepeatableRead), Some(AccessMode::ReadOnly));
                let transaction = readers.begin_with_config(level, access).await?;
                // Who reads all of a large table takes long.
                transaction.execute_unprepared("SET LOCAL statement_timeout = 0").await?;
                transaction
            }
            _ => readers.begin().await?,
        }))
    }
}
