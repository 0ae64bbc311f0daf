//! Keys: rows, reads and changes.

use std::collections::HashMap;

use sea_orm::sea_query::{Expr, ExprTrait, SimpleExpr};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, DbBackend, EntityTrait, FromQueryResult, QueryFilter, QueryOrder,
    QuerySelect, QueryTrait, Select,
};
use uuid::Uuid;

use super::balances::{Spend, WithSpend, last_used, select_with_spend, spend_in_window};
use super::dialect::has_entry;
use super::entity::{keys, teams};
use super::error::{StoreError, one_row};
use super::evictions::Eviction;
use super::json::{from_text, to_text, word};
use super::key_hashes;
use super::limits::budget;
use super::page::{Cursor, Order, Page, PageRequest, SortKey, count, rows};
use super::reach;
use super::tx::Tx;
use super::users::contains;
use super::view::View;
use crate::domain::account::Scope;
use crate::domain::audit::{Action, Change, ObjectType};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{BudgetId, KeyId, OrganizationId, TeamId, UserId};
use crate::domain::key::{Key, KeyState, KeyType};
use crate::domain::key_limits::KeyLimits;
use crate::domain::limit::{ModelRates, Rates};
use crate::domain::money::Usd;
use crate::domain::role::MemberPermission;
use crate::domain::rotation::Rotation;
use crate::domain::secret::KeyHash;
use crate::domain::tier::Tier;

/// The columns that keys can be ordered by.
pub const SORTABLE: [SortKey; 8] = [
    SortKey::number("created_at"),
    SortKey::number("updated_at"),
    SortKey::text("key_alias").or_null(),
    SortKey::number("max_budget").or_null(),
    SortKey::number("expires_at").or_null(),
    SortKey::number("spend"),
    SortKey::text("key_hash"),
    SortKey::number("last_used_at").or_null(),
];

/// A key with what it spent.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredKey {
    /// The key.
    pub key: Key,
    /// What it spent.
    pub spend: Spend,
    /// The organization of its team.
    pub organization_id: Option<OrganizationId>,
    /// Its tier.
    pub tier: Option<Tier>,
}

/// A row, with what else is shown of a key.
#[derive(FromQueryResult)]
struct Row {
    #[sea_orm(nested)]
    key: WithSpend<keys::Model>,
    team_organization_id: Option<String>,
}

/// Which keys a list shows. Empty filters do not filter.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields are those of ListKeysRequest")]
pub struct KeyFilter {
    pub user_id: Option<UserId>,
    pub team_id: Option<TeamId>,
    pub organization_id: Option<OrganizationId>,
    pub key_alias: Option<String>,
    pub key_alias_contains: String,
    pub key_hash: Option<KeyHash>,
    pub key_type: Option<KeyType>,
    pub state: Option<KeyState>,
    /// Its hash, or part of its alias.
    pub search: String,
    pub created_by: String,
    pub budget_id: Option<BudgetId>,
    pub tag: String,
    pub model: String,
    pub service_accounts_only: bool,
    /// Whether it has an alias.
    pub has_alias: bool,
    pub expires: InstantRange,
    pub created: InstantRange,
    /// With `user_id`: also the keys of the teams that this user manages.
    pub include_team_keys: bool,
    /// What the caller may see.
    pub visible_to: KeyScope,
}

/// From when on, and until when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InstantRange {
    /// At or after this instant.
    pub from: Option<Timestamp>,
    /// Before this instant.
    pub until: Option<Timestamp>,
}

impl InstantRange {
    fn of(self, column: keys::Column) -> Condition {
        Condition::all()
            .add_option(self.from.map(|from| column.gte(from.micros())))
            .add_option(self.until.map(|until| column.lt(until.micros())))
    }
}

