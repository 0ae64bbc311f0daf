//! Modes of budgets: rows, reads and changes.

use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ActiveValue::Set, ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::entity::budget_modes::{self, Column};
use super::error::{StoreError, one_row};
use super::evictions::Eviction;
use super::json::word;
use super::tx::Tx;
use super::view::View;
use crate::domain::account::Scope;
use crate::domain::audit::{Change, ObjectType};
use crate::domain::budget_mode::{BudgetMode, BudgetModes, Mode};
use crate::domain::clock::Timestamp;

impl View<'_> {
    /// All modes, as calls look for them.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn budget_modes(&self) -> Result<BudgetModes, StoreError> {
        let rows = budget_modes::Entity::find().all(&self.executor()).await?;
        Ok(BudgetModes::new(rows.into_iter().map(to_mode).collect::<Result<_, _>>()?))
    }

    /// The mode that was set for one budget, or for all of a scope.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn find_budget_mode(&self, scope: Scope, id: &str) -> Result<Option<BudgetMode>, StoreError> {
        let key = (scope.as_str().to_owned(), id.to_owned());
        let row = budget_modes::Entity::find_by_id(key).one(&self.executor()).await?;
        row.map(to_mode).transpose()
    }

    /// At most so many modes of one scope or of all, by scope and id, behind one of
    /// them.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn list_budget_modes(
        &self,
        scope: Option<Scope>,
        after: Option<(&str, &str)>,
        most: u64,
    ) -> Result<Vec<BudgetMode>, StoreError> {
        let behind = after.map(|(scope, id)| {
            let key = Expr::tuple([Column::Scope, Column::Id].map(Expr::col));
            ExprTrait::gt(key, Expr::tuple([Expr::val(scope), Expr::val(id)]))
        });
        let wanted =
            Condition::all().add_option(scope.map(|scope| Column::Scope.eq(scope.as_str()))).add_option(behind);
        let rows = budget_modes::Entity::find()
            .filter(wanted)
            .order_by_asc(Column::Scope)
            .order_by_asc(Column::Id)
            .limit(most)
            .all(&self.executor())
            .await?;
        rows.into_iter().map(to_mode).collect()
    }
}

impl Tx {
    /// Adds a mode.
    ///
    /// # Errors
    /// [`StoreError::Taken`] if there is one for the same.
    pub async fn insert_budget_mode(&mut self, made: &BudgetMode) -> Result<(), StoreError> {
        budget_modes::Entity::insert(to_row(made)).exec_without_returning(&self.inner).await?;
        self.record(Change::created(ObjectType::BudgetMode, made.audit_id(), made));
        self.evict(Eviction::BudgetModes);
        Ok(())
    }

    /// Changes a mode; `after` gets its new version.
    ///
    /// # Errors
    /// [`StoreError::Stale`] if somebody else changed it.
    pub async fn update_budget_mode(&mut self, before: &BudgetMode, after: &mut BudgetMode) -> Result<(), StoreError> {
        let Some(change) = Change::updated(ObjectType::BudgetMode, before.audit_id(), before, after) else {
            return Ok(());
        };
        after.version = before.version + 1;
        after.updated_at = self.now();
        let updated = budget_modes::Entity::update_many()
            .set(to_row(after))
            .filter(Column::Scope.eq(before.scope.as_str()))
            .filter(Column::Id.eq(before.id.as_str()))
            .filter(Column::Version.eq(before.version))
            .exec(&self.inner)
            .await?;
        one_row(updated.rows_affected)?;
        self.record(change);
        self.evict(Eviction::BudgetModes);
        Ok(())
    }

    /// Removes a mode.
    ///
    /// # Errors
    /// [`StoreError::Stale`] if it is gone, or was changed.
    pub async fn delete_budget_mode(&mut self, gone: &BudgetMode) -> Result<(), StoreError> {
        let deleted = budget_modes::Entity::delete_many()
            .filter(Column::Scope.eq(gone.scope.as_str()))
            .filter(Column::Id.eq(gone.id.as_str()))
            .filter(Column::Version.eq(gone.version))
            .exec(&self.inner)
            .await?;
        one_row(deleted.rows_affected)?;
        self.record(Change::deleted(ObjectType::BudgetMode, gone.audit_id(), gone));
        self.evict(Eviction::BudgetModes);
        Ok(())
    }
}

fn to_mode(row: budget_modes::Model) -> Result<BudgetMode, StoreError> {
    Ok(BudgetMode {
        scope: word(&row.scope)?,
        id: row.id,
        mode: Mode { shadow: row.shadow, learns: row.learned_estimates },
        created_at: Timestamp::from_micros(row.created_at),
        updated_at: Timestamp::from_micros(row.updated_at),
        version: row.version,
    })
}

fn to_row(made: &BudgetMode) -> budget_modes::ActiveModel {
    budget_modes::ActiveModel {
        scope: Set(made.scope.as_str().to_owned()),
        id: Set(made.id.clone()),
        shadow: Set(made.mode.shadow),
        learned_estimates: Set(made.mode.learns),
        created_at: Set(made.created_at.micros()),
        updated_at: Set(made.updated_at.micros()),
        version: Set(made.version),
    }
}
