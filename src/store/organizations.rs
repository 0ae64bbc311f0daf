//! Organizations: rows, reads and changes.

use sea_orm::sea_query::{Expr, SimpleExpr};
use sea_orm::{ActiveValue::Set, ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select};

use super::balances::{Spend, WithSpend, select_with_spend, spend_in_window};
use super::counts::count_by;
use super::entity::{keys, organization_members, organizations, teams};
use super::error::{StoreError, one_row};
use super::evictions::Eviction;
use super::json::{from_text, to_text};
use super::like::contains;
use super::limits::budget;
use super::page::{Cursor, Order, Page, PageRequest, SortKey, count, rows};
use super::reach;
use super::tx::Tx;
use super::view::View;
use crate::domain::account::Scope;
use crate::domain::audit::{Action, Change, ObjectType};
use crate::domain::clock::Timestamp;
use crate::domain::ids::{OrganizationId, UserId};
use crate::domain::limit::{ModelRates, Rates};
use crate::domain::money::Usd;
use crate::domain::organization::Organization;

/// The columns that organizations can be ordered by.
pub const SORTABLE: [SortKey; 5] = [
    SortKey::number("created_at"),
    SortKey::text("organization_alias"),
    SortKey::text("organization_id"),
    SortKey::number("max_budget").or_null(),
    SortKey::number("spend"),
];

/// An organization with what its keys spent, and how large it is.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredOrganization {
    /// The organization.
    pub organization: Organization,
    /// What its keys spent.
    pub spend: Spend,
    /// How many members it has.
    pub member_count: i64,
    /// How many teams it has.
    pub team_count: i64,
    /// How many live keys its teams have.
    pub key_count: i64,
}

/// Which organizations a list shows. Empty filters do not filter.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields are those of ListOrganizationsRequest")]
pub struct OrganizationFilter {
    pub organization_ids: Vec<OrganizationId>,
    pub alias_contains: String,
    pub member: Option<UserId>,
    pub blocked: Option<bool>,
    /// Only those that this user is in: what the caller may see.
    pub visible_to: Option<UserId>,
}

