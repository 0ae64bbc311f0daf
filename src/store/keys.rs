//! Keys: reads and changes.

use std::collections::HashMap;

use sea_orm::{ColumnTrait, Condition, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect};

use super::entity::keys;
use super::error::{StoreError, one_row};
use super::evictions::Eviction;
use super::key_hashes;
use super::key_list::in_state;
use super::key_rows::{parse_key_id, to_key, to_row};
use super::tx::Tx;
use super::view::View;
use crate::domain::audit::{Action, Change, ObjectType};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{KeyId, TeamId, UserId};
use crate::domain::key::{Key, KeyState};
use crate::domain::secret::KeyHash;

impl View<'_> {
    /// The live key that has a hash, or had it.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn find_key(&self, hash: &KeyHash) -> Result<Option<Key>, StoreError> {
        let query = keys::Entity::find().filter(key_hashes::live(std::slice::from_ref(hash)));
        query.one(&self.executor()).await?.map(to_key).transpose()
    }

    /// The live key with an id.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn find_key_by_id(&self, id: KeyId) -> Result<Option<Key>, StoreError> {
        keys::Entity::find_by_id(id.to_string()).one(&self.executor()).await?.map(to_key).transpose()
    }

    /// The ids of some keys that are to be rotated now, behind one of them.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn keys_due(&self, now: Timestamp, after: Option<KeyId>, most: u64) -> Result<Vec<KeyId>, StoreError> {
        let wanted = in_state(KeyState::Active, now)
            .add(keys::Column::NextRotationAt.lte(now.micros()))
            .add_option(after.map(|after| keys::Column::KeyId.gt(after.to_string())));
        let ids: Vec<String> = keys::Entity::find()
            .select_only()
            .column(keys::Column::KeyId)
            .filter(wanted)
            .order_by_asc(keys::Column::KeyId)
            .limit(most)
            .into_tuple()
            .all(&self.executor())
            .await?;
        ids.iter().map(|id| parse_key_id(id)).collect()
    }

    /// Some of the keys that had expired by an instant, the first to expire first,
    /// behind one of them.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn keys_expired_by(
        &self,
        instant: Timestamp,
        after: Option<&Key>,
        most: u64,
    ) -> Result<Vec<Key>, StoreError> {
        use keys::Column;
        let behind = after.and_then(|after| Some((after.expires_at?.micros(), after.key_id.to_string())));
        let behind = behind.map(|(at, id)| {
            let same = Condition::all().add(Column::ExpiresAt.eq(at)).add(Column::KeyId.gt(id));
            Condition::any().add(Column::ExpiresAt.gt(at)).add(same)
        });
        let wanted = Condition::all().add(Column::ExpiresAt.lte(instant.micros())).add_option(behind);
        let query = keys::Entity::find().filter(wanted);
        let query = query.order_by_asc(Column::ExpiresAt).order_by_asc(Column::KeyId).limit(most);
        query.all(&self.executor()).await?.into_iter().map(to_key).collect()
    }

    /// Some of the active keys of a team in the order of their ids, behind one.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn active_keys_of(
        &self,
        team: &TeamId,
        after: Option<KeyId>,
        most: u64,
        now: Timestamp,
    ) -> Result<Vec<Key>, StoreError> {
        let wanted = in_state(KeyState::Active, now)
            .add(keys::Column::TeamId.eq(team.as_str()))
            .add_option(after.map(|after| keys::Column::KeyId.gt(after.to_string())));
        let query = keys::Entity::find().filter(wanted).order_by_asc(keys::Column::KeyId).limit(most);
        query.all(&self.executor()).await?.into_iter().map(to_key).collect()
    }

    /// How many live keys each of these users has; none is left out.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn key_counts(&self, users: &[UserId]) -> Result<HashMap<UserId, i64>, StoreError> {
        #[derive(FromQueryResult)]
        struct Count {
            user_id: String,
            count: i64,
        }
        if users.is_empty() {
            return Ok(HashMap::new());
        }
        let counts = keys::Entity::find()
            .select_only()
            .column(keys::Column::UserId)
            .column_as(keys::Column::KeyId.count(), "count")
            .filter(keys::Column::UserId.is_in(users.iter().map(UserId::as_str)))
            .group_by(keys::Column::UserId)
            .into_model::<Count>()
            .all(&self.executor())
            .await?;
        Ok(counts.into_iter().map(|row| (UserId::stored(row.user_id), row.count)).collect())
    }
}

