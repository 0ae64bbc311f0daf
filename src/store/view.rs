//! Views: where a read looks.

use sea_orm::{DatabaseConnection, DatabaseExecutor, DatabaseTransaction, DbBackend};

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
