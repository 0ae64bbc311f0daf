//! Tiers: rows, reads and changes.

use std::collections::BTreeMap;

use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::counts::count_by;
use super::entity::{budgets, customers, keys};
use super::error::{StoreError, one_row};
use super::evictions::Eviction;
use super::json::{from_text, to_text};
use super::limits::{budget, zone};
use super::page::{Cursor, CursorKey, Order, Page, PageRequest, SortKey, count, paginate};
use super::tx::Tx;
use super::view::View;
use crate::domain::audit::{Change, ObjectType};
use crate::domain::clock::Timestamp;
use crate::domain::ids::BudgetId;
use crate::domain::key::Key;
use crate::domain::limit::{Budget, Rates};
use crate::domain::money::Usd;
use crate::domain::tier::{Tier, in_force};

/// Tiers are listed by when they were made, the last first.
const NEWEST_FIRST: Order = Order { key: SortKey::number("created_at"), descending: true };

/// How many are in a tier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names speak for themselves")]
pub struct TierUsers {
    pub keys: i64,
    pub customers: i64,
}

impl View<'_> {
    /// The tier with an id.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn find_tier(&self, id: &BudgetId) -> Result<Option<Tier>, StoreError> {
        budgets::Entity::find_by_id(id.as_str()).one(&self.executor()).await?.map(to_tier).transpose()
    }

    /// The tiers with these ids, by id.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn find_tiers(&self, ids: &[BudgetId]) -> Result<BTreeMap<BudgetId, Tier>, StoreError> {
        if ids.is_empty() {
            return Ok(BTreeMap::new());
        }
        let wanted = budgets::Column::BudgetId.is_in(ids.iter().map(BudgetId::as_str));
        let rows = budgets::Entity::find().filter(wanted).all(&self.executor()).await?;
        let tiers = rows.into_iter().map(|row| to_tier(row).map(|tier| (tier.budget_id.clone(), tier)));
        tiers.collect()
    }

    /// The tier that a key is in.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn tier_of_key(&self, key: &Key) -> Result<Option<Tier>, StoreError> {
        match &key.budget_id {
            Some(id) => self.find_tier(id).await,
            None => Ok(None),
        }
    }

    /// A key's budget as it is in force: its tier's where it has none.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn budget_of_key(&self, key: &Key) -> Result<Budget, StoreError> {
        Ok(in_force(&key.budget, self.tier_of_key(key).await?.as_ref()))
    }

    /// One page of tiers.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn list_tiers(&self, page: &PageRequest) -> Result<Page<Tier>, StoreError> {
        let query = budgets::Entity::find();
        let total = if page.count { Some(count(query.clone(), &self.executor()).await?) } else { None };
        let (at, id) = (Expr::col(budgets::Column::CreatedAt), Expr::col(budgets::Column::BudgetId));
        let rows = paginate(query, &at, &id, NEWEST_FIRST, page).all(&self.executor()).await?;
        let page = Page::cut(rows, page.size, total, |row| Cursor {
            key: CursorKey::Int(row.created_at),
            id: row.budget_id.clone(),
        });
        page.try_map(to_tier)
    }

    /// How many live keys and customers each of these tiers has; none is left
    /// out.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn users_of_tiers(&self, ids: &[BudgetId]) -> Result<BTreeMap<BudgetId, TierUsers>, StoreError> {
        let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let executor = self.executor();
        let keys = count_by(keys::Entity::find(), keys::Column::BudgetId, &names, &executor);
        let customers = count_by(customers::Entity::find(), customers::Column::BudgetId, &names, &executor);
        let (keys, customers) = (keys.await?, customers.await?);
        let users = |id: &BudgetId| TierUsers { keys: keys.of(id.as_str()), customers: customers.of(id.as_str()) };
        Ok(ids.iter().map(|id| (id.clone(), users(id))).filter(|(_, users)| *users != TierUsers::default()).collect())
    }
}

