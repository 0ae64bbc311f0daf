//! `BlockCustomers`, `UnblockCustomers`: all or none.

use super::{not_found, stale, to_wire};
use crate::domain::customer::Customer;
use crate::domain::ids::CustomerId;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::text;
use crate::store::StoreError;

/// Blocks customers; who is unknown is made.
pub(super) async fn block_customers(
    ctx: Ctx,
    request: pb::BlockCustomersRequest,
) -> Result<pb::BlockCustomersResponse, Error> {
    Ok(pb::BlockCustomersResponse { customers: set_blocked(&ctx, &request.customer_ids, true).await? })
}

/// Unblocks customers.
pub(super) async fn unblock_customers(
    ctx: Ctx,
    request: pb::UnblockCustomersRequest,
) -> Result<pb::UnblockCustomersResponse, Error> {
    Ok(pb::UnblockCustomersResponse { customers: set_blocked(&ctx, &request.customer_ids, false).await? })
}

/// Nobody could lock a customer that was not there.
fn made_meanwhile(error: StoreError) -> StoreError {
    match error {
        StoreError::Taken(_) => StoreError::Contended("somebody else heard of the customer first".to_owned()),
        error => error,
    }
}

async fn set_blocked(ctx: &Ctx, ids: &[String], blocked: bool) -> Result<Vec<pb::Customer>, Error> {
    let mut faults = Faults::default();
    let ids = text::ids_to_delete("customer_ids", ids, CustomerId::parse, &mut faults);
    faults.finish()?;
    let mut tx = ctx.begin().await?;
    let mut found = tx.lock_customers(&ids).await?;
    let unknown: Vec<&CustomerId> = ids.iter().filter(|id| !found.contains_key(*id)).collect();
    if !blocked && !unknown.is_empty() {
        return Err(not_found(unknown).into());
    }
    let mut shown = Vec::with_capacity(ids.len());
    for id in &ids {
        shown.push(if let Some(before) = found.remove(id) {
            let mut after = Customer { blocked, ..before.clone() };
            tx.update_customer(&before, &mut after).await.map_err(|error| stale(error, id))?;
            after
        } else {
            let unheard_of = Customer::unheard_of(id.clone(), ctx.now);
            let made = Customer { blocked, version: Customer::UNTOUCHED + 1, ..unheard_of };
            tx.insert_customer(&made).await.map_err(made_meanwhile)?;
            made
        });
    }
    let shown = to_wire(ctx, tx.view(), shown).await?;
    ctx.commit(tx).await?;
    Ok(shown)
}
