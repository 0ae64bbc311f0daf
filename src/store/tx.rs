//! Transactions of management: the change, and the entry that says who made it.

use sea_orm::DatabaseTransaction;

use super::audit;
use super::balances::{Balance, BalanceKey};
use super::error::StoreError;
use super::evictions::Eviction;
use super::view::View;
use crate::domain::audit::{Author, Change};
use crate::domain::clock::Timestamp;

/// An open change. Dropped without [`Tx::commit`] nothing of it happens.
pub struct Tx {
    pub(super) inner: DatabaseTransaction,
    author: Author,
    now: Timestamp,
    changes: Vec<Change>,
    evictions: Vec<Eviction>,
    balances: Vec<(BalanceKey, Balance)>,
}

/// What a committed change leaves to do.
#[derive(Debug, Default)]
#[must_use = "what was changed must be evicted from memory before the caller is answered"]
pub struct Committed {
    /// What is stale in memory now.
    pub evictions: Vec<Eviction>,
    /// Balances that were set, as they are now.
    pub balances: Vec<(BalanceKey, Balance)>,
}

impl Tx {
    pub(super) fn new(inner: DatabaseTransaction, author: Author, now: Timestamp) -> Self {
        Self { inner, author, now, changes: Vec::new(), evictions: Vec::new(), balances: Vec::new() }
    }

    /// A view of what the change sees.
    pub fn view(&self) -> View<'_> {
        View::of_transaction(&self.inner)
    }

    /// When the change is made.
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Who makes it.
    pub const fn author(&self) -> &Author {
        &self.author
    }

    /// Adds an entry to the audit log.
    pub(super) fn record(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// Marks something in memory as stale.
    pub(super) fn evict(&mut self, eviction: Eviction) {
        self.evictions.push(eviction);
    }

    /// Remembers balances that the change set.
    pub(super) fn moved(&mut self, balances: impl IntoIterator<Item = (BalanceKey, Balance)>) {
        self.balances.extend(balances);
    }

    /// Makes the change durable, with its audit entries.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing of it has happened, unless the connection
    /// broke while the answer was on its way.
    pub async fn commit(self) -> Result<Committed, StoreError> {
        audit::append(&self.inner, &self.author, self.now, &self.changes).await?;
        self.inner.commit().await?;
        Ok(Committed { evictions: self.evictions, balances: self.balances })
    }
}
