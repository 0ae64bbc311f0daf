//! Customers: rows, reads and changes.

use std::collections::BTreeMap;

use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};

use super::balances::{BalanceKey, Spend};
use super::dialect::{Bulk, Column};
use super::entity::customers;
use super::error::{Constraint, StoreError, one_row};
use super::evictions::Eviction;
use super::json::{from_text, to_text, to_text_if_any};
use super::like::contains;
use super::limits::budget;
use super::page::{Cursor, CursorKey, Order, Page, PageRequest, SortKey, count, rows};
use super::tx::Tx;
use super::view::View;
use crate::domain::account::AccountId;
use crate::domain::audit::{Action, Change, ObjectType};
use crate::domain::clock::Timestamp;
use crate::domain::customer::{Customer, CustomerDefaults, CustomerFacts};
use crate::domain::identity::ModelAccounts;
use crate::domain::ids::{BudgetId, CustomerId};
use crate::domain::limit::{Budget, Rates};
use crate::domain::model_limit::ModelLimits;
use crate::domain::money::Usd;
use crate::domain::tier::Tier;
use crate::domain::window::{Calendar, Window};

/// The columns that customers can be ordered by.
pub const SORTABLE: [SortKey; 4] = [
    SortKey::number("created_at"),
    SortKey::text("alias"),
    SortKey::text("customer_id"),
    SortKey::number("max_budget").or_null(),
];

/// A customer with its budget in force, and what was spent on its behalf.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredCustomer {
    /// The customer.
    pub customer: Customer,
    /// Its budget in force.
    pub budget: Budget,
    /// What was spent.
    pub spend: Spend,
}

/// Which customers a list shows. Empty filters do not filter.
#[derive(Clone, Debug, Default)]
#[expect(missing_docs, reason = "the fields are those of ListCustomersRequest")]
pub struct CustomerFilter {
    pub customer_ids: Vec<CustomerId>,
    pub customer_id_contains: String,
    pub alias_contains: String,
    pub budget_id: Option<BudgetId>,
    pub blocked: Option<bool>,
}

impl View<'_> {
    /// The customer with an id.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn find_customer(&self, id: &CustomerId) -> Result<Option<Customer>, StoreError> {
        customers::Entity::find_by_id(id.as_str()).one(&self.executor()).await?.map(to_customer).transpose()
    }

    /// What judging needs of the customer with an id, heard of or not, read after
    /// so many changes of tiers.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn customer_facts(
        &self,
        id: &CustomerId,
        defaults: &CustomerDefaults,
        tiers_seen: u64,
    ) -> Result<CustomerFacts, StoreError> {
        let found = self.find_customer(id).await?;
        let is_known = found.is_some();
        let customer = found.unwrap_or_else(|| Customer::unheard_of(id.clone(), Timestamp::EPOCH));
        let tier = self.tier_of_customer(&customer, defaults).await?;
        let (budget, rates) = defaults.limits_of(&customer, tier.as_ref());
        let model_limits = CustomerDefaults::model_limits_of(&customer, tier.as_ref());
        Ok(CustomerFacts {
            model_accounts: ModelAccounts::of_customer(&customer, model_limits),
            account: AccountId::customer(id),
            customer_id: customer.customer_id,
            blocked: customer.blocked,
            models: customer.allowed_models,
            budget,
            rates,
            is_known,
            tiers_seen,
        })
    }

    /// The limits in force of a customer.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn limits_of_customer(
        &self,
        customer: &Customer,
        defaults: &CustomerDefaults,
    ) -> Result<(Budget, Rates), StoreError> {
        let tier = self.tier_of_customer(customer, defaults).await?;
        Ok(defaults.limits_of(customer, tier.as_ref()))
    }

    /// The limits in force of a customer by model.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn model_limits_of_customer(
        &self,
        customer: &Customer,
        defaults: &CustomerDefaults,
    ) -> Result<ModelLimits, StoreError> {
        let tier = self.tier_of_customer(customer, defaults).await?;
        Ok(CustomerDefaults::model_limits_of(customer, tier.as_ref()).clone())
    }

    async fn tier_of_customer(
        &self,
        customer: &Customer,
        defaults: &CustomerDefaults,
    ) -> Result<Option<Tier>, StoreError> {
        match defaults.tier_of(customer) {
            Some(id) => self.find_tier(id).await,
            None => Ok(None),
        }
    }

    /// One page of customers.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn list_customers(
        &self,
        filter: &CustomerFilter,
        order: Order,
        page: &PageRequest,
    ) -> Result<Page<Customer>, StoreError> {
        let query = customers::Entity::find().filter(condition(filter));
        let total = if page.count { Some(count(query.clone(), &self.executor()).await?) } else { None };
        let column = match order.key.name {
            "alias" => customers::Column::Alias,
            "customer_id" => customers::Column::CustomerId,
            "max_budget" => customers::Column::MaxBudgetNanos,
            _ => customers::Column::CreatedAt,
        };
        let (key, id) = (Expr::col(column), Expr::col(customers::Column::CustomerId));
        let rows: Vec<customers::Model> = rows(query, &key, &id, order, page, &self.executor()).await?;
        let cursor = |row: &customers::Model| Cursor {
            key: match column {
                customers::Column::Alias => CursorKey::Text(row.alias.clone()),
                customers::Column::CustomerId => CursorKey::Text(row.customer_id.clone()),
                customers::Column::MaxBudgetNanos => row.max_budget_nanos.map_or(CursorKey::Null, CursorKey::Int),
                _ => CursorKey::Int(row.created_at),
            },
            id: row.customer_id.clone(),
        };
        Page::cut(rows, page.size, total, cursor).try_map(to_customer)
    }

    /// Customers with their budgets in force and what was spent, in their order.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn customers_with_spend(
        &self,
        customers: Vec<Customer>,
        defaults: &CustomerDefaults,
        calendar: &Calendar,
        now: Timestamp,
    ) -> Result<Vec<StoredCustomer>, StoreError> {
        let mut ids: Vec<BudgetId> = customers.iter().filter_map(|of| defaults.tier_of(of)).cloned().collect();
        ids.sort_unstable();
        ids.dedup();
        let tiers = self.find_tiers(&ids).await?;
        let with_budget = |customer: Customer| {
            let tier = defaults.tier_of(&customer).and_then(|id| tiers.get(id));
            let budget = defaults.limits_of(&customer, tier).0;
            (customer, budget)
        };
        let found: Vec<(Customer, Budget)> = customers.into_iter().map(with_budget).collect();
        let window = |customer: &Customer, start: Timestamp| (AccountId::customer(&customer.customer_id), start);
        let current = |(customer, budget): &(Customer, Budget)| window(customer, budget.window(calendar, now).start);
        let lifetime = |(customer, _): &(Customer, Budget)| window(customer, Window::LIFETIME.start);
        let keys: Vec<BalanceKey> = found.iter().flat_map(|of| [current(of), lifetime(of)]).collect();
        let balances = self.balances(&keys).await?;
        let spent_in = |key: &BalanceKey| balances.get(key).map_or(Usd::ZERO, |balance| balance.spent);
        let stored = found.into_iter().map(|of| {
            let spend =
                Spend { window: spent_in(&current(&of)), lifetime: spent_in(&lifetime(&of)), ..Spend::default() };
            StoredCustomer { customer: of.0, budget: of.1, spend }
        });
        Ok(stored.collect())
    }
}

