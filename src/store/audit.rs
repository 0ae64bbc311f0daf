//! The audit log: appended with every change, in commit order.

use sea_orm::sea_query::{Expr, SimpleExpr};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter,
    QueryOrder, QuerySelect, Statement,
};

use super::entity::audit_entries;
use super::error::StoreError;
use super::json::{from_text, to_text, word};
use super::page::{Cursor, CursorKey, Order, Page, PageRequest, SortKey, count, paginate};
use super::reach;
use super::view::View;
use crate::domain::audit::{Action, Author, Change, Entry, Fields, ObjectType};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{OrganizationId, TeamId, UserId, new_uuid};

/// An entry of the audit log.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredEntry {
    /// Its id.
    pub audit_id: String,
    /// Its position in commit order.
    pub sequence: i64,
    /// When the change was made.
    pub at: Timestamp,
    /// Who made it.
    pub actor: String,
    /// The key that was the credential.
    pub actor_key_id: String,
    /// On whose behalf.
    pub on_behalf_of: String,
    /// What was done.
    pub action: Action,
    /// To what kind of object.
    pub object_type: ObjectType,
    /// To which one.
    pub object_id: String,
    /// The object before.
    pub before: Option<Fields>,
    /// The object after.
    pub after: Option<Fields>,
    /// The request.
    pub request_id: String,
    /// The RPC or command.
    pub rpc: String,
    /// The hash that chains it.
    pub hash: String,
    /// The team that the object belongs to.
    pub team_id: String,
    /// The organization that it belongs to.
    pub organization_id: String,
}

/// A change, as the feed tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct FeedEntry {
    /// Its position in commit order.
    pub sequence: i64,
    /// When the change was made.
    pub at: Timestamp,
    /// What was done; `None`: what a newer version does.
    pub action: Option<Action>,
    /// What kind of object changed; `None`: one that a newer version has.
    pub object_type: Option<ObjectType>,
    /// Which one.
    pub object_id: String,
    /// The object before, or the fields of it that changed.
    pub before: Option<Fields>,
    /// The object after, likewise.
    pub after: Option<Fields>,
}

/// Which entries a list shows. Empty filters do not filter.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields are those of ListAuditEntriesRequest")]
pub struct AuditFilter {
    pub object_type: Option<ObjectType>,
    pub object_id: String,
    pub actor: String,
    pub actor_key_id: String,
    pub action: Option<Action>,
    pub rpc: String,
    pub team_id: String,
    pub organization_id: String,
    pub from: Option<Timestamp>,
    pub until: Option<Timestamp>,
    /// Only of organizations that this user administers.
    pub visible_to: Option<UserId>,
}

impl View<'_> {
    /// One page of entries by sequence.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn list_audit_entries(
        &self,
        filter: &AuditFilter,
        descending: bool,
        page: &PageRequest,
    ) -> Result<Page<StoredEntry>, StoreError> {
        use audit_entries::Column;
        let filled = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let wanted = Condition::all()
            .add_option(filter.object_type.map(|kind| Column::ObjectType.eq(kind.as_str())))
            .add_option(filled(&filter.object_id).map(|id| Column::ObjectId.eq(id)))
            .add_option(filled(&filter.actor).map(|actor| Column::Actor.eq(actor)))
            .add_option(filled(&filter.actor_key_id).map(|key| Column::ActorKeyId.eq(key)))
            .add_option(filter.action.map(|action| Column::Action.eq(<&'static str>::from(action))))
            .add_option(filled(&filter.rpc).map(|rpc| Column::Rpc.eq(rpc)))
            .add_option(filled(&filter.team_id).map(|team| Column::TeamId.eq(team)))
            .add_option(filled(&filter.organization_id).map(|id| Column::OrganizationId.eq(id)))
            .add_option(filter.visible_to.as_ref().map(visible))
            .add_option(filter.from.map(|from| Column::At.gte(from.micros())))
            .add_option(filter.until.map(|until| Column::At.lt(until.micros())));
        let query = audit_entries::Entity::find().filter(wanted);
        let total = if page.count { Some(count(query.clone(), &self.executor()).await?) } else { None };
        let order = Order { key: SortKey::number("sequence"), descending };
        let (key, id) = (Expr::col(Column::Sequence), Expr::col(Column::AuditId));
        let rows = paginate(query, &key, &id, order, page).all(&self.executor()).await?;
        let page = Page::cut(rows, page.size, total, |row| Cursor {
            key: CursorKey::Int(row.sequence),
            id: row.audit_id.clone(),
        });
        page.try_map(to_entry)
    }

    /// The entry with an id, if it is of an organization that this user
    /// administers, or of any.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn find_audit_entry(
        &self,
        audit_id: &str,
        visible_to: Option<&UserId>,
    ) -> Result<Option<StoredEntry>, StoreError> {
        let query = audit_entries::Entity::find()
            .filter(audit_entries::Column::AuditId.eq(audit_id))
            .filter(Condition::all().add_option(visible_to.map(visible)));
        query.one(&self.executor()).await?.map(to_entry).transpose()
    }

    /// The sequence of the last entry; 0 if there is none.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn last_audit_sequence(&self) -> Result<i64, StoreError> {
        let query = audit_entries::Entity::find()
            .select_only()
            .column(audit_entries::Column::Sequence)
            .order_by_desc(audit_entries::Column::Sequence)
            .into_tuple::<i64>();
        Ok(query.one(&self.executor()).await?.unwrap_or(0))
    }

    /// Up to `limit` changes behind a sequence, in commit order.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn changes_after(&self, sequence: i64, limit: u64) -> Result<Vec<FeedEntry>, StoreError> {
        let query = audit_entries::Entity::find()
            .filter(audit_entries::Column::Sequence.gt(sequence))
            .order_by_asc(audit_entries::Column::Sequence)
            .limit(limit);
        let rows = query.all(&self.executor()).await?;
        let entries = rows.into_iter().map(|row| {
            Ok(FeedEntry {
                sequence: row.sequence,
                at: Timestamp::from_micros(row.at),
                // While instances are upgraded one by one, the feed of the old ones
                // must not stop at what only the new ones know.
                action: row.action.parse().ok(),
                object_type: row.object_type.parse().ok(),
                object_id: row.object_id,
                before: fields(&row.before)?,
                after: fields(&row.after)?,
            })
        });
        entries.collect()
    }
}

