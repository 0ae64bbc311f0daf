//! Scope budgets: rows, reads and changes.

use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ActiveValue::Set, ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::entity::scope_budgets::{self, Column};
use super::error::{StoreError, one_row};
use super::evictions::Eviction;
use super::json::word;
use super::limits::{budget, zone};
use super::tx::Tx;
use super::view::View;
use crate::domain::account::{AccountId, Scope};
use crate::domain::audit::{Change, ObjectType};
use crate::domain::clock::Timestamp;
use crate::domain::limit::Budget;
use crate::domain::money::Usd;
use crate::domain::scope_budget::{ScopeBudget, ScopeBudgets};

impl View<'_> {
    /// All scope budgets, as calls look for them.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn scope_budgets(&self) -> Result<ScopeBudgets, StoreError> {
        let rows = scope_budgets::Entity::find().all(&self.executor()).await?;
        Ok(ScopeBudgets::new(rows.into_iter().map(to_budget).collect::<Result<_, _>>()?))
    }

    /// The budget of an account.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn find_scope_budget(&self, account: &AccountId) -> Result<Option<ScopeBudget>, StoreError> {
        let key = (account.scope().as_str().to_owned(), account.name().to_owned());
        let row = scope_budgets::Entity::find_by_id(key).one(&self.executor()).await?;
        row.map(to_budget).transpose()
    }

    /// Budgets of one scope or of all, by scope and name, behind one of them;
    /// `most` of them, or all.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn list_scope_budgets(
        &self,
        scope: Option<Scope>,
        after: Option<(&str, &str)>,
        most: Option<u64>,
    ) -> Result<Vec<ScopeBudget>, StoreError> {
        let behind = after.map(|(scope, name)| {
            let key = Expr::tuple([Column::Scope, Column::Name].map(Expr::col));
            ExprTrait::gt(key, Expr::tuple([Expr::val(scope), Expr::val(name)]))
        });
        let wanted =
            Condition::all().add_option(scope.map(|scope| Column::Scope.eq(scope.as_str()))).add_option(behind);
        let rows = scope_budgets::Entity::find()
            .filter(wanted)
            .order_by_asc(Column::Scope)
            .order_by_asc(Column::Name)
            .limit(most)
            .all(&self.executor())
            .await?;
        rows.into_iter().map(to_budget).collect()
    }
}

impl Tx {
    /// Adds a budget.
    ///
    /// # Errors
    /// [`StoreError::Taken`] if its account has one.
    pub async fn insert_scope_budget(&mut self, made: &ScopeBudget) -> Result<(), StoreError> {
        scope_budgets::Entity::insert(to_row(made)).exec_without_returning(&self.inner).await?;
        self.record(Change::created(ObjectType::ScopeBudget, made.account.audit_id(), made));
        self.evict(Eviction::ScopeBudget(made.account.clone()));
        Ok(())
    }

    /// Changes a budget; `after` gets its new version.
    ///
    /// # Errors
    /// [`StoreError::Stale`] if somebody else changed it.
    pub async fn update_scope_budget(
        &mut self,
        before: &ScopeBudget,
        after: &mut ScopeBudget,
    ) -> Result<(), StoreError> {
        let Some(change) = Change::updated(ObjectType::ScopeBudget, before.account.audit_id(), before, after) else {
            return Ok(());
        };
        after.version = before.version + 1;
        after.updated_at = self.now();
        let updated = scope_budgets::Entity::update_many()
            .set(to_row(after))
            .filter(Column::Scope.eq(before.account.scope().as_str()))
            .filter(Column::Name.eq(before.account.name()))
            .filter(Column::Version.eq(before.version))
            .exec(&self.inner)
            .await?;
        one_row(updated.rows_affected)?;
        self.record(change);
        self.evict(Eviction::ScopeBudget(before.account.clone()));
        Ok(())
    }

    /// Removes a budget. What its account spent stays in the ledger.
    ///
    /// # Errors
    /// [`StoreError::Stale`] if it is gone, or was changed.
    pub async fn delete_scope_budget(&mut self, gone: &ScopeBudget) -> Result<(), StoreError> {
        let deleted = scope_budgets::Entity::delete_many()
            .filter(Column::Scope.eq(gone.account.scope().as_str()))
            .filter(Column::Name.eq(gone.account.name()))
            .filter(Column::Version.eq(gone.version))
            .exec(&self.inner)
            .await?;
        one_row(deleted.rows_affected)?;
        self.record(Change::deleted(ObjectType::ScopeBudget, gone.account.audit_id(), gone));
        self.evict(Eviction::ScopeBudget(gone.account.clone()));
        Ok(())
    }
}

fn to_budget(row: scope_budgets::Model) -> Result<ScopeBudget, StoreError> {
    Ok(ScopeBudget {
        account: AccountId::stored(word(&row.scope)?, row.name),
        budget: Budget {
            zone: zone(row.time_zone.as_deref())?,
            ..budget(row.max_budget_nanos, row.soft_budget_nanos, row.budget_duration.as_deref(), row.budget_anchor_at)?
        },
        created_at: Timestamp::from_micros(row.created_at),
        updated_at: Timestamp::from_micros(row.updated_at),
        version: row.version,
    })
}

fn to_row(made: &ScopeBudget) -> scope_budgets::ActiveModel {
    let limits = &made.budget;
    scope_budgets::ActiveModel {
        scope: Set(made.account.scope().as_str().to_owned()),
        name: Set(made.account.name().to_owned()),
        max_budget_nanos: Set(limits.max.map(Usd::nanos)),
        soft_budget_nanos: Set(limits.soft.map(Usd::nanos)),
        budget_duration: Set(limits.duration.map(|length| length.to_string())),
        budget_anchor_at: Set(limits.anchor.micros()),
        time_zone: Set(limits.zone.map(|zone| zone.name().to_owned())),
        created_at: Set(made.created_at.micros()),
        updated_at: Set(made.updated_at.micros()),
        version: Set(made.version),
    }
}
