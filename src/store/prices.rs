//! Price records: read at the start, added by imports, never changed.

use std::collections::BTreeMap;

use sea_orm::{ActiveValue::Set, EntityTrait, QueryOrder};

use super::entity::prices;
use super::error::StoreError;
use super::evictions::Eviction;
use super::json::{from_text, to_text};
use super::tx::Tx;
use super::view::View;
use crate::domain::audit::{Action, Change, Fields, ObjectType};
use crate::domain::clock::Timestamp;
use crate::domain::ids::new_uuid;
use crate::domain::pricing::catalogue::Catalogue;
use crate::domain::pricing::{PriceBook, PriceRecord};

/// What an import did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ImportReport {
    /// Models that are new.
    pub added: usize,
    /// Models whose prices changed.
    pub changed: usize,
    /// Models that are as they were.
    pub unchanged: usize,
}

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
        Ok(PriceBook::new(records, []))
    }

    /// The latest record of each model, as its fields.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn latest_price_fields(&self) -> Result<BTreeMap<String, Fields>, StoreError> {
        let rows = prices::Entity::find().order_by_asc(prices::Column::ValidFromAt).all(&self.executor()).await?;
        rows.into_iter().map(|row| Ok((row.model, from_text(&row.fields)?))).collect()
    }
}

impl Tx {
    /// Imports a price list, as one change: what is new holds since ever, what
    /// differs from now on, and what the list lacks stays.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn import_prices(&mut self, catalogue: &Catalogue) -> Result<ImportReport, StoreError> {
        let stored = self.view().latest_price_fields().await?;
        let difference = catalogue.difference(&stored);
        let report = ImportReport {
            added: difference.added.len(),
            changed: difference.changed.len(),
            unchanged: difference.unchanged,
        };
        if report.added + report.changed == 0 {
            return Ok(report);
        }
        let now = self.now();
        let added = difference.added.iter().map(|record| (record, Timestamp::EPOCH));
        let changed = difference.changed.iter().map(|record| (record, now));
        let rows = added.chain(changed).map(|((model, fields), valid_from)| {
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
        let summary = [("added", report.added), ("changed", report.changed), ("unchanged", report.unchanged)];
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
        Ok(report)
    }
}