impl Tx {
    /// Adds a customer, or takes over one that is known only by its usage.
    ///
    /// # Errors
    /// [`StoreError::Taken`] if somebody has made it; [`StoreError::Reference`] if
    /// its tier does not exist.
    pub async fn insert_customer(&mut self, customer: &Customer) -> Result<(), StoreError> {
        use customers::Column;
        let mut take_over = OnConflict::column(Column::CustomerId);
        take_over.update_columns([
            Column::Alias,
            Column::AllowedModels,
            Column::Metadata,
            Column::BudgetId,
            Column::Blocked,
            Column::MaxBudgetNanos,
            Column::SoftBudgetNanos,
            Column::BudgetDuration,
            Column::BudgetAnchorAt,
            Column::TpmLimit,
            Column::RpmLimit,
            Column::MaxParallelRequests,
            Column::ModelMaxBudget,
            Column::UpdatedAt,
            Column::Version,
        ]);
        take_over.action_and_where(sea_orm::sea_query::ExprTrait::eq(
            Expr::col((customers::Entity, Column::Version)),
            Customer::UNTOUCHED,
        ));
        let insert = customers::Entity::insert(to_row(customer)?).on_conflict(take_over);
        let inserted = insert.exec_without_returning(&self.inner).await?;
        if inserted == 0 {
            return Err(StoreError::Taken(Constraint::CustomerId));
        }
        let id = &customer.customer_id;
        self.record(Change::created(ObjectType::Customer, id, customer));
        self.evict(Eviction::Customer(id.clone()));
        Ok(())
    }

    /// Changes a customer; `after` gets its new version.
    ///
    /// # Errors
    /// [`StoreError::Stale`] if somebody else changed it;
    /// [`StoreError::Reference`] if its tier does not exist.
    pub async fn update_customer(&mut self, before: &Customer, after: &mut Customer) -> Result<(), StoreError> {
        let id = &before.customer_id;
        let Some(change) = Change::updated(ObjectType::Customer, id, before, after) else { return Ok(()) };
        after.version = before.version + 1;
        after.updated_at = self.now();
        let updated = customers::Entity::update_many()
            .set(to_row(after)?)
            .filter(customers::Column::CustomerId.eq(id.as_str()))
            .filter(customers::Column::Version.eq(before.version))
            .exec(&self.inner)
            .await?;
        one_row(updated.rows_affected)?;
        self.record(change.named(Action::of_update(before.blocked, after.blocked)));
        self.evict(Eviction::Customer(id.clone()));
        Ok(())
    }