impl Tx {
    /// Reads a tier that nobody may change until the end of the transaction.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn hold_tier(&mut self, id: &BudgetId) -> Result<Option<Tier>, StoreError> {
        let query = budgets::Entity::find_by_id(id.as_str()).lock_shared();
        query.one(&self.inner).await?.map(to_tier).transpose()
    }

    /// Locks tiers until the end of the transaction, before anything of theirs,
    /// and reads them, by id.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn lock_tiers(&mut self, ids: &[BudgetId]) -> Result<BTreeMap<BudgetId, Tier>, StoreError> {
        let query = budgets::Entity::find()
            .filter(budgets::Column::BudgetId.is_in(ids.iter().map(BudgetId::as_str)))
            .order_by_asc(budgets::Column::BudgetId);
        let rows = query.lock_exclusive().all(&self.inner).await?;
        rows.into_iter().map(|row| to_tier(row).map(|tier| (tier.budget_id.clone(), tier))).collect()
    }

    /// Adds a tier.
    ///
    /// # Errors
    /// [`StoreError::Taken`] if its id is.
    pub async fn insert_tier(&mut self, tier: &Tier) -> Result<(), StoreError> {
        budgets::Entity::insert(to_row(tier)?).exec_without_returning(&self.inner).await?;
        self.record(Change::created(ObjectType::Budget, &tier.budget_id, tier));
        // Customers may have waited for it.
        self.evict(Eviction::Tier);
        Ok(())
    }

    /// Changes a tier; `after` gets its new version. With another length of
    /// windows a new one begins now for each of its keys and customers that has none of
    /// its own.
    ///
    /// # Errors
    /// [`StoreError::Stale`] if somebody else changed it.
    pub async fn update_tier(&mut self, before: &Tier, after: &mut Tier) -> Result<(), StoreError> {
        let Some(change) = Change::updated(ObjectType::Budget, &before.budget_id, before, after) else { return Ok(()) };
        after.version = before.version + 1;
        after.updated_at = self.now();
        let updated = budgets::Entity::update_many()
            .set(to_row(after)?)
            .filter(budgets::Column::BudgetId.eq(before.budget_id.as_str()))
            .filter(budgets::Column::Version.eq(before.version))
            .exec(&self.inner)
            .await?;
        one_row(updated.rows_affected)?;
        let windows = |tier: &Tier| (tier.budget.duration, tier.budget.zone);
        if windows(before) != windows(after) {
            self.begin_windows(&before.budget_id).await?;
        }
        self.record(change);
        self.evict(Eviction::Tier);
        Ok(())
    }

    /// Begins a new window now for each of a tier's keys and customers whose
    /// windows are as long as the tier's.
    async fn begin_windows(&mut self, tier: &BudgetId) -> Result<(), StoreError> {
        let now = Expr::val(self.now().micros());
        // Whoever changes one of them meanwhile has read the former window.
        keys::Entity::update_many()
            .col_expr(keys::Column::BudgetAnchorAt, now.clone())
            .col_expr(keys::Column::Version, Expr::col(keys::Column::Version).add(1))
            .filter(keys::Column::BudgetId.eq(tier.as_str()))
            .filter(keys::Column::BudgetDuration.is_null())
            .exec(&self.inner)
            .await?;
        customers::Entity::update_many()
            .col_expr(customers::Column::BudgetAnchorAt, now)
            .col_expr(customers::Column::Version, Expr::col(customers::Column::Version).add(1))
            .filter(customers::Column::BudgetId.eq(tier.as_str()))
            .filter(customers::Column::BudgetDuration.is_null())
            .exec(&self.inner)
            .await?;
        Ok(())
    }

    /// Takes all keys and customers out of a tier, without another trace of each:
    /// the deletion of the tier is one. Says how many.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn leave_tier(&mut self, tier: &Tier) -> Result<TierUsers, StoreError> {
        let id = tier.budget_id.as_str();
        if tier.budget.duration.is_some() {
            self.begin_windows(&tier.budget_id).await?;
        }
        let none = || Expr::val(Option::<String>::None);
        let keys = keys::Entity::update_many()
            .col_expr(keys::Column::BudgetId, none())
            .col_expr(keys::Column::Version, Expr::col(keys::Column::Version).add(1))
            .filter(keys::Column::BudgetId.eq(id))
            .exec(&self.inner)
            .await?;
        let customers = customers::Entity::update_many()
            .col_expr(customers::Column::BudgetId, none())
            .col_expr(customers::Column::Version, Expr::col(customers::Column::Version).add(1))
            .filter(customers::Column::BudgetId.eq(id))
            .exec(&self.inner)
            .await?;
        let count = |rows: u64| i64::try_from(rows).unwrap_or(i64::MAX);
        Ok(TierUsers { keys: count(keys.rows_affected), customers: count(customers.rows_affected) })
    }

    /// Removes a tier that nobody is in.
    ///
    /// # Errors
    /// [`StoreError::Stale`] if it is gone, or was changed;
    /// [`StoreError::Reference`] if somebody is.
    pub async fn delete_tier(&mut self, tier: &Tier) -> Result<(), StoreError> {
        let deleted = budgets::Entity::delete_many()
            .filter(budgets::Column::BudgetId.eq(tier.budget_id.as_str()))
            .filter(budgets::Column::Version.eq(tier.version))
            .exec(&self.inner)
            .await?;
        one_row(deleted.rows_affected)?;
        self.record(Change::deleted(ObjectType::Budget, &tier.budget_id, tier));
        self.evict(Eviction::Tier);
        Ok(())
    }
}

fn to_tier(row: budgets::Model) -> Result<Tier, StoreError> {
    Ok(Tier {
        budget: Budget {
            zone: zone(row.time_zone.as_deref())?,
            ..budget(row.max_budget_nanos, row.soft_budget_nanos, row.budget_duration.as_deref(), row.budget_anchor_at)?
        },
        budget_id: BudgetId::stored(row.budget_id),
        rates: Rates { tpm: row.tpm_limit, rpm: row.rpm_limit, parallel: row.max_parallel_requests, ..Rates::NONE },
        models: from_text(&row.model_max_budget)?,
        created_at: Timestamp::from_micros(row.created_at),
        updated_at: Timestamp::from_micros(row.updated_at),
        version: row.version,
    })
}

fn to_row(tier: &Tier) -> Result<budgets::ActiveModel, StoreError> {
    Ok(budgets::ActiveModel {
        budget_id: Set(tier.budget_id.to_string()),
        max_budget_nanos: Set(tier.budget.max.map(Usd::nanos)),
        soft_budget_nanos: Set(tier.budget.soft.map(Usd::nanos)),
        budget_duration: Set(tier.budget.duration.map(|length| length.to_string())),
        budget_anchor_at: Set(tier.budget.anchor.micros()),
        time_zone: Set(tier.budget.zone.map(|zone| zone.name().to_owned())),
        tpm_limit: Set(tier.rates.tpm),
        rpm_limit: Set(tier.rates.rpm),
        max_parallel_requests: Set(tier.rates.parallel),
        model_max_budget: Set(to_text(&tier.models)?),
        created_at: Set(tier.created_at.micros()),
        updated_at: Set(tier.updated_at.micros()),
        version: Set(tier.version),
    })
}
