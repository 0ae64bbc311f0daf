//! The archive: deleted keys and teams, so that what they spent keeps a name.

use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, DbBackend, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
};

use super::connect::Store;
use super::dialect::{has_entry, json_field, json_instant, ordered};
use super::entity::{deleted_keys, deleted_teams, rotated_keys};
use super::error::StoreError;
use super::json::{from_text, to_text};
use super::key_hashes;
use super::key_list::{KeyFilter, visible};
use super::like::{contains, found};
use super::page::{Cursor, CursorKey, Order, Page, PageRequest, SortKey, count, paginate};
use super::reach;
use super::tx::Tx;
use super::view::View;
use crate::domain::clock::Timestamp;
use crate::domain::ids::{BudgetId, KeyId, OrganizationId, TeamId, UserId, new_uuid};
use crate::domain::key::Key;
use crate::domain::secret::KeyHash;
use crate::domain::team::{Member, Team};

/// The archive is listed by when things were deleted, the last first.
const BY_DELETION: Order = Order { key: SortKey::number("deleted_at"), descending: true };

/// A key in the archive.
#[derive(Clone, Debug, PartialEq)]
pub struct DeletedKey {
    /// The key as it was.
    pub key: Key,
    /// When it was deleted.
    pub deleted_at: Timestamp,
}

/// A team in the archive.
#[derive(Clone, Debug, PartialEq)]
pub struct DeletedTeam {
    /// The team as it was.
    pub team: Team,
    /// Who was in it.
    pub members: Vec<Member>,
    /// When it was deleted.
    pub deleted_at: Timestamp,
}

/// Which deleted teams a list shows. Empty filters do not filter.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields are those of ListTeamsRequest")]
pub struct DeletedTeamFilter {
    pub team_ids: Vec<TeamId>,
    pub organization_id: Option<OrganizationId>,
    pub no_organization: bool,
    pub alias_contains: String,
    pub search: String,
    pub member: Option<UserId>,
    /// Only teams of organizations that this user administers.
    pub visible_to: Option<UserId>,
}

