//! Secrets that the instances of one database share.

use sea_orm::sea_query::OnConflict;
use sea_orm::{ActiveValue::Set, EntityTrait};

use super::connect::Store;
use super::entity::server_secrets;
use super::error::StoreError;

/// What a secret is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretName {
    /// Signs the ids of reservations.
    Tickets,
    /// Seals what is kept or handed out; see [`SealKey`](super::SealKey).
    Seals,
    /// The hash of the master key that was made at the first start.
    MasterKeyHash,
}

impl SecretName {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Tickets => "tickets",
            Self::Seals => "seals",
            Self::MasterKeyHash => "master_key_hash",
        }
    }
}

impl Store {
    /// The secret that is stored, or else this one, which is stored now. Of
    /// several instances that start at once all get the same. Says whether it
    /// was this one.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn secret_or(&self, name: SecretName, fresh: String) -> Result<(String, bool), StoreError> {
        let row = server_secrets::ActiveModel { name: Set(name.as_str().to_owned()), value: Set(fresh.clone()) };
        server_secrets::Entity::insert(row)
            .on_conflict(OnConflict::new().do_nothing().to_owned())
            .try_insert()
            .exec_without_returning(self.writer())
            .await?;
        let stored = server_secrets::Entity::find_by_id(name.as_str()).one(self.writer()).await?;
        let value = stored.ok_or_else(|| StoreError::Broken("a secret vanished".to_owned()))?.value;
        let is_fresh = value == fresh;
        Ok((value, is_fresh))
    }
}
