//! `DeleteCustomers`: all or none.

use super::{not_found, stale};
use crate::domain::ids::CustomerId;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::text;

/// Deletes customers.
pub(super) async fn delete_customers(
    ctx: Ctx,
    request: pb::DeleteCustomersRequest,
) -> Result<pb::DeleteCustomersResponse, Error> {
    let mut faults = Faults::default();
    let ids = text::ids_to_delete("customer_ids", &request.customer_ids, CustomerId::parse, &mut faults);
    faults.finish()?;
    let mut tx = ctx.begin().await?;
    let found = tx.lock_customers(&ids).await?;
    let unknown: Vec<&CustomerId> = ids.iter().filter(|id| !found.contains_key(*id)).collect();
    if !unknown.is_empty() {
        return Err(not_found(unknown).into());
    }
    for (id, customer) in &found {
        tx.delete_customer(customer).await.map_err(|error| stale(error, id))?;
    }
    ctx.commit(tx).await?;
    Ok(pb::DeleteCustomersResponse { deleted_customer_ids: ids.iter().map(ToString::to_string).collect() })
}
