//! Users: rows, reads and changes.

use sea_orm::sea_query::{Expr, OnConflict, SelectStatement, SimpleExpr};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, EntityTrait, PaginatorTrait, QueryFilter, QuerySelect, QueryTrait, Select,
};

use super::balances::{Spend, WithSpend, select_with_spend, spend_in_window};
use super::entity::{organization_members, team_members, users};
use super::error::{StoreError, one_row};
use super::evictions::Eviction;
use super::json::{from_text, to_text, to_text_if_any, word};
use super::like::contains;
use super::limits::budget;
use super::page::{Cursor, Order, Page, PageRequest, SortKey, count, rows};
use super::reach;
use super::tx::Tx;
use super::view::View;
use crate::domain::account::Scope;
use crate::domain::audit::{Action, Change, ObjectType};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{OrganizationId, TeamId, UserId};
use crate::domain::limit::Rates;
use crate::domain::money::Usd;
use crate::domain::password::PasswordHash;
use crate::domain::role::Role;
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
    pub organization_ids: Vec<OrganizationId>,
    /// What the caller may see.
    pub visible_to: UserScope,
}

/// The users that a caller may see.
#[derive(Clone, Debug, Default)]
pub enum UserScope {
    /// Every user.
    #[default]
    All,
    /// Those of the organizations and teams that a user administers.
    OfOrganizationAdmin(UserId),
    /// Those of the teams that a user administers, and of their organizations.
    OfTeamAdmin(UserId),
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
        let rows: Vec<WithSpend<users::Model>> = rows(query, &key, &id, order, page, &self.executor()).await?;
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
        let change = Change::created(ObjectType::User, &user.user_id, user);
        self.record(change.of_organization(user.home_organization_id.as_ref()));
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
        let change = Change::created(ObjectType::User, &user.user_id, user);
        self.record(change.of_organization(user.home_organization_id.as_ref()));
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
        let home = after.home_organization_id.as_ref().or(before.home_organization_id.as_ref());
        self.record(change.named(Action::of_update(before.blocked, after.blocked)).of_organization(home));
        self.evict(Eviction::User(before.user_id.clone()));
        // Who was invited under another role, home or address is invited anew:
        // whoever holds the token must not gain what came later.
        let place = |user: &User| (user.user_role, user.home_organization_id.clone(), user.user_email.clone());
        if place(before) != place(after) {
            self.revoke_invitations(&before.user_id, true).await?;
        }
        Ok(())
    }

    /// Removes a user that has no keys and memberships any more.
    ///
    /// # Errors
    /// [`StoreError::Reference`] if it has some.
    pub async fn delete_user(&mut self, user: &User) -> Result<(), StoreError> {
        let deleted = users::Entity::delete_by_id(user.user_id.as_str()).exec(&self.inner).await?;
        one_row(deleted.rows_affected)?;
        let change = Change::deleted(ObjectType::User, &user.user_id, user);
        self.record(change.of_organization(user.home_organization_id.as_ref()));
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
    use users::Column;
    let role = filter.role.map(<&'static str>::from);
    let (ids, organizations) = (&filter.user_ids, &filter.organization_ids);
    Condition::all()
        .add_option(role.map(|role| Column::UserRole.eq(role)))
        .add_option((!ids.is_empty()).then(|| Column::UserId.is_in(ids.iter().map(UserId::as_str))))
        .add_option(contains(Column::UserId, &filter.user_id_contains))
        .add_option(contains(Column::EmailFolded, &filter.email_contains))
        .add_option(filter.email.as_ref().map(|email| Column::EmailFolded.eq(email.folded())))
        .add_option(filter.team_id.as_ref().map(|team| {
            let members = members_of_teams().filter(team_members::Column::TeamId.eq(team.as_str()));
            Column::UserId.in_subquery(members.into_query())
        }))
        .add_option((!organizations.is_empty()).then(|| {
            let ids = organizations.iter().map(OrganizationId::as_str);
            let members = members_of_organizations().filter(organization_members::Column::OrganizationId.is_in(ids));
            Column::UserId.in_subquery(members.into_query())
        }))
        .add(visible(&filter.visible_to))
}

fn members_of_teams() -> Select<team_members::Entity> {
    team_members::Entity::find().select_only().column(team_members::Column::UserId)
}

fn members_of_organizations() -> Select<organization_members::Entity> {
    organization_members::Entity::find().select_only().column(organization_members::Column::UserId)
}

fn visible(scope: &UserScope) -> Condition {
    match scope {
        UserScope::All => Condition::all(),
        UserScope::OfOrganizationAdmin(admin) => within(admin, reach::organizations_administered(admin)),
        UserScope::OfTeamAdmin(admin) => within(admin, reach::organizations_of_teams_administered(admin)),
    }
}

/// The members of the teams that a user manages, and of these organizations.
fn within(admin: &UserId, organizations: SelectStatement) -> Condition {
    let of_teams = members_of_teams().filter(reach::in_teams_managed(team_members::Column::TeamId, admin));
    let of_organizations =
        members_of_organizations().filter(organization_members::Column::OrganizationId.in_subquery(organizations));
    Condition::any()
        .add(users::Column::UserId.in_subquery(of_teams.into_query()))
        .add(users::Column::UserId.in_subquery(of_organizations.into_query()))
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
        rates: Rates { tpm: row.tpm_limit, rpm: row.rpm_limit, parallel: row.max_parallel_requests, ..Rates::NONE },
        model_limits: row.model_max_budget.as_deref().map(from_text).transpose()?.unwrap_or_default(),
        metadata: from_text(&row.metadata)?,
        blocked: row.blocked,
        home_organization_id: row.home_organization_id.map(OrganizationId::stored),
        password: row.password_hash.map(PasswordHash::stored),
        password_set_at: row.password_set_at.map(Timestamp::from_micros),
        // Users from before there were sessions have none.
        session_epoch: row.session_epoch.parse().unwrap_or_default(),
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
        model_max_budget: Set(to_text_if_any(&user.model_limits)?),
        created_at: Set(user.created_at.micros()),
        updated_at: Set(user.updated_at.micros()),
        version: Set(user.version),
        home_organization_id: Set(user.home_organization_id.as_ref().map(ToString::to_string)),
        password_hash: Set(user.password.as_ref().map(|hash| hash.as_str().to_owned())),
        password_set_at: Set(user.password_set_at.map(Timestamp::micros)),
        session_epoch: Set(user.session_epoch.to_string()),
    })
}