impl View<'_> {
    /// The organization with an id.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn find_organization(&self, id: &OrganizationId) -> Result<Option<Organization>, StoreError> {
        let row = organizations::Entity::find_by_id(id.as_str()).one(&self.executor()).await?;
        row.map(to_organization).transpose()
    }

    /// The organizations with an alias; no more than two are looked for.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn organizations_named(&self, alias: &str) -> Result<Vec<OrganizationId>, StoreError> {
        let ids: Vec<String> = organizations::Entity::find()
            .select_only()
            .column(organizations::Column::OrganizationId)
            .filter(organizations::Column::OrganizationAlias.eq(alias))
            .limit(2)
            .into_tuple()
            .all(&self.executor())
            .await?;
        Ok(ids.into_iter().map(OrganizationId::stored).collect())
    }

    /// The organization with an id, what it spent and how large it is.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn find_stored_organization(
        &self,
        id: &OrganizationId,
        now: Timestamp,
    ) -> Result<Option<StoredOrganization>, StoreError> {
        let query = with_spend(organizations::Entity::find_by_id(id.as_str()), now);
        let row = query.into_model::<WithSpend<organizations::Model>>().one(&self.executor()).await?;
        Ok(self.organizations_with_counts(row.into_iter().collect()).await?.into_iter().next())
    }

    /// The ids of the organizations that a user administers.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn organizations_administered(&self, user: &UserId) -> Result<Vec<OrganizationId>, StoreError> {
        let ids: Vec<String> = organizations::Entity::find()
            .select_only()
            .column(organizations::Column::OrganizationId)
            .filter(organizations::Column::OrganizationId.in_subquery(reach::organizations_administered(user)))
            .into_tuple()
            .all(&self.executor())
            .await?;
        Ok(ids.into_iter().map(OrganizationId::stored).collect())
    }

    /// One page of organizations.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn list_organizations(
        &self,
        filter: &OrganizationFilter,
        order: Order,
        page: &PageRequest,
        now: Timestamp,
    ) -> Result<Page<StoredOrganization>, StoreError> {
        let query = organizations::Entity::find().filter(condition(filter));
        let total = if page.count { Some(count(query.clone(), &self.executor()).await?) } else { None };
        let key = sort_expression(order.key, now);
        let query = with_spend(query, now).expr_as(key.clone(), "sort_key");
        let id = Expr::col((organizations::Entity, organizations::Column::OrganizationId));
        let rows: Vec<WithSpend<organizations::Model>> = rows(query, &key, &id, order, page, &self.executor()).await?;
        let page = Page::cut(rows, page.size, total, |row| Cursor {
            key: row.sort_key(order.key),
            id: row.row.organization_id.clone(),
        });
        let items = self.organizations_with_counts(page.items).await?;
        Ok(Page { items, next: page.next, total: page.total })
    }

    /// Adds to a page of organizations how large each is, by one grouped query
    /// for each count.
    async fn organizations_with_counts(
        &self,
        rows: Vec<WithSpend<organizations::Model>>,
    ) -> Result<Vec<StoredOrganization>, StoreError> {
        let ids: Vec<String> = rows.iter().map(|row| row.row.organization_id.clone()).collect();
        let executor = self.executor();
        let members = count_by(
            organization_members::Entity::find(),
            organization_members::Column::OrganizationId,
            &ids,
            &executor,
        );
        let of_teams = count_by(teams::Entity::find(), teams::Column::OrganizationId, &ids, &executor);
        let mut team_keys = keys::Entity::find();
        let on = Expr::col((keys::Entity, keys::Column::TeamId));
        let on = sea_orm::sea_query::ExprTrait::equals(on, (teams::Entity, teams::Column::TeamId));
        QuerySelect::query(&mut team_keys).inner_join(teams::Entity, on);
        let of_keys = count_by(team_keys, teams::Column::OrganizationId, &ids, &executor);
        let (members, of_teams, of_keys) = (members.await?, of_teams.await?, of_keys.await?);
        rows.into_iter()
            .map(|row| {
                let id = &row.row.organization_id;
                let (member_count, team_count, key_count) = (members.of(id), of_teams.of(id), of_keys.of(id));
                let (spend, organization) = (row.spend(), to_organization(row.row)?);
                Ok(StoredOrganization { organization, spend, member_count, team_count, key_count })
            })
            .collect()
    }
}

impl Tx {
    /// Adds an organization.
    ///
    /// # Errors
    /// [`StoreError::Taken`] if its id is.
    pub async fn insert_organization(&mut self, organization: &Organization) -> Result<(), StoreError> {
        organizations::Entity::insert(to_row(organization)?).exec_without_returning(&self.inner).await?;
        let id = &organization.organization_id;
        self.record(Change::created(ObjectType::Organization, id, organization).of_organization(Some(id)));
        self.evict(Eviction::Organization(id.clone()));
        Ok(())
    }

    /// Changes an organization; `after` gets its new version.
    ///
    /// # Errors
    /// [`StoreError::Stale`] if somebody else changed it.
    pub async fn update_organization(
        &mut self,
        before: &Organization,
        after: &mut Organization,
    ) -> Result<(), StoreError> {
        let id = &before.organization_id;
        let Some(change) = Change::updated(ObjectType::Organization, id, before, after) else { return Ok(()) };
        after.version = before.version + 1;
        after.updated_at = self.now();
        let updated = organizations::Entity::update_many()
            .set(to_row(after)?)
            .filter(organizations::Column::OrganizationId.eq(id.as_str()))
            .filter(organizations::Column::Version.eq(before.version))
            .exec(&self.inner)
            .await?;
        one_row(updated.rows_affected)?;
        self.record(change.named(Action::of_update(before.blocked, after.blocked)).of_organization(Some(id)));
        self.evict(Eviction::Organization(id.clone()));
        Ok(())
    }

    /// Removes an organization that has no teams and members any more.
    ///
    /// # Errors
    /// [`StoreError::Reference`] if it has some.
    pub async fn delete_organization(&mut self, organization: &Organization) -> Result<(), StoreError> {
        let id = &organization.organization_id;
        let deleted = organizations::Entity::delete_by_id(id.as_str()).exec(&self.inner).await?;
        one_row(deleted.rows_affected)?;
        self.record(Change::deleted(ObjectType::Organization, id, organization).of_organization(Some(id)));
        self.evict(Eviction::Organization(id.clone()));
        Ok(())
    }

