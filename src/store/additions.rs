//! Additions: keys for which nothing must be locked. Those that are made at the
//! same moment are written in one transaction, each with its audit entry: they
//! share its commit, and do not queue for the end of the audit log one by one.

use parking_lot::Mutex;
use sea_orm::{DatabaseTransaction, EntityTrait};
use tokio::sync::{Mutex as Turn, oneshot};

use super::audit::{self, Unwritten};
use super::connect::Store;
use super::entity::keys;
use super::error::StoreError;
use super::evictions::Eviction;
use super::idempotency::{self, IdempotencyRecord};
use super::key_hashes;
use super::key_rows::to_row;
use super::keys::created;
use super::tx::Committed;
use crate::domain::audit::{Author, Change};
use crate::domain::clock::Timestamp;
use crate::domain::key::Key;
use crate::domain::secret::KeyHash;

/// How many are written together, at most.
const MOST: usize = 64;

/// A key that is made.
#[derive(Clone, Debug)]
pub struct Addition {
    /// The key: in no team, and without a tier.
    pub key: Key,
    /// The answer that is kept for a retry, if one is.
    pub record: Option<IdempotencyRecord>,
    /// Who makes it.
    pub author: Author,
    /// When it is made.
    pub now: Timestamp,
}

/// What waits to be written.
#[derive(Debug, Default)]
pub(super) struct Additions {
    waiting: Mutex<Vec<Waiting>>,
    /// Whoever has it writes.
    turn: Turn<()>,
}

type Outcome = Result<(), StoreError>;

#[derive(Debug)]
struct Waiting {
    addition: Addition,
    tell: oneshot::Sender<Outcome>,
}

impl Store {
    /// Adds a key, together with those that others add meanwhile. To be waited
    /// for to its end: others may rely on it.
    ///
    /// # Errors
    /// [`StoreError::Taken`] if its alias, its hash or the id of its request is;
    /// [`StoreError::Reference`] if its user is gone.
    pub async fn add_key(&self, addition: Addition) -> Result<Committed, StoreError> {
        let hash = addition.key.key_hash;
        let (tell, told) = oneshot::channel();
        self.additions().waiting.lock().push(Waiting { addition, tell });
        let turn = self.additions().turn.lock().await;
        // Whoever had the turn before may have written this one, too.
        while told.is_empty() && self.write_waiting().await {}
        drop(turn);
        let given_up = |_| Err(StoreError::Unavailable("an addition was given up".to_owned()));
        told.await
            .unwrap_or_else(given_up)
            .map(|()| Committed { evictions: vec![Eviction::Key(hash)], balances: Vec::new() })
    }

    /// Writes those that have waited longest, if any wait.
    async fn write_waiting(&self) -> bool {
        let batch: Vec<Waiting> = {
            let mut waiting = self.additions().waiting.lock();
            let most = MOST.min(waiting.len());
            waiting.drain(..most).collect()
        };
        if batch.is_empty() {
            return false;
        }
        let all: Vec<&Addition> = batch.iter().map(|one| &one.addition).collect();
        match self.write(&all).await {
            // Which one is wrong is known when each is written by itself.
            Err(error) if batch.len() > 1 && !matches!(error, StoreError::Unavailable(_)) => {
                for one in batch {
                    let outcome = self.write(&[&one.addition]).await;
                    one.tell(outcome);
                }
            }
            outcome => batch.into_iter().for_each(|one| one.tell(outcome.clone())),
        }
        true
    }

    async fn write(&self, additions: &[&Addition]) -> Outcome {
        let transaction = self.begin_raw().await?;
        insert(&transaction, additions).await?;
        let changes: Vec<Change> = additions.iter().map(|one| created(&one.key)).collect();
        let entries: Vec<Unwritten<'_>> = additions
            .iter()
            .zip(&changes)
            .map(|(one, change)| Unwritten { author: &one.author, now: one.now, change })
            .collect();
        audit::append(&transaction, &entries).await?;
        Ok(transaction.commit().await?)
    }
}

impl Waiting {
    fn tell(self, outcome: Outcome) {
        // Who is gone needs no answer.
        let _ = self.tell.send(outcome);
    }
}

async fn insert(transaction: &DatabaseTransaction, additions: &[&Addition]) -> Outcome {
    let rows = additions.iter().map(|one| to_row(&one.key)).collect::<Result<Vec<_>, _>>()?;
    keys::Entity::insert_many(rows).exec_without_returning(transaction).await?;
    let hashes: Vec<KeyHash> = additions.iter().map(|one| one.key.key_hash).collect();
    key_hashes::check_unused(transaction, &hashes).await?;
    let records = additions.iter().filter_map(|one| one.record.clone()).collect();
    idempotency::insert(transaction, records).await
}
