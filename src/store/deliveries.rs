//! Deliveries: the outbox as those see it who look after webhooks.

use std::collections::{HashMap, HashSet};

use sea_orm::sea_query::{Expr, ExprTrait, SimpleExpr};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QuerySelect};

use super::connect::Store;
use super::entity::outbox::{self, Column};
use super::error::StoreError;
use super::outbox::{NEVER, OutboxEntry, OutboxKind};
use super::page::{Cursor, CursorKey, Order, Page, PageRequest, SortKey, count, paginate};
use super::view::View;
use crate::domain::clock::Timestamp;

/// Deliveries are listed by when they were made, the last first.
const LATEST_FIRST: Order = Order { key: SortKey::number("created_at"), descending: true };

/// A message to a webhook that has not arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Its name.
    pub delivery_id: String,
    /// For whom.
    pub webhook: String,
    /// How often it was tried.
    pub attempts: i64,
    /// Why it did not arrive; empty before the first attempt.
    pub error: String,
    /// When it is tried next; `None`: it was given up.
    pub due_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
    /// What is sent.
    pub body: Vec<u8>,
}

/// Which deliveries are meant. Empty filters do not filter.
#[derive(Clone, Debug, Default)]
pub struct DeliveryFilter {
    /// These; `None`: whichever.
    pub ids: Option<Vec<String>>,
    /// To this webhook.
    pub webhook: String,
    /// Given up, or not.
    pub is_dead: Option<bool>,
}

impl DeliveryFilter {
    fn condition(&self) -> Condition {
        let dead = |is_dead| if is_dead { Column::DeadAt.is_not_null() } else { Column::DeadAt.is_null() };
        Condition::all()
            .add(Column::Kind.eq(OutboxKind::Webhook.as_str()))
            .add_option(self.ids.as_ref().map(|ids| Column::EntryId.is_in(ids)))
            .add_option((!self.webhook.is_empty()).then(|| Column::Subject.eq(self.webhook.as_str())))
            .add_option(self.is_dead.map(dead))
    }
}

/// How many deliveries wait, and how many were given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeliveryCounts {
    /// Those that are tried again.
    pub waiting: i64,
    /// Those that are not.
    pub dead: i64,
}

impl View<'_> {
    /// One page of deliveries, the last made first.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn list_deliveries(
        &self,
        filter: &DeliveryFilter,
        page: &PageRequest,
    ) -> Result<Page<Delivery>, StoreError> {
        let query = outbox::Entity::find().filter(filter.condition());
        let total = if page.count { Some(count(query.clone(), &self.executor()).await?) } else { None };
        let (at, id) = (Expr::col(Column::CreatedAt), Expr::col(Column::EntryId));
        let rows = paginate(query, &at, &id, LATEST_FIRST, page).all(&self.executor()).await?;
        let page = Page::cut(rows, page.size, total, |row| Cursor {
            key: CursorKey::Int(row.created_at),
            id: row.entry_id.clone(),
        });
        page.try_map(|row| {
            Ok(Delivery {
                delivery_id: row.entry_id,
                webhook: row.subject,
                attempts: row.attempts,
                error: row.error.unwrap_or_default(),
                due_at: row.dead_at.is_none().then(|| Timestamp::from_micros(row.due_at)),
                created_at: Timestamp::from_micros(row.created_at),
                body: row.payload.unwrap_or_default(),
            })
        })
    }

    /// How many deliveries each webhook waits for; one without any is left out.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn count_deliveries(&self) -> Result<HashMap<String, DeliveryCounts>, StoreError> {
        let rows: Vec<(String, i64, i64)> = outbox::Entity::find()
            .select_only()
            .column(Column::Subject)
            .expr_as(Expr::col(Column::EntryId).count(), "deliveries")
            .expr_as(Expr::col(Column::DeadAt).count(), "dead")
            .filter(DeliveryFilter::default().condition())
            .group_by(Column::Subject)
            .into_tuple()
            .all(&self.executor())
            .await?;
        let counts = |(webhook, all, dead)| (webhook, DeliveryCounts { waiting: all - dead, dead });
        Ok(rows.into_iter().map(counts).collect())
    }
}

impl Store {
    /// Makes deliveries due, as if they had never been tried; returns how many.
    /// With ids it is all of them or none: then, those that are not there.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn retry_deliveries(
        &self,
        filter: &DeliveryFilter,
        now: Timestamp,
    ) -> Result<Result<u64, Vec<String>>, StoreError> {
        let transaction = self.begin_raw().await?;
        if let Some(ids) = &filter.ids {
            let there = outbox::Entity::find().select_only().column(Column::EntryId).filter(filter.condition());
            let there: HashSet<String> = there.into_tuple().all(&transaction).await?.into_iter().collect();
            let missing: Vec<String> = ids.iter().filter(|id| !there.contains(*id)).cloned().collect();
            if !missing.is_empty() {
                return Ok(Err(missing));
            }
        }
        let none: SimpleExpr = Expr::value(Option::<i64>::None);
        let retried = outbox::Entity::update_many()
            .col_expr(Column::DueAt, Expr::value(now.micros()))
            .col_expr(Column::Attempts, Expr::value(0_i64))
            .col_expr(Column::DeadAt, none)
            .filter(filter.condition())
            .exec(&transaction)
            .await?;
        transaction.commit().await?;
        Ok(Ok(retried.rows_affected))
    }

    /// Notes that a delivery failed: it is due again then, or given up; unless
    /// somebody has made it due meanwhile.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn fail_delivery(
        &self,
        entry: &OutboxEntry,
        due_at: Option<Timestamp>,
        error: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        outbox::Entity::update_many()
            .col_expr(Column::DueAt, Expr::value(due_at.map_or(NEVER, Timestamp::micros)))
            .col_expr(Column::DeadAt, Expr::value(due_at.is_none().then(|| now.micros())))
            .col_expr(Column::Error, Expr::value(error))
            .filter(Column::EntryId.eq(entry.entry_id.as_str()))
            .filter(Column::DueAt.eq(entry.claimed_until.micros()))
            .exec(self.writer())
            .await?;
        Ok(())
    }

    /// Removes a delivery: it arrived.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn remove_delivery(&self, delivery_id: &str) -> Result<(), StoreError> {
        outbox::Entity::delete_by_id(delivery_id).exec(self.writer()).await?;
        Ok(())
    }

    /// Forgets deliveries that were made before an instant and have not arrived.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn forget_deliveries_before(&self, horizon: Timestamp) -> Result<(), StoreError> {
        outbox::Entity::delete_many()
            .filter(DeliveryFilter::default().condition())
            .filter(Column::CreatedAt.lt(horizon.micros()))
            .exec(self.writer())
            .await?;
        Ok(())
    }
}
