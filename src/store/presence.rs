//! Presence: whether the database is there. It is looked for on connections that
//! nobody else uses, so that a busy one is not taken for a missing one; while it is
//! away everybody is told at once, and nobody waits for a connection.

use std::time::Duration;

use super::connect::Store;
use super::error::StoreError;
use super::view::View;

/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

impl Store {
    /// Looks for the database, and remembers whether it is there.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if it is not, or does not answer in time.
    pub async fn look(&self) -> Result<(), StoreError> {
        let answered = match tokio::time::timeout(PATIENCE, self.lookout().ping()).await {
            Ok(answered) => answered.map_err(StoreError::from),
            Err(_) => Err(StoreError::Unavailable("it does not answer".to_owned())),
        };
        self.away().send_replace(answered.is_err());
        answered
    }

    /// Whether the database was not there when it was last looked for.
    pub fn is_away(&self) -> bool {
        *self.away().borrow()
    }

    /// A view of what is committed, unless the database is known to be away.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if it is.
    pub fn present(&self) -> Result<View<'_>, StoreError> {
        if self.is_away() { Err(away_now()) } else { Ok(self.view()) }
    }

    /// Waits for something that only the database can do, for as long as it is not
    /// known to be away. What is given up must not matter.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if it goes away.
    pub async fn while_present<T, E: From<StoreError>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let mut away = self.away().subscribe();
        tokio::select! {
            done = work => done,
            _ = away.wait_for(|away| *away) => Err(away_now().into()),
        }
    }
}

fn away_now() -> StoreError {
    StoreError::Unavailable("it is away".to_owned())
}