/// What organization admins see: the entries of their organizations.
fn visible(admin: &UserId) -> SimpleExpr {
    audit_entries::Column::OrganizationId.in_subquery(reach::organizations_administered(admin))
}

/// A change that is to be told.
pub(super) struct Unwritten<'a> {
    pub(super) author: &'a Author,
    pub(super) now: Timestamp,
    pub(super) change: &'a Change,
}

/// Appends the entries of a transaction, last of all: the row that is locked
/// here gives all transactions one order, and is locked only for the commit.
pub(super) async fn append(transaction: &DatabaseTransaction, entries: &[Unwritten<'_>]) -> Result<(), StoreError> {
    if entries.is_empty() {
        return Ok(());
    }
    let backend = transaction.get_database_backend();
    let locked = "UPDATE audit_head SET sequence = sequence WHERE id = 1 RETURNING sequence, hash";
    let head = transaction
        .query_one_raw(Statement::from_string(backend, locked))
        .await?
        .ok_or_else(|| StoreError::Broken("the head of the audit log is missing".to_owned()))?;
    let mut sequence: i64 = head.try_get("", "sequence")?;
    let mut hash = parse_hash(&head.try_get::<String>("", "hash")?)?;
    let mut rows = Vec::with_capacity(entries.len());
    for entry in entries {
        sequence += 1;
        rows.push(row(sequence, entry, &mut hash)?);
    }
    // 16 columns a row: far below what a statement may bind.
    for rows in rows.chunks(500) {
        audit_entries::Entity::insert_many(rows.to_vec()).exec_without_returning(transaction).await?;
    }
    let advance = format!("UPDATE audit_head SET sequence = {sequence}, hash = '{}' WHERE id = 1", hex(&hash));
    transaction.execute_unprepared(&advance).await?;
    Ok(())
}

fn row(
    sequence: i64,
    unwritten: &Unwritten<'_>,
    hash: &mut [u8; 32],
) -> Result<audit_entries::ActiveModel, StoreError> {
    let Unwritten { author, now, change } = *unwritten;
    let audit_id = new_uuid().to_string();
    let action: &'static str = change.action.into();
    let text = |fields: &Option<Fields>| fields.as_ref().map(to_text).transpose().map(Option::unwrap_or_default);
    let (before, after) = (text(&change.before)?, text(&change.after)?);
    let entry = Entry {
        audit_id: &audit_id,
        sequence,
        at: now,
        actor: &author.actor,
        actor_key_id: author.actor_key_id.as_deref().unwrap_or(""),
        on_behalf_of: author.on_behalf_of.as_deref().unwrap_or(""),
        action,
        object_type: change.object_type.as_str(),
        object_id: &change.object_id,
        before: &before,
        after: &after,
        request_id: &author.request_id,
        rpc: author.rpc,
        team_id: change.team_id.as_ref().map_or("", TeamId::as_str),
        organization_id: change.organization_id.as_ref().map_or("", OrganizationId::as_str),
    };
    *hash = entry.hash(hash);
    Ok(audit_entries::ActiveModel {
        sequence: Set(sequence),
        at: Set(now.micros()),
        actor: Set(author.actor.clone()),
        actor_key_id: Set(entry.actor_key_id.to_owned()),
        on_behalf_of: Set(entry.on_behalf_of.to_owned()),
        action: Set(action.to_owned()),
        object_type: Set(entry.object_type.to_owned()),
        object_id: Set(change.object_id.clone()),
        request_id: Set(author.request_id.clone()),
        rpc: Set(author.rpc.to_owned()),
        hash: Set(hex(hash)),
        team_id: Set(entry.team_id.to_owned()),
        organization_id: Set(entry.organization_id.to_owned()),
        audit_id: Set(audit_id),
        before: Set(before),
        after: Set(after),
    })
}

fn fields(text: &str) -> Result<Option<Fields>, StoreError> {
    if text.is_empty() { Ok(None) } else { from_text(text).map(Some) }
}

fn to_entry(row: audit_entries::Model) -> Result<StoredEntry, StoreError> {
    Ok(StoredEntry {
        audit_id: row.audit_id,
        sequence: row.sequence,
        at: Timestamp::from_micros(row.at),
        actor: row.actor,
        actor_key_id: row.actor_key_id,
        on_behalf_of: row.on_behalf_of,
        action: word(&row.action)?,
        object_type: word(&row.object_type)?,
        object_id: row.object_id,
        before: fields(&row.before)?,
        after: fields(&row.after)?,
        request_id: row.request_id,
        rpc: row.rpc,
        hash: row.hash,
        team_id: row.team_id,
        organization_id: row.organization_id,
    })
}

pub(super) fn hex(hash: &[u8; 32]) -> String {
    hex::encode(hash)
}

pub(super) fn parse_hash(text: &str) -> Result<[u8; 32], StoreError> {
    let hash: crate::domain::secret::KeyHash = word(text)?;
    Ok(*hash.bytes())
}