    /// Removes a customer; what was spent on its behalf stays.
    ///
    /// # Errors
    /// [`StoreError::Stale`] if it is gone.
    pub async fn delete_customer(&mut self, customer: &Customer) -> Result<(), StoreError> {
        let id = &customer.customer_id;
        let deleted = customers::Entity::delete_by_id(id.as_str()).exec(&self.inner).await?;
        one_row(deleted.rows_affected)?;
        self.record(Change::deleted(ObjectType::Customer, id, customer));
        self.evict(Eviction::Customer(id.clone()));
        Ok(())
    }

    /// Locks the customers with these ids until the end of the transaction and
    /// reads them, by id; unknown ones are left out.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn lock_customers(&mut self, ids: &[CustomerId]) -> Result<BTreeMap<CustomerId, Customer>, StoreError> {
        let query = customers::Entity::find()
            .filter(customers::Column::CustomerId.is_in(ids.iter().map(CustomerId::as_str)))
            .order_by_asc(customers::Column::CustomerId);
        let rows = query.lock_exclusive().all(&self.inner).await?;
        rows.into_iter().map(|row| to_customer(row).map(|found| (found.customer_id.clone(), found))).collect()
    }
}

/// Adds customers that are first heard of by their usage.
///
/// # Errors
/// [`StoreError`] if the database fails.
pub(super) async fn hear_of(
    transaction: &DatabaseTransaction,
    ids: impl Iterator<Item = &str>,
    now: Timestamp,
) -> Result<(), StoreError> {
    // In one order for all transactions.
    let mut ids: Vec<String> = ids.map(str::to_owned).collect();
    ids.sort_unstable();
    ids.dedup();
    let text = |value: &str| Column::Text(vec![value.to_owned(); ids.len()]);
    let number = |value: i64| Column::Number(vec![value; ids.len()]);
    let columns = vec![
        ("alias", text("")),
        ("allowed_models", text("[]")),
        ("metadata", text("{}")),
        ("blocked", Column::Flag(vec![false; ids.len()])),
        ("budget_anchor_at", number(Timestamp::EPOCH.micros())),
        ("created_at", number(now.micros())),
        ("updated_at", number(now.micros())),
        ("version", number(Customer::UNTOUCHED)),
        ("customer_id", Column::Text(ids.clone())),
    ];
    Bulk { table: "customers", columns, suffix: "ON CONFLICT (customer_id) DO NOTHING" }.run(transaction).await?;
    Ok(())
}

fn condition(filter: &CustomerFilter) -> Condition {
    use customers::Column;
    let ids = &filter.customer_ids;
    Condition::all()
        .add_option((!ids.is_empty()).then(|| Column::CustomerId.is_in(ids.iter().map(CustomerId::as_str))))
        .add_option(contains(Column::CustomerId, &filter.customer_id_contains))
        .add_option(contains(Column::Alias, &filter.alias_contains))
        .add_option(filter.budget_id.as_ref().map(|id| Column::BudgetId.eq(id.as_str())))
        .add_option(filter.blocked.map(|blocked| Column::Blocked.eq(blocked)))
}

fn to_customer(row: customers::Model) -> Result<Customer, StoreError> {
    Ok(Customer {
        customer_id: CustomerId::stored(row.customer_id),
        alias: row.alias,
        blocked: row.blocked,
        allowed_models: from_text(&row.allowed_models)?,
        budget: budget(
            row.max_budget_nanos,
            row.soft_budget_nanos,
            row.budget_duration.as_deref(),
            row.budget_anchor_at,
        )?,
        rates: Rates { tpm: row.tpm_limit, rpm: row.rpm_limit, parallel: row.max_parallel_requests, ..Rates::NONE },
        model_limits: row.model_max_budget.as_deref().map(from_text).transpose()?.unwrap_or_default(),
        budget_id: row.budget_id.map(BudgetId::stored),
        metadata: from_text(&row.metadata)?,
        created_at: Timestamp::from_micros(row.created_at),
        updated_at: Timestamp::from_micros(row.updated_at),
        version: row.version,
    })
}

fn to_row(customer: &Customer) -> Result<customers::ActiveModel, StoreError> {
    Ok(customers::ActiveModel {
        customer_id: Set(customer.customer_id.to_string()),
        alias: Set(customer.alias.clone()),
        allowed_models: Set(to_text(&customer.allowed_models)?),
        metadata: Set(to_text(&customer.metadata)?),
        budget_id: Set(customer.budget_id.as_ref().map(ToString::to_string)),
        blocked: Set(customer.blocked),
        max_budget_nanos: Set(customer.budget.max.map(Usd::nanos)),
        soft_budget_nanos: Set(customer.budget.soft.map(Usd::nanos)),
        budget_duration: Set(customer.budget.duration.map(|length| length.to_string())),
        budget_anchor_at: Set(customer.budget.anchor.micros()),
        tpm_limit: Set(customer.rates.tpm),
        rpm_limit: Set(customer.rates.rpm),
        max_parallel_requests: Set(customer.rates.parallel),
        model_max_budget: Set(to_text_if_any(&customer.model_limits)?),
        created_at: Set(customer.created_at.micros()),
        updated_at: Set(customer.updated_at.micros()),
        version: Set(customer.version),
    })
}