impl Tx {
    /// Adds a key.
    ///
    /// # Errors
    /// [`StoreError::Taken`] if its alias is, or its hash, also by a key that
    /// has it no more.
    pub async fn insert_key(&mut self, key: &Key) -> Result<(), StoreError> {
        keys::Entity::insert(to_row(key)?).exec_without_returning(&self.inner).await?;
        key_hashes::check_unused(&self.inner, std::slice::from_ref(&key.key_hash)).await?;
        self.record(created(key));
        self.evict(Eviction::Key(key.key_hash));
        Ok(())
    }

    /// Changes a key, perhaps with another secret; `after` gets its new version.
    ///
    /// # Errors
    /// [`StoreError::Stale`] if somebody else changed it, and
    /// [`StoreError::Taken`] if its new alias or hash is taken.
    pub async fn update_key(&mut self, before: &Key, after: &mut Key) -> Result<(), StoreError> {
        let Some(change) = Change::updated(ObjectType::Key, before.key_id, before, after) else { return Ok(()) };
        after.version = before.version + 1;
        after.updated_at = self.now();
        let updated = keys::Entity::update_many()
            .set(to_row(after)?)
            .filter(keys::Column::KeyId.eq(before.key_id.to_string()))
            .filter(keys::Column::Version.eq(before.version))
            .exec(&self.inner)
            .await?;
        one_row(updated.rows_affected)?;
        let is_rotated = after.rotation.count != before.rotation.count;
        if is_rotated {
            self.remember_hash(before).await?;
            key_hashes::check_unused(&self.inner, std::slice::from_ref(&after.key_hash)).await?;
        }
        let action = if is_rotated { Action::Rotate } else { Action::of_update(before.blocked, after.blocked) };
        let team = after.team_id.as_ref().or(before.team_id.as_ref());
        self.record(change.named(action).of_team(team));
        for hash in before.hashes().chain(after.hashes()) {
            self.evict(Eviction::Key(hash));
        }
        Ok(())
    }

    /// Moves a key to the archive.
    ///
    /// # Errors
    /// [`StoreError::Stale`] if it is not live any more, or was changed: the
    /// archive, and whoever has it in memory, must learn of the secret it had last.
    pub async fn delete_key(&mut self, key: &Key) -> Result<(), StoreError> {
        let deleted = keys::Entity::delete_many()
            .filter(keys::Column::KeyId.eq(key.key_id.to_string()))
            .filter(keys::Column::Version.eq(key.version))
            .exec(&self.inner)
            .await?;
        one_row(deleted.rows_affected)?;
        self.archive_key(key).await?;
        self.record(Change::deleted(ObjectType::Key, key.key_id, key).of_team(key.team_id.as_ref()));
        for hash in key.hashes() {
            self.evict(Eviction::Key(hash));
        }
        Ok(())
    }

    /// Locks every live key of a user, or of a team, or of a user in a team, until
    /// the end of the transaction, and reads them.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub(super) async fn lock_keys_of(
        &self,
        user: Option<&UserId>,
        team: Option<&TeamId>,
    ) -> Result<Vec<Key>, StoreError> {
        let query = keys::Entity::find()
            .filter(
                Condition::all()
                    .add_option(user.map(|user| keys::Column::UserId.eq(user.as_str())))
                    .add_option(team.map(|team| keys::Column::TeamId.eq(team.as_str()))),
            )
            .order_by_asc(keys::Column::KeyId);
        query.lock_exclusive().all(&self.inner).await?.into_iter().map(to_key).collect()
    }

    /// Locks the live keys that have these hashes, or had them, or have these
    /// aliases, until the end of the transaction, and reads them; unknown ones
    /// are left out.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn lock_keys(&mut self, hashes: &[KeyHash], aliases: &[String]) -> Result<Vec<Key>, StoreError> {
        let query = keys::Entity::find().filter(named(hashes, aliases)).order_by_asc(keys::Column::KeyId);
        let rows = query.lock_exclusive().all(&self.inner).await?;
        rows.into_iter().map(to_key).collect()
    }
}

/// That a key was made, for the audit log.
pub(super) fn created(key: &Key) -> Change {
    Change::created(ObjectType::Key, key.key_id, key).of_team(key.team_id.as_ref())
}

/// Keys that have one of these hashes, or had it, or have one of these aliases.
pub(super) fn named(hashes: &[KeyHash], aliases: &[String]) -> Condition {
    Condition::any()
        .add_option((!hashes.is_empty()).then(|| key_hashes::live(hashes)))
        .add_option((!aliases.is_empty()).then(|| keys::Column::KeyAlias.is_in(aliases)))
}