impl View<'_> {
    /// The deleted key that had a hash.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn find_deleted_key(&self, hash: &KeyHash) -> Result<Option<DeletedKey>, StoreError> {
        let query = deleted_keys::Entity::find().filter(key_hashes::deleted(std::slice::from_ref(hash)));
        query.one(&self.executor()).await?.map(|row| to_deleted_key(&row)).transpose()
    }

    /// The deleted key with an id.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn find_deleted_key_by_id(&self, id: KeyId) -> Result<Option<DeletedKey>, StoreError> {
        let row = deleted_keys::Entity::find_by_id(id.to_string()).one(&self.executor()).await?;
        row.map(|row| to_deleted_key(&row)).transpose()
    }

    /// The key that has a hash, or had it, live or deleted.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn find_key_ever(&self, hash: &KeyHash) -> Result<Option<Key>, StoreError> {
        match self.find_key(hash).await? {
            Some(key) => Ok(Some(key)),
            None => Ok(self.find_deleted_key(hash).await?.map(|deleted| deleted.key)),
        }
    }

    /// The key with an id, live or deleted.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn find_key_ever_by_id(&self, id: KeyId) -> Result<Option<Key>, StoreError> {
        match self.find_key_by_id(id).await? {
            Some(key) => Ok(Some(key)),
            None => Ok(self.find_deleted_key_by_id(id).await?.map(|deleted| deleted.key)),
        }
    }

    /// One page of deleted keys, the last deleted first. An organization has those
    /// of its teams, also of deleted ones.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn list_deleted_keys(
        &self,
        filter: &KeyFilter,
        page: &PageRequest,
    ) -> Result<Page<DeletedKey>, StoreError> {
        let query = deleted_keys::Entity::find().filter(wanted(filter, self.backend()));
        let total = if page.count { Some(count(query.clone(), &self.executor()).await?) } else { None };
        let (at, id) = (Expr::col(deleted_keys::Column::DeletedAt), Expr::col(deleted_keys::Column::KeyId));
        let rows = paginate(query, &at, &id, BY_DELETION, page).all(&self.executor()).await?;
        let page = Page::cut(rows, page.size, total, |row| Cursor {
            key: CursorKey::Int(row.deleted_at),
            id: row.key_id.clone(),
        });
        page.try_map(|row| to_deleted_key(&row))
    }

    /// One page of deleted teams, the last deleted first.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn list_deleted_teams(
        &self,
        filter: &DeletedTeamFilter,
        page: &PageRequest,
    ) -> Result<Page<DeletedTeam>, StoreError> {
        // The roster is JSON text: a member's id stands in it as a quoted word.
        let member = filter.member.as_ref().map(|user| to_text(&user.as_str()).map(|id| format!("\"user_id\":{id}")));
        let of_organization = deleted_teams::Column::OrganizationId;
        let wanted = Condition::all()
            .add_option(
                (!filter.team_ids.is_empty())
                    .then(|| deleted_teams::Column::TeamId.is_in(filter.team_ids.iter().map(TeamId::as_str))),
            )
            .add_option(filter.organization_id.as_ref().map(|id| of_organization.eq(id.as_str())))
            .add_option(filter.no_organization.then(|| of_organization.is_null()))
            .add_option(
                filter
                    .visible_to
                    .as_ref()
                    .map(|admin| of_organization.in_subquery(reach::organizations_administered(admin))),
            )
            .add_option(contains(deleted_teams::Column::TeamAlias, &filter.alias_contains))
            .add_option(found(deleted_teams::Column::TeamId, deleted_teams::Column::TeamAlias, &filter.search))
            .add_option(member.transpose()?.map(|id| deleted_teams::Column::Members.contains(id)));
        let query = deleted_teams::Entity::find().filter(wanted);
        let total = if page.count { Some(count(query.clone(), &self.executor()).await?) } else { None };
        let (at, id) = (Expr::col(deleted_teams::Column::DeletedAt), Expr::col(deleted_teams::Column::ArchiveId));
        let rows = paginate(query, &at, &id, BY_DELETION, page).all(&self.executor()).await?;
        let page = Page::cut(rows, page.size, total, |row| Cursor {
            key: CursorKey::Int(row.deleted_at),
            id: row.archive_id.clone(),
        });
        page.try_map(|row| to_deleted_team(&row))
    }
}

impl Tx {
    pub(super) async fn archive_key(&mut self, key: &Key) -> Result<(), StoreError> {
        let row = deleted_keys::ActiveModel {
            key_id: Set(key.key_id.to_string()),
            key_hash: Set(key.key_hash.to_string()),
            key_alias: Set(key.key_alias.clone()),
            user_id: Set(key.user_id.as_ref().map(ToString::to_string)),
            team_id: Set(key.team_id.as_ref().map(ToString::to_string)),
            record: Set(to_text(key)?),
            deleted_at: Set(self.now().micros()),
            deleted_by: Set(self.author().actor.clone()),
        };
        deleted_keys::Entity::insert(row).exec_without_returning(&self.inner).await?;
        Ok(())
    }

    /// Copies a team and its roster to the archive.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn archive_team(&mut self, team: &Team, members: &[Member]) -> Result<(), StoreError> {
        let row = deleted_teams::ActiveModel {
            archive_id: Set(new_uuid().to_string()),
            team_id: Set(team.team_id.to_string()),
            team_alias: Set(team.team_alias.clone()),
            organization_id: Set(team.organization_id.as_ref().map(ToString::to_string)),
            record: Set(to_text(team)?),
            members: Set(to_text(&members)?),
            deleted_at: Set(self.now().micros()),
            deleted_by: Set(self.author().actor.clone()),
        };
        deleted_teams::Entity::insert(row).exec_without_returning(&self.inner).await?;
        Ok(())
    }
}

