//! Users: rows, reads and changes.

use sea_orm::sea_query::{Expr, ExprTrait, Func, OnConflict, SimpleExpr};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, EntityTrait, PaginatorTrait, QueryFilter, QuerySelect, Select,
};

use super::balances::{Spend, WithSpend, select_with_spend, spend_in_window};
use super::entity::{team_members, users};
use super::error::{StoreError, one_row};
use super::evictions::Eviction;
use super::json::{from_text, to_text, word};
use super::limits::budget;
use super::page::{Cursor, Order, Page, PageRequest, SortKey, count, paginate};
use super::tx::Tx;
use super::view::View;
use crate::domain::account::Scope;
use crate::domain::audit::{Action, Change, ObjectType};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{TeamId, UserId};
use crate::domain::limit::Rates;
use crate::domain::money::Usd;
use crate::domain::role::{Role, TeamRole};
use crate::domain::user::{Email, User};

/// The columns that users can be ordered by.
pub const SORTABLE: [SortKey; 6] = [
    SortKey::number("created_at"),
    SortKey::text("user_id"),
    SortKey::text("user_email").or_null(),
    SortKey::text("user_alias").or_null(),
    SortKey::number("max_budget").or_null(),
    SortKey::number("spend"),
];

/// A user with what its keys spent.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredUser {
    /// The user.
    pub user: User,
    /// What all its keys spent.
    pub spend: Spend,
}

/// Which users a list shows. Empty filters do not filter.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields are those of ListUsersRequest")]
pub struct UserFilter {
    pub role: Option<Role>,
    pub user_ids: Vec<UserId>,
    pub user_id_contains: String,
    pub email_contains: String,
    pub email: Option<Email>,
    pub team_id: Option<TeamId>,
    /// Only members of teams that this user administers.
    pub in_teams_of_admin: Option<UserId>,
}

impl View<'_> {
    /// The user with an id.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn find_user(&self, id: &UserId) -> Result<Option<User>, StoreError> {
        let row = users::Entity::find_by_id(id.as_str()).one(&self.executor()).await?;
        row.map(to_user).transpose()
    }

    /// The user with an e-mail address, in whatever case.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn find_user_by_email(&self, email: &Email) -> Result<Option<User>, StoreError> {
        let query = users::Entity::find().filter(users::Column::EmailFolded.eq(email.folded()));
        query.one(&self.executor()).await?.map(to_user).transpose()
    }

    /// The user with an id, and what it spent.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn find_stored_user(&self, id: &UserId, now: Timestamp) -> Result<Option<StoredUser>, StoreError> {
        let query = with_spend(users::Entity::find_by_id(id.as_str()), now);
        let row = query.into_model::<WithSpend<users::Model>>().one(&self.executor()).await?;
        row.map(to_stored).transpose()
    }

    /// The users with these ids, in any order; unknown ones are left out.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn users_by_id(&self, ids: &[UserId]) -> Result<Vec<User>, StoreError> {
        let ids = ids.iter().map(UserId::as_str);
        let rows = users::Entity::find().filter(users::Column::UserId.is_in(ids)).all(&self.executor()).await?;
        rows.into_iter().map(to_user).collect()
    }

    /// One page of users.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn list_users(
        &self,
        filter: &UserFilter,
        order: Order,
        page: &PageRequest,
        now: Timestamp,
    ) -> Result<Page<StoredUser>, StoreError> {
        let query = users::Entity::find().filter(condition(filter));
        let total = if page.count { Some(count(query.clone(), &self.executor()).await?) } else { None };
        let key = sort_expression(order.key, now);
        let query = with_spend(query, now).expr_as(key.clone(), "sort_key");
        let id = Expr::col((users::Entity, users::Column::UserId));
        let query = paginate(query, &key, &id, order, page);
        let rows = query.into_model::<WithSpend<users::Model>>().all(&self.executor()).await?;
        let page = Page::cut(rows, page.size, total, |row| Cursor {
            key: row.sort_key(order.key),
            id: row.row.user_id.clone(),
        });
        page.try_map(to_stored)
    }

    /// Up to `limit` users behind `after`, by id.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn users_after(&self, after: Option<&UserId>, limit: u64) -> Result<Vec<User>, StoreError> {
        use sea_orm::QueryOrder;
        let mut query = users::Entity::find().order_by_asc(users::Column::UserId).limit(limit);
        if let Some(after) = after {
            query = query.filter(users::Column::UserId.gt(after.as_str()));
        }
        query.all(&self.executor()).await?.into_iter().map(to_user).collect()
    }

    /// How many proxy admins are not blocked, besides these users.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn count_other_proxy_admins(&self, besides: &[UserId]) -> Result<u64, StoreError> {
        let role: &'static str = Role::ProxyAdmin.into();
        let query = users::Entity::find()
            .filter(users::Column::UserRole.eq(role))
            .filter(users::Column::Blocked.eq(false))
            .filter(users::Column::UserId.is_not_in(besides.iter().map(UserId::as_str)));
        Ok(query.count(&self.executor()).await?)
    }
}

