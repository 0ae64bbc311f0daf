//! The bell: instances on one PostgreSQL tell each other that the change feed has
//! something new. It is a hint and may be missed: what changed stands in the feed,
//! which everybody reads again and again.

use std::time::Duration;

use sea_orm::sqlx::Error as SqlxError;
use sea_orm::sqlx::postgres::{PgListener, PgPoolOptions};
use sea_orm::{ConnectionTrait, DbBackend};

use super::connect::Store;
use super::error::StoreError;

/// The channel of PostgreSQL on which it rings.
const CHANNEL: &str = "bursar_changes";

/// How long a listener tries to connect.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Somebody who listens.
pub struct Listener {
    bell: PgListener,
    /// Whose own ringing it does not hear.
    ringer: String,
}

impl Store {
    /// Rings for the other instances; on SQLite there are none.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails; then they hear a little later.
    pub async fn ring(&self) -> Result<(), StoreError> {
        if self.writer().get_database_backend() == DbBackend::Postgres {
            self.writer().execute_unprepared(&format!("NOTIFY {CHANNEL}, '{}'", self.ringer())).await?;
        }
        Ok(())
    }

    /// Listens for the other instances, on a connection of its own; `None` on
    /// SQLite.
    ///
    /// # Errors
    /// [`StoreError`] if the database can't be reached.
    pub async fn listen(&self) -> Result<Option<Listener>, StoreError> {
        if self.writer().get_database_backend() != DbBackend::Postgres {
            return Ok(None);
        }
        let options = self.writer().get_postgres_connection_pool().connect_options();
        let one = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
        let pool = one.acquire_timeout(CONNECT_TIMEOUT).connect_lazy_with((*options).clone());
        let mut listener = PgListener::connect_with(&pool).await.map_err(unheard)?;
        listener.listen(CHANNEL).await.map_err(unheard)?;
        Ok(Some(Listener { bell: listener, ringer: self.ringer().to_string() }))
    }
}

impl Listener {
    /// Waits until somebody else rings the bell, or may have rung it unheard because the connection
    /// was lost and made anew.
    ///
    /// # Errors
    /// [`StoreError`] if the connection is lost for good.
    pub async fn heard(&mut self) -> Result<(), StoreError> {
        loop {
            let rung = self.bell.try_recv().await.map_err(unheard)?;
            if rung.is_none_or(|rung| rung.payload() != self.ringer) {
                return Ok(());
            }
        }
    }
}

fn unheard(error: SqlxError) -> StoreError {
    StoreError::Unavailable(error.to_string())
}
