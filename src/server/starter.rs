//! The starter price list: so that a fresh server can price calls.

use crate::domain::audit::Author;
use crate::domain::clock::Timestamp;
use crate::domain::pricing::catalogue;
use crate::store::{Store, StoreError};

/// Some well-known models, in the format of a price list.
const STARTER: &str = include_str!("starter_prices.json");

/// Imports the starter list into a price table that is empty.
pub(super) async fn import(store: &Store, now: Timestamp) -> Result<(), StoreError> {
    if !store.view().has_no_prices().await? {
        return Ok(());
    }
    let list = catalogue::parse(STARTER, false).map_err(|error| StoreError::Broken(error.to_string()))?;
    let author = Author::bursar("start");
    let mut tx = store.begin(author, now).await?;
    let report = match tx.import_prices(&list, now).await {
        // Another instance, started at the same moment, was faster.
        Err(StoreError::Taken(_)) => return Ok(()),
        report => report?,
    };
    // Nothing is in memory yet that could be stale.
    let _ = tx.commit().await?;
    tracing::info!(models = report.added.len(), "imported the starter price list; see `bursar prices import`");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::pricing::{Price, PriceRecord};

    #[test]
    fn the_starter_list_is_valid_and_prices_tokens() {
        let list = catalogue::parse(STARTER, false).expect("a price list");
        assert!(list.rejected.is_empty(), "{:?}", list.rejected);
        assert!((20..=40).contains(&list.models.len()));
        for (model, fields) in &list.models {
            let (model, fields) = (model.clone(), fields.clone());
            let record = PriceRecord { price_id: String::new(), model, valid_from: Timestamp::EPOCH, fields };
            let price = Price::of(&record);
            assert!(price.bills_tokens() && !price.is_zero && price.provider.is_some(), "{}", price.model);
        }
    }
}