impl Tx {
    /// Adds a user.
    ///
    /// # Errors
    /// [`StoreError::Taken`] if its id or e-mail address is.
    pub async fn insert_user(&mut self, user: &User) -> Result<(), StoreError> {
        users::Entity::insert(to_row(user)?).exec_without_returning(&self.inner).await?;
        self.record(Change::created(ObjectType::User, &user.user_id, user));
        self.evict(Eviction::User(user.user_id.clone()));
        Ok(())
    }

    /// Adds a user, unless one with its id or e-mail address exists. Says
    /// whether it did.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn insert_user_if_absent(&mut self, user: &User) -> Result<bool, StoreError> {
        let inserted = users::Entity::insert(to_row(user)?)
            .on_conflict(OnConflict::new().do_nothing().to_owned())
            .try_insert()
            .exec_without_returning(&self.inner)
            .await?;
        if !matches!(inserted, sea_orm::TryInsertResult::Inserted(1)) {
            return Ok(false);
        }
        self.record(Change::created(ObjectType::User, &user.user_id, user));
        self.evict(Eviction::User(user.user_id.clone()));
        Ok(true)
    }

    /// Changes a user; `after` gets its new version.
    ///
    /// # Errors
    /// [`StoreError::Stale`] if somebody else changed it, and
    /// [`StoreError::Taken`] if its new e-mail address is taken.
    pub async fn update_user(&mut self, before: &User, after: &mut User) -> Result<(), StoreError> {
        let Some(change) = Change::updated(ObjectType::User, &before.user_id, before, after) else { return Ok(()) };
        after.version = before.version + 1;
        after.updated_at = self.now();
        let updated = users::Entity::update_many()
            .set(to_row(after)?)
            .filter(users::Column::UserId.eq(before.user_id.as_str()))
            .filter(users::Column::Version.eq(before.version))
            .exec(&self.inner)
            .await?;
        one_row(updated.rows_affected)?;
        self.record(change.named(Action::of_update(before.blocked, after.blocked)));
        self.evict(Eviction::User(before.user_id.clone()));
        Ok(())
    }

    /// Removes a user that has no keys and memberships any more.
    ///
    /// # Errors
    /// [`StoreError::Reference`] if it has some.
    pub async fn delete_user(&mut self, user: &User) -> Result<(), StoreError> {
        let deleted = users::Entity::delete_by_id(user.user_id.as_str()).exec(&self.inner).await?;
        one_row(deleted.rows_affected)?;
        self.record(Change::deleted(ObjectType::User, &user.user_id, user));
        self.evict(Eviction::User(user.user_id.clone()));
        Ok(())
    }

    /// Locks the users with these ids until the end of the transaction and
    /// reads them; unknown ones are left out.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn lock_users(&mut self, ids: &[UserId]) -> Result<Vec<User>, StoreError> {
        use sea_orm::QueryOrder;
        let query = users::Entity::find()
            .filter(users::Column::UserId.is_in(ids.iter().map(UserId::as_str)))
            .order_by_asc(users::Column::UserId);
        let rows = query.lock_exclusive().all(&self.inner).await?;
        rows.into_iter().map(to_user).collect()
    }

    /// Locks every proxy admin, so that two changes can't both count on the
    /// other's admin to stay.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn lock_proxy_admins(&mut self) -> Result<(), StoreError> {
        use sea_orm::QueryOrder;
        let role: &'static str = Role::ProxyAdmin.into();
        let query = users::Entity::find()
            .filter(users::Column::UserRole.eq(role))
            .order_by_asc(users::Column::UserId)
            .select_only()
            .column(users::Column::UserId);
        query.lock_exclusive().into_tuple::<String>().all(&self.inner).await?;
        Ok(())
    }
}

