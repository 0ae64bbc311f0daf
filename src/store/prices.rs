//! Price records: read at the start, added by imports, never changed.

use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::entity::prices;
use super::error::StoreError;
use super::evictions::Eviction;
use super::json::{from_text, to_text};
use super::tx::Tx;
use super::view::View;
use crate::domain::audit::{Action, Change, Fields, ObjectType};
use crate::domain::clock::Timestamp;
use crate::domain::ids::new_uuid;
use crate::domain::pricing::catalogue::{Catalogue, Difference, StoredPrices};
use crate::domain::pricing::{PriceBook, PriceRecord};

impl View<'_> {
    /// The price book: every price record there is.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn price_book(&self) -> Result<PriceBook, StoreError> {
        let rows = prices::Entity::find().all(&self.executor()).await?;
        let records = rows.into_iter().map(|row| {
            let fields: Fields = from_text(&row.fields)?;
            let valid_from = Timestamp::from_micros(row.valid_from_at);
            Ok(PriceRecord { price_id: row.price_id, model: row.model, valid_from, fields })
        });
        let records = records.collect::<Result<Vec<_>, StoreError>>()?;
        Ok(PriceBook::new(records, self.model_pricings().await?))
    }

    /// What a price list would change, if changed prices held from an instant
    /// on.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn price_difference(&self, list: &Catalogue, from: Timestamp) -> Result<Difference, StoreError> {
        let rows = prices::Entity::find()
            .filter(prices::Column::ValidFromAt.lte(from.micros()))
            .order_by_asc(prices::Column::ValidFromAt)
            .all(&self.executor())
            .await?;
        let stored = rows.into_iter().map(|row| {
            let valid_from = Timestamp::from_micros(row.valid_from_at);
            Ok((row.model, StoredPrices { valid_from, fields: from_text(&row.fields)? }))
        });
        // Of each model the latest stays.
        Ok(list.difference(&stored.collect::<Result<_, StoreError>>()?, from))
    }

    /// Whether the price list is empty.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn has_no_prices(&self) -> Result<bool, StoreError> {
        Ok(prices::Entity::find().limit(1).one(&self.executor()).await?.is_none())
    }
}

impl Tx {
    /// Imports a price list, as one change: what is new holds since ever, what
    /// differs from an instant on, and what the list lacks stays.
    ///
    /// # Errors
    /// [`StoreError::Taken`] if another import was faster.
    pub async fn import_prices(&mut self, list: &Catalogue, from: Timestamp) -> Result<Difference, StoreError> {
        let difference = self.view().price_difference(list, from).await?;
        if difference.added.is_empty() && difference.changed.is_empty() {
            return Ok(difference);
        }
        let now = self.now();
        let added = difference.added.iter().map(|(model, fields)| (model, fields, Timestamp::EPOCH));
        let changed = difference.changed.iter().map(|(model, (_, after))| (model, after, from));
        let rows = added.chain(changed).map(|(model, fields, valid_from)| {
            Ok(prices::ActiveModel {
                price_id: Set(new_uuid().to_string()),
                model: Set(model.clone()),
                valid_from_at: Set(valid_from.micros()),
                fields: Set(to_text(fields)?),
                created_at: Set(now.micros()),
            })
        });
        let rows = rows.collect::<Result<Vec<_>, StoreError>>()?;
        for chunk in rows.chunks(1_000) {
            prices::Entity::insert_many(chunk.to_vec()).exec_without_returning(&self.inner).await?;
        }
        let summary = [
            ("added", difference.added.len()),
            ("changed", difference.changed.len()),
            ("unchanged", difference.unchanged),
        ];
        self.record(Change {
            action: Action::Import,
            object_type: ObjectType::Prices,
            object_id: "catalogue".to_owned(),
            before: None,
            team_id: None,
            organization_id: None,
            after: Some(summary.into_iter().map(|(name, count)| (name.to_owned(), count.into())).collect::<Fields>()),
        });
        self.evict(Eviction::Prices);
        Ok(difference)
    }
}