    /// Locks the organizations with these ids until the end of the transaction
    /// and reads them; unknown ones are left out.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn lock_organizations(&mut self, ids: &[OrganizationId]) -> Result<Vec<Organization>, StoreError> {
        let query = organizations::Entity::find()
            .filter(organizations::Column::OrganizationId.is_in(ids.iter().map(OrganizationId::as_str)))
            .order_by_asc(organizations::Column::OrganizationId);
        let rows = query.lock_exclusive().all(&self.inner).await?;
        rows.into_iter().map(to_organization).collect()
    }
}

fn condition(filter: &OrganizationFilter) -> Condition {
    use organizations::Column;
    let with_member = |user: &UserId| Column::OrganizationId.in_subquery(reach::organizations_of(user));
    let ids = &filter.organization_ids;
    Condition::all()
        .add_option((!ids.is_empty()).then(|| Column::OrganizationId.is_in(ids.iter().map(OrganizationId::as_str))))
        .add_option(contains(Column::OrganizationAlias, &filter.alias_contains))
        .add_option(filter.member.as_ref().map(with_member))
        .add_option(filter.blocked.map(|blocked| Column::Blocked.eq(blocked)))
        .add_option(filter.visible_to.as_ref().map(with_member))
}

fn with_spend(query: Select<organizations::Entity>, now: Timestamp) -> Select<organizations::Entity> {
    select_with_spend(query, Scope::Organization, "organizations", "organization_id", now)
}

fn sort_expression(key: SortKey, now: Timestamp) -> SimpleExpr {
    let column = match key.name {
        "spend" => return spend_in_window(Scope::Organization, "organizations", "organization_id", now),
        "organization_id" => organizations::Column::OrganizationId,
        "organization_alias" => organizations::Column::OrganizationAlias,
        "max_budget" => organizations::Column::MaxBudgetNanos,
        _ => organizations::Column::CreatedAt,
    };
    Expr::col((organizations::Entity, column))
}

fn to_organization(row: organizations::Model) -> Result<Organization, StoreError> {
    Ok(Organization {
        organization_id: OrganizationId::stored(row.organization_id),
        organization_alias: row.organization_alias,
        models: from_text(&row.models)?,
        budget: budget(
            row.max_budget_nanos,
            row.soft_budget_nanos,
            row.budget_duration.as_deref(),
            row.budget_anchor_at,
        )?,
        rates: Rates { tpm: row.tpm_limit, rpm: row.rpm_limit, parallel: row.max_parallel_requests, ..Rates::NONE },
        model_rates: ModelRates { tpm: from_text(&row.model_tpm_limit)?, rpm: from_text(&row.model_rpm_limit)? },
        metadata: from_text(&row.metadata)?,
        blocked: row.blocked,
        created_at: Timestamp::from_micros(row.created_at),
        updated_at: Timestamp::from_micros(row.updated_at),
        version: row.version,
    })
}

fn to_row(organization: &Organization) -> Result<organizations::ActiveModel, StoreError> {
    Ok(organizations::ActiveModel {
        organization_id: Set(organization.organization_id.to_string()),
        organization_alias: Set(organization.organization_alias.clone()),
        models: Set(to_text(&organization.models)?),
        model_tpm_limit: Set(to_text(&organization.model_rates.tpm)?),
        model_rpm_limit: Set(to_text(&organization.model_rates.rpm)?),
        metadata: Set(to_text(&organization.metadata)?),
        blocked: Set(organization.blocked),
        max_budget_nanos: Set(organization.budget.max.map(Usd::nanos)),
        soft_budget_nanos: Set(organization.budget.soft.map(Usd::nanos)),
        budget_duration: Set(organization.budget.duration.map(|length| length.to_string())),
        budget_anchor_at: Set(organization.budget.anchor.micros()),
        tpm_limit: Set(organization.rates.tpm),
        rpm_limit: Set(organization.rates.rpm),
        max_parallel_requests: Set(organization.rates.parallel),
        created_at: Set(organization.created_at.micros()),
        updated_at: Set(organization.updated_at.micros()),
        version: Set(organization.version),
    })
}