fn condition(filter: &UserFilter) -> Condition {
    let memberships = |column: team_members::Column| {
        team_members::Entity::find().select_only().column(team_members::Column::UserId).filter(column.is_not_null())
    };
    let role = filter.role.map(<&'static str>::from);
    let admin: &'static str = TeamRole::Admin.into();
    Condition::all()
        .add_option(role.map(|role| users::Column::UserRole.eq(role)))
        .add_option(
            (!filter.user_ids.is_empty())
                .then(|| users::Column::UserId.is_in(filter.user_ids.iter().map(UserId::as_str))),
        )
        .add_option(contains(users::Column::UserId, &filter.user_id_contains))
        .add_option(contains(users::Column::EmailFolded, &filter.email_contains))
        .add_option(filter.email.as_ref().map(|email| users::Column::EmailFolded.eq(email.folded())))
        .add_option(filter.team_id.as_ref().map(|team| {
            let members =
                memberships(team_members::Column::UserId).filter(team_members::Column::TeamId.eq(team.as_str()));
            users::Column::UserId.in_subquery(sea_orm::QueryTrait::into_query(members))
        }))
        .add_option(filter.in_teams_of_admin.as_ref().map(|user| {
            let administered = team_members::Entity::find()
                .select_only()
                .column(team_members::Column::TeamId)
                .filter(team_members::Column::UserId.eq(user.as_str()))
                .filter(team_members::Column::Role.eq(admin));
            let members = memberships(team_members::Column::UserId)
                .filter(team_members::Column::TeamId.in_subquery(sea_orm::QueryTrait::into_query(administered)));
            users::Column::UserId.in_subquery(sea_orm::QueryTrait::into_query(members))
        }))
}

/// A condition on part of a column, without regard to case; `%` and `_` are
/// letters like others. No condition for an empty part.
pub(super) fn contains<C: ColumnTrait>(column: C, part: &str) -> Option<SimpleExpr> {
    if part.is_empty() {
        return None;
    }
    let escaped = part.to_lowercase().replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
    let pattern = sea_orm::sea_query::LikeExpr::new(format!("%{escaped}%")).escape('\\');
    Some(Expr::expr(Func::lower(column.into_expr())).like(pattern))
}

fn with_spend(query: Select<users::Entity>, now: Timestamp) -> Select<users::Entity> {
    select_with_spend(query, Scope::User, "users", "user_id", now)
}

fn sort_expression(key: SortKey, now: Timestamp) -> SimpleExpr {
    let column = match key.name {
        "spend" => return spend_in_window(Scope::User, "users", "user_id", now),
        "user_id" => users::Column::UserId,
        "user_email" => users::Column::EmailFolded,
        "user_alias" => users::Column::UserAlias,
        "max_budget" => users::Column::MaxBudgetNanos,
        _ => users::Column::CreatedAt,
    };
    Expr::col((users::Entity, column))
}

fn to_stored(row: WithSpend<users::Model>) -> Result<StoredUser, StoreError> {
    Ok(StoredUser { spend: row.spend(), user: to_user(row.row)? })
}

fn to_user(row: users::Model) -> Result<User, StoreError> {
    Ok(User {
        user_id: UserId::stored(row.user_id),
        user_email: row.user_email.map(Email::stored),
        user_alias: row.user_alias,
        user_role: word(&row.user_role)?,
        models: from_text(&row.models)?,
        budget: budget(
            row.max_budget_nanos,
            row.soft_budget_nanos,
            row.budget_duration.as_deref(),
            row.budget_anchor_at,
        )?,
        rates: Rates { tpm: row.tpm_limit, rpm: row.rpm_limit, parallel: row.max_parallel_requests },
        metadata: from_text(&row.metadata)?,
        blocked: row.blocked,
        created_at: Timestamp::from_micros(row.created_at),
        updated_at: Timestamp::from_micros(row.updated_at),
        version: row.version,
    })
}

fn to_row(user: &User) -> Result<users::ActiveModel, StoreError> {
    let role: &'static str = user.user_role.into();
    Ok(users::ActiveModel {
        user_id: Set(user.user_id.to_string()),
        user_email: Set(user.user_email.as_ref().map(ToString::to_string)),
        email_folded: Set(user.user_email.as_ref().map(Email::folded)),
        user_alias: Set(user.user_alias.clone()),
        user_role: Set(role.to_owned()),
        models: Set(to_text(&user.models)?),
        metadata: Set(to_text(&user.metadata)?),
        blocked: Set(user.blocked),
        max_budget_nanos: Set(user.budget.max.map(Usd::nanos)),
        soft_budget_nanos: Set(user.budget.soft.map(Usd::nanos)),
        budget_duration: Set(user.budget.duration.map(|length| length.to_string())),
        budget_anchor_at: Set(user.budget.anchor.micros()),
        tpm_limit: Set(user.rates.tpm),
        rpm_limit: Set(user.rates.rpm),
        max_parallel_requests: Set(user.rates.parallel),
        created_at: Set(user.created_at.micros()),
        updated_at: Set(user.updated_at.micros()),
        version: Set(user.version),
    })
}