impl Store {
    /// Forgets some of the keys that were deleted by an instant, and the secrets
    /// that they had; says how many. What they spent stays, without their names.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn forget_deleted_keys(&self, instant: Timestamp, most: u64) -> Result<u64, StoreError> {
        let transaction = self.begin_raw().await?;
        let ids: Vec<String> = deleted_keys::Entity::find()
            .select_only()
            .column(deleted_keys::Column::KeyId)
            .filter(deleted_keys::Column::DeletedAt.lte(instant.micros()))
            .order_by_asc(deleted_keys::Column::DeletedAt)
            .order_by_asc(deleted_keys::Column::KeyId)
            .limit(most)
            .into_tuple()
            .all(&transaction)
            .await?;
        if ids.is_empty() {
            return Ok(0);
        }
        rotated_keys::Entity::delete_many()
            .filter(rotated_keys::Column::KeyId.is_in(ids.iter().map(String::as_str)))
            .exec(&transaction)
            .await?;
        let forgotten = deleted_keys::Entity::delete_many()
            .filter(deleted_keys::Column::KeyId.is_in(ids.iter().map(String::as_str)))
            .exec(&transaction)
            .await?;
        transaction.commit().await?;
        Ok(forgotten.rows_affected)
    }
}

/// The condition of a list. What has no column of its own is read from the record
/// of the key.
fn wanted(filter: &KeyFilter, backend: DbBackend) -> Condition {
    use deleted_keys::Column::{KeyAlias, KeyHash, KeyId, Record, TeamId, UserId};
    let field = |name| json_field(Expr::col(Record), name, backend);
    let instant = |name| json_instant(Expr::col(Record), name, backend);
    let is = |name, text: &str| (!text.is_empty()).then(|| field(name).eq(text));
    let lists = |name, entry: &str| (!entry.is_empty()).then(|| has_entry(field(name), entry, backend));
    let owner = filter.user_id.as_ref().map(|user| {
        let own = Condition::any().add(UserId.eq(user.as_str()));
        if filter.include_team_keys { own.add(reach::in_teams_managed(TeamId, user)) } else { own }
    });
    let in_organization = filter.organization_id.as_ref().map(|id| {
        let deleted = deleted_teams::Entity::find()
            .select_only()
            .column(deleted_teams::Column::TeamId)
            .filter(deleted_teams::Column::OrganizationId.eq(id.as_str()));
        Condition::any()
            .add(TeamId.in_subquery(reach::teams_in_organization(id)))
            .add(TeamId.in_subquery(deleted.into_query()))
    });
    let found = contains(KeyAlias, &filter.search)
        .map(|part| Condition::any().add(part).add(KeyHash.eq(filter.search.as_str())));
    let key_type = filter.key_type.map(<&'static str>::from).unwrap_or_default();
    let budget_id = filter.budget_id.as_ref().map(BudgetId::as_str).unwrap_or_default();
    Condition::all()
        .add_option(owner)
        .add_option(filter.team_id.as_ref().map(|team| TeamId.eq(team.as_str())))
        .add_option(in_organization)
        .add_option(filter.key_alias.as_ref().map(|alias| KeyAlias.eq(alias.as_str())))
        .add_option(contains(KeyAlias, &filter.key_alias_contains))
        .add_option(filter.key_hash.as_ref().map(|hash| key_hashes::deleted(std::slice::from_ref(hash))))
        .add_option(found)
        .add_option(is("key_type", key_type))
        .add_option(is("budget_id", budget_id))
        .add_option(is("created_by", &filter.created_by))
        .add_option(lists("tags", &filter.tag))
        .add_option(lists("models", &filter.model))
        .add_option(filter.service_accounts_only.then(|| field("service_account_id").is_not_null()))
        .add(filter.expires.holds(&instant("expires_at"), ordered))
        .add(filter.created.holds(&instant("created_at"), ordered))
        .add(visible(&filter.visible_to, [KeyId, UserId, TeamId]))
}

fn to_deleted_key(row: &deleted_keys::Model) -> Result<DeletedKey, StoreError> {
    Ok(DeletedKey { key: from_text(&row.record)?, deleted_at: Timestamp::from_micros(row.deleted_at) })
}

fn to_deleted_team(row: &deleted_teams::Model) -> Result<DeletedTeam, StoreError> {
    Ok(DeletedTeam {
        team: from_text(&row.record)?,
        members: from_text(&row.members)?,
        deleted_at: Timestamp::from_micros(row.deleted_at),
    })
}
