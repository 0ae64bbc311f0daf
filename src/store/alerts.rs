//! Alerts: told in the transaction that moves a balance to a level of its
//! budget, once for each level and window, over all instances.

use std::sync::Arc;

use sea_orm::sea_query::{Alias, Expr, ExprTrait, OnConflict};
use sea_orm::{ActiveValue::Set, ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter};

use super::balances::OPEN_END;
use super::connect::Store;
use super::entity::budget_alerts::{self, Column};
use super::error::StoreError;
use super::outbox::{OutboxKind, insert_entry};
use super::view::View;
use crate::domain::account::{AccountId, Scope};
use crate::domain::alert::{AlertRules, BudgetAlert, Level};
use crate::domain::audit::Change;
use crate::domain::clock::Timestamp;
use crate::domain::limit::Budget;
use crate::domain::money::Usd;
use crate::domain::rollup::Dimension;
use crate::domain::webhook::{EventType, Message, Webhook};
use crate::domain::window::Window;

/// What is told of budgets, and to whom beside the change feed.
#[derive(Debug)]
pub struct Telling {
    /// When something is told.
    pub rules: AlertRules,
    /// Who is told by HTTP.
    pub webhooks: Vec<Arc<Webhook>>,
}

/// A window whose balance grew.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grown<'a> {
    pub(super) account: &'a AccountId,
    pub(super) window: Window,
    pub(super) budget: &'a Budget,
    pub(super) before: Usd,
    pub(super) after: Usd,
}

/// Tells of the levels that a balance reached, but for what was told before:
/// leaves what webhooks get in the outbox, and returns what the audit log, and
/// so the change feed, is to hold.
pub(super) async fn tell(
    transaction: &DatabaseTransaction,
    telling: &Telling,
    grown: Grown<'_>,
    now: Timestamp,
) -> Result<Vec<Change>, StoreError> {
    let Grown { account, window, budget, before, after } = grown;
    let mut changes = Vec::new();
    for level in telling.rules.reached(account.scope(), budget, before, after) {
        if !is_news(transaction, account, window, level).await? {
            continue;
        }
        let mut alert = BudgetAlert::new(account, budget, window, level, after);
        alert.label = label(transaction, account).await?;
        let event = EventType::from(alert.kind);
        for webhook in telling.webhooks.iter().filter(|webhook| webhook.hears(event)) {
            let body = Message::body(event, now, &alert);
            insert_entry(transaction, OutboxKind::Webhook, webhook.name.as_str(), body, now).await?;
        }
        changes.push(Change::alerted(account, &alert));
    }
    Ok(changes)
}

/// Whether it was not told before that a window reached this level, or only of
/// a lower budget; from now on it was.
async fn is_news(
    transaction: &DatabaseTransaction,
    account: &AccountId,
    window: Window,
    level: Level,
) -> Result<bool, StoreError> {
    let row = budget_alerts::ActiveModel {
        scope: Set(account.scope().as_str().to_owned()),
        name: Set(account.name().to_owned()),
        window_start_at: Set(window.start.micros()),
        kind: Set(level.kind.as_str().to_owned()),
        threshold: Set(i64::from(level.threshold)),
        level_nanos: Set(level.spend.nanos()),
        window_end_at: Set(window.end.map_or(OPEN_END, Timestamp::micros)),
    };
    let key = [Column::Scope, Column::Name, Column::WindowStartAt, Column::Kind, Column::Threshold];
    let higher = Expr::col((Alias::new("excluded"), Column::LevelNanos))
        .gt(Expr::col((budget_alerts::Entity, Column::LevelNanos)));
    let conflict = OnConflict::columns(key).update_column(Column::LevelNanos).action_and_where(higher).to_owned();
    let written = budget_alerts::Entity::insert(row).on_conflict(conflict).exec_without_returning(transaction).await?;
    Ok(written == 1)
}

/// What people call the object of an account.
async fn label(transaction: &DatabaseTransaction, account: &AccountId) -> Result<String, StoreError> {
    let dimension = match account.scope() {
        Scope::Key | Scope::KeyWindow | Scope::KeyModel => Dimension::Key,
        Scope::Team => Dimension::Team,
        Scope::User | Scope::UserPersonal | Scope::UserModel => Dimension::User,
        Scope::Organization => Dimension::Organization,
        // They have no other name, or are named by two ids.
        _ => return Ok(String::new()),
    };
    let id = account.part_of_object().map_or_else(|| account.object_id(), |(object, _)| object);
    let names = View::of_transaction(transaction).names(dimension, std::slice::from_ref(&id)).await?;
    Ok(names.into_values().next().map(|name| name.alias).unwrap_or_default())
}

/// Of a window whose spend was set, levels above it are told anew when they are
/// reached.
pub(super) async fn forget_above(
    transaction: &DatabaseTransaction,
    account: &AccountId,
    window: Window,
    spend: Usd,
) -> Result<(), StoreError> {
    budget_alerts::Entity::delete_many()
        .filter(Column::Scope.eq(account.scope().as_str()))
        .filter(Column::Name.eq(account.name()))
        .filter(Column::WindowStartAt.eq(window.start.micros()))
        .filter(Column::LevelNanos.gt(spend.nanos()))
        .exec(transaction)
        .await?;
    Ok(())
}

impl Store {
    /// Forgets what was told of windows that ended before an instant.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn forget_alerts_before(&self, horizon: Timestamp) -> Result<(), StoreError> {
        budget_alerts::Entity::delete_many()
            .filter(Column::WindowEndAt.lt(horizon.micros()))
            .exec(self.writer())
            .await?;
        Ok(())
    }
}