/// The keys that a caller may see.
#[derive(Clone, Debug, Default)]
pub enum KeyScope {
    /// Every key.
    #[default]
    All,
    /// A user's own, those of teams that it manages or may list, and the service
    /// accounts of teams that it is in.
    OfUser(UserId),
    /// The keys of one team.
    OfTeam(TeamId),
    /// One key.
    Only(KeyId),
}

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

    /// The live key that has a hash, or had it, and what it spent.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn find_stored_key(&self, hash: &KeyHash, now: Timestamp) -> Result<Option<StoredKey>, StoreError> {
        let query = keys::Entity::find().filter(key_hashes::live(std::slice::from_ref(hash)));
        let row = shown(query, now).into_model::<Row>().one(&self.executor()).await?;
        Ok(self.with_tiers(row.map(to_stored).transpose()?.into_iter().collect()).await?.pop())
    }

    /// The live keys that have one of these hashes, or had it, or have one of
    /// these aliases, and what they spent.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn find_stored_keys(
        &self,
        hashes: &[KeyHash],
        aliases: &[String],
        now: Timestamp,
    ) -> Result<Vec<StoredKey>, StoreError> {
        let query = keys::Entity::find().filter(named(hashes, aliases));
        let rows = shown(query, now).into_model::<Row>().all(&self.executor()).await?;
        self.with_tiers(rows.into_iter().map(to_stored).collect::<Result<_, _>>()?).await
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

    /// One page of keys.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn list_keys(
        &self,
        filter: &KeyFilter,
        order: Order,
        page: &PageRequest,
        now: Timestamp,
    ) -> Result<Page<StoredKey>, StoreError> {
        let query = keys::Entity::find().filter(condition(filter, self.backend(), now));
        let total = if page.count { Some(count(query.clone(), &self.executor()).await?) } else { None };
        let key = sort_expression(order.key, now);
        let query = shown(query, now).expr_as(key.clone(), "sort_key");
        let id = Expr::col((keys::Entity, keys::Column::KeyId));
        let rows: Vec<Row> = rows(query, &key, &id, order, page, &self.executor()).await?;
        let page = Page::cut(rows, page.size, total, |row| Cursor {
            key: row.key.sort_key(order.key),
            id: row.key.row.key_id.clone(),
        });
        let Page { items, next, total } = page.try_map(to_stored)?;
        Ok(Page { items: self.with_tiers(items).await?, next, total })
    }

    /// Keys with their tiers.
    async fn with_tiers(&self, mut keys: Vec<StoredKey>) -> Result<Vec<StoredKey>, StoreError> {
        let mut ids: Vec<BudgetId> = keys.iter().filter_map(|stored| stored.key.budget_id.clone()).collect();
        ids.sort_unstable();
        ids.dedup();
        let tiers = self.find_tiers(&ids).await?;
        for stored in &mut keys {
            stored.tier = stored.key.budget_id.as_ref().and_then(|id| tiers.get(id)).cloned();
        }
        Ok(keys)
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
        self.check_unused(&key.key_hash).await?;
        self.record(Change::created(ObjectType::Key, key.key_id, key).of_team(key.team_id.as_ref()));
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
            self.check_unused(&after.key_hash).await?;
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

/// Keys that have one of these hashes, or had it, or have one of these aliases.
fn named(hashes: &[KeyHash], aliases: &[String]) -> Condition {
    Condition::any()
        .add_option((!hashes.is_empty()).then(|| key_hashes::live(hashes)))
        .add_option((!aliases.is_empty()).then(|| keys::Column::KeyAlias.is_in(aliases)))
}

/// Whether a list of a key has an entry that is looked for.
fn lists(list: keys::Column, entry: &str, backend: DbBackend) -> Option<SimpleExpr> {
    (!entry.is_empty()).then(|| has_entry(Expr::col((keys::Entity, list)), entry, backend))
}

fn condition(filter: &KeyFilter, backend: DbBackend, now: Timestamp) -> Condition {
    let key_type = filter.key_type.map(<&'static str>::from);
    let owner = filter.user_id.as_ref().map(|user| {
        let own = Condition::any().add(keys::Column::UserId.eq(user.as_str()));
        if filter.include_team_keys { own.add(reach::in_teams_managed(keys::Column::TeamId, user)) } else { own }
    });
    Condition::all()
        .add_option(owner)
        .add_option(filter.team_id.as_ref().map(|team| keys::Column::TeamId.eq(team.as_str())))
        .add_option(filter.organization_id.as_ref().map(|id| {
            let teams = teams::Entity::find()
                .select_only()
                .column(teams::Column::TeamId)
                .filter(teams::Column::OrganizationId.eq(id.as_str()));
            keys::Column::TeamId.in_subquery(teams.into_query())
        }))
        .add_option(filter.key_alias.as_ref().map(|alias| keys::Column::KeyAlias.eq(alias.as_str())))
        .add_option(contains(keys::Column::KeyAlias, &filter.key_alias_contains))
        .add_option(filter.key_hash.as_ref().map(|hash| key_hashes::live(std::slice::from_ref(hash))))
        .add_option(key_type.map(|key_type| keys::Column::KeyType.eq(key_type)))
        .add_option(filter.state.map(|state| in_state(state, now)))
        .add_option(
            contains(keys::Column::KeyAlias, &filter.search)
                .map(|part| Condition::any().add(part).add(keys::Column::KeyHash.eq(filter.search.as_str()))),
        )
        .add_option((!filter.created_by.is_empty()).then(|| keys::Column::CreatedBy.eq(filter.created_by.as_str())))
        .add_option(filter.budget_id.as_ref().map(|id| keys::Column::BudgetId.eq(id.as_str())))
        .add_option(lists(keys::Column::Tags, &filter.tag, backend))
        .add_option(lists(keys::Column::Models, &filter.model, backend))
        .add_option(filter.service_accounts_only.then(|| keys::Column::ServiceAccountId.is_not_null()))
        .add_option(filter.has_alias.then(|| keys::Column::KeyAlias.is_not_null()))
        .add(filter.expires.of(keys::Column::ExpiresAt))
        .add(filter.created.of(keys::Column::CreatedAt))
        .add(visible(&filter.visible_to))
}

fn in_state(state: KeyState, now: Timestamp) -> Condition {
    let expired = keys::Column::ExpiresAt.lte(now.micros());
    let unexpired = keys::Column::ExpiresAt.is_null().or(keys::Column::ExpiresAt.gt(now.micros()));
    let blocked = |blocked: bool| keys::Column::Blocked.eq(blocked);
    match state {
        KeyState::Active => Condition::all().add(blocked(false)).add(unexpired),
        KeyState::Blocked => Condition::all().add(blocked(true)),
        KeyState::Expired => Condition::all().add(blocked(false)).add(expired),
        KeyState::Deleted => Condition::all().add(Expr::val(false)),
    }
}

fn visible(scope: &KeyScope) -> Condition {
    match scope {
        KeyScope::All => Condition::all(),
        KeyScope::OfTeam(team) => Condition::all().add(keys::Column::TeamId.eq(team.as_str())),
        KeyScope::Only(key) => Condition::all().add(keys::Column::KeyId.eq(key.to_string())),
        KeyScope::OfUser(user) => {
            let of_teams = keys::Column::TeamId.in_subquery(reach::teams_of(user, None));
            let service_accounts = Condition::all().add(keys::Column::UserId.is_null()).add(of_teams);
            Condition::any()
                .add(keys::Column::UserId.eq(user.as_str()))
                .add(keys::Column::TeamId.in_subquery(reach::teams_open_to(user, MemberPermission::KeyList)))
                .add(keys::Column::TeamId.in_subquery(reach::teams_of_organizations(user)))
                .add(service_accounts)
        }
    }
}

/// Adds to a query of keys what else is shown of them.
fn shown(query: Select<keys::Entity>, now: Timestamp) -> Select<keys::Entity> {
    let organization = teams::Entity::find()
        .select_only()
        .column(teams::Column::OrganizationId)
        .filter(Expr::col((teams::Entity, teams::Column::TeamId)).equals((keys::Entity, keys::Column::TeamId)));
    select_with_spend(query, Scope::Key, "keys", "key_id", now)
        .expr_as(SimpleExpr::from(organization.into_query()), "team_organization_id")
}

fn sort_expression(key: SortKey, now: Timestamp) -> SimpleExpr {
    let column = match key.name {
        "spend" => return spend_in_window(Scope::Key, "keys", "key_id", now),
        "last_used_at" => return last_used(Scope::Key, "keys", "key_id"),
        "key_alias" => keys::Column::KeyAlias,
        "key_hash" => keys::Column::KeyHash,
        "max_budget" => keys::Column::MaxBudgetNanos,
        "expires_at" => keys::Column::ExpiresAt,
        "updated_at" => keys::Column::UpdatedAt,
        _ => keys::Column::CreatedAt,
    };
    Expr::col((keys::Entity, column))
}

fn to_stored(row: Row) -> Result<StoredKey, StoreError> {
    Ok(StoredKey {
        spend: row.key.spend(),
        key: to_key(row.key.row)?,
        organization_id: row.team_organization_id.map(OrganizationId::stored),
        tier: None,
    })
}

pub(super) fn parse_key_id(text: &str) -> Result<KeyId, StoreError> {
    Uuid::parse_str(text).map(KeyId).map_err(|_| StoreError::Broken(format!("stored key id {text:?}")))
}

fn to_key(row: keys::Model) -> Result<Key, StoreError> {
    Ok(Key {
        key_id: parse_key_id(&row.key_id)?,
        key_hash: word(&row.key_hash)?,
        key_name: row.key_name,
        key_type: word(&row.key_type)?,
        key_alias: row.key_alias,
        user_id: row.user_id.map(UserId::stored),
        team_id: row.team_id.map(TeamId::stored),
        service_account_id: row.service_account_id,
        models: from_text(&row.models)?,
        model_aliases: from_text(&row.model_aliases)?,
        budget: budget(
            row.max_budget_nanos,
            row.soft_budget_nanos,
            row.budget_duration.as_deref(),
            row.budget_anchor_at,
        )?,
        rates: Rates { tpm: row.tpm_limit, rpm: row.rpm_limit, parallel: row.max_parallel_requests },
        budget_id: row.budget_id.map(BudgetId::stored),
        limits: KeyLimits {
            windows: from_text(&row.budget_limits)?,
            models: from_text(&row.model_max_budget)?,
            model_rates: ModelRates { tpm: from_text(&row.model_tpm_limit)?, rpm: from_text(&row.model_rpm_limit)? },
            increase: row.temp_budget_increase_nanos.map(Usd::from_nanos),
            increase_until: row.temp_budget_expires_at.map(Timestamp::from_micros),
        },
        allowed_routes: from_text(&row.allowed_routes)?,
        tags: from_text(&row.tags)?,
        metadata: from_text(&row.metadata)?,
        blocked: row.blocked,
        block_reason: row.block_reason,
        expires_at: row.expires_at.map(Timestamp::from_micros),
        former_secrets: from_text(&row.former_secrets)?,
        rotation: Rotation {
            interval: row.rotation_interval.as_deref().map(word).transpose()?,
            count: row.rotation_count,
            last_at: row.last_rotated_at.map(Timestamp::from_micros),
            next_at: row.next_rotation_at.map(Timestamp::from_micros),
        },
        created_at: Timestamp::from_micros(row.created_at),
        created_by: row.created_by,
        updated_at: Timestamp::from_micros(row.updated_at),
        version: row.version,
    })
}

fn to_row(key: &Key) -> Result<keys::ActiveModel, StoreError> {
    let key_type: &'static str = key.key_type.into();
    Ok(keys::ActiveModel {
        key_id: Set(key.key_id.to_string()),
        key_hash: Set(key.key_hash.to_string()),
        key_name: Set(key.key_name.clone()),
        key_type: Set(key_type.to_owned()),
        key_alias: Set(key.key_alias.clone()),
        user_id: Set(key.user_id.as_ref().map(ToString::to_string)),
        team_id: Set(key.team_id.as_ref().map(ToString::to_string)),
        service_account_id: Set(key.service_account_id.clone()),
        models: Set(to_text(&key.models)?),
        model_aliases: Set(to_text(&key.model_aliases)?),
        allowed_routes: Set(to_text(&key.allowed_routes)?),
        tags: Set(to_text(&key.tags)?),
        metadata: Set(to_text(&key.metadata)?),
        blocked: Set(key.blocked),
        block_reason: Set(key.block_reason.clone()),
        former_secrets: Set(to_text(&key.former_secrets)?),
        rotation_interval: Set(key.rotation.interval.map(|length| length.to_string())),
        rotation_count: Set(key.rotation.count),
        last_rotated_at: Set(key.rotation.last_at.map(Timestamp::micros)),
        next_rotation_at: Set(key.rotation.next_at.map(Timestamp::micros)),
        expires_at: Set(key.expires_at.map(Timestamp::micros)),
        created_by: Set(key.created_by.clone()),
        max_budget_nanos: Set(key.budget.max.map(Usd::nanos)),
        soft_budget_nanos: Set(key.budget.soft.map(Usd::nanos)),
        budget_duration: Set(key.budget.duration.map(|length| length.to_string())),
        budget_anchor_at: Set(key.budget.anchor.micros()),
        budget_id: Set(key.budget_id.as_ref().map(ToString::to_string)),
        budget_limits: Set(to_text(&key.limits.windows)?),
        model_max_budget: Set(to_text(&key.limits.models)?),
        model_tpm_limit: Set(to_text(&key.limits.model_rates.tpm)?),
        model_rpm_limit: Set(to_text(&key.limits.model_rates.rpm)?),
        temp_budget_increase_nanos: Set(key.limits.increase.map(Usd::nanos)),
        temp_budget_expires_at: Set(key.limits.increase_until.map(Timestamp::micros)),
        tpm_limit: Set(key.rates.tpm),
        rpm_limit: Set(key.rates.rpm),
        max_parallel_requests: Set(key.rates.parallel),
        created_at: Set(key.created_at.micros()),
        updated_at: Set(key.updated_at.micros()),
        version: Set(key.version),
    })
}
