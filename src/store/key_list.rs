//! Lists of keys: which are shown, in which order, and what is shown with each.

use sea_orm::sea_query::{Expr, ExprTrait, SimpleExpr, Value};
use sea_orm::{
    ColumnTrait, Condition, DbBackend, EntityTrait, FromQueryResult, QueryFilter, QuerySelect, QueryTrait, Select,
};

use super::balances::{Spend, WithSpend, last_used, select_with_spend, spend_in_window};
use super::dialect::has_entry;
use super::entity::{keys, teams};
use super::error::StoreError;
use super::key_hashes;
use super::key_rows::to_key;
use super::keys::named;
use super::like::contains;
use super::page::{Cursor, Order, Page, PageRequest, SortKey, count, rows};
use super::reach;
use super::view::View;
use crate::domain::account::Scope;
use crate::domain::clock::Timestamp;
use crate::domain::ids::{BudgetId, KeyId, OrganizationId, TeamId, UserId};
use crate::domain::key::{Key, KeyState, KeyType};
use crate::domain::role::MemberPermission;
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
    /// Whether an instant, written like that, lies in it.
    pub(super) fn holds<T: Into<Value>>(self, instant: &SimpleExpr, write: impl Fn(Timestamp) -> T) -> Condition {
        let value = |at| Expr::val(write(at));
        Condition::all()
            .add_option(self.from.map(|from| instant.clone().gte(value(from))))
            .add_option(self.until.map(|until| instant.clone().lt(value(until))))
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
        .add_option(
            filter
                .organization_id
                .as_ref()
                .map(|id| keys::Column::TeamId.in_subquery(reach::teams_in_organization(id))),
        )
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
        .add(filter.expires.holds(&Expr::col((keys::Entity, keys::Column::ExpiresAt)), Timestamp::micros))
        .add(filter.created.holds(&Expr::col((keys::Entity, keys::Column::CreatedAt)), Timestamp::micros))
        .add(visible(&filter.visible_to, [keys::Column::KeyId, keys::Column::UserId, keys::Column::TeamId]))
}

pub(super) fn in_state(state: KeyState, now: Timestamp) -> Condition {
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

/// What a caller may see of a table of keys with these columns: live or deleted
/// ones.
pub(super) fn visible<C: ColumnTrait>(scope: &KeyScope, [key_id, owner, of_team]: [C; 3]) -> Condition {
    match scope {
        KeyScope::All => Condition::all(),
        KeyScope::OfTeam(team) => Condition::all().add(of_team.eq(team.as_str())),
        KeyScope::Only(key) => Condition::all().add(key_id.eq(key.to_string())),
        KeyScope::OfUser(user) => {
            let in_own_teams = of_team.in_subquery(reach::teams_of(user, None));
            let service_accounts = Condition::all().add(owner.is_null()).add(in_own_teams);
            let of_managed = owner.in_subquery(reach::users_managed(user));
            let personal = Condition::all().add(of_team.is_null()).add(of_managed);
            Condition::any()
                .add(owner.eq(user.as_str()))
                .add(of_team.in_subquery(reach::teams_open_to(user, MemberPermission::KeyList)))
                .add(of_team.in_subquery(reach::teams_of_organizations(user)))
                .add(personal)
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
