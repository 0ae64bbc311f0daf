//! The keys that sign sessions: the newest signs, all of them verify.

use std::fmt;

use sea_orm::{ActiveValue::Set, EntityTrait, QueryOrder};
use serde::Serialize;

use super::entity::session_keys;
use super::error::StoreError;
use super::tx::Tx;
use super::view::View;
use crate::domain::audit::{Change, ObjectType};
use crate::domain::clock::Timestamp;

/// A key that signs sessions.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct SessionKey {
    /// Names it in tokens.
    pub kid: String,
    /// The key pair; never shown.
    #[serde(skip)]
    pub secret: String,
    /// When it was made.
    pub created_at: Timestamp,
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionKey({})", self.kid)
    }
}

impl View<'_> {
    /// Every key that signs sessions, the newest first.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn session_keys(&self) -> Result<Vec<SessionKey>, StoreError> {
        let rows = session_keys::Entity::find()
            .order_by_desc(session_keys::Column::CreatedAt)
            .order_by_desc(session_keys::Column::Kid)
            .all(&self.executor())
            .await?;
        let key = |row: session_keys::Model| SessionKey {
            kid: row.kid,
            secret: row.secret,
            created_at: Timestamp::from_micros(row.created_at),
        };
        Ok(rows.into_iter().map(key).collect())
    }
}

impl Tx {
    /// Adds a key, which signs from now on.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn insert_session_key(&mut self, key: &SessionKey) -> Result<(), StoreError> {
        let row = session_keys::ActiveModel {
            kid: Set(key.kid.clone()),
            secret: Set(key.secret.clone()),
            created_at: Set(key.created_at.micros()),
        };
        session_keys::Entity::insert(row).exec_without_returning(&self.inner).await?;
        self.record(Change::created(ObjectType::SessionKey, &key.kid, key));
        Ok(())
    }

    /// Removes a key: what it signed is no credential any more.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn delete_session_key(&mut self, key: &SessionKey) -> Result<(), StoreError> {
        session_keys::Entity::delete_by_id(key.kid.as_str()).exec(&self.inner).await?;
        self.record(Change::deleted(ObjectType::SessionKey, &key.kid, key));
        Ok(())
    }
}
