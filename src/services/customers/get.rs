//! `GetCustomer`.

use super::{not_found, to_wire};
use crate::domain::ids::CustomerId;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::text;

/// Reads a customer.
pub(super) async fn get_customer(ctx: Ctx, request: pb::GetCustomerRequest) -> Result<pb::GetCustomerResponse, Error> {
    let mut faults = Faults::default();
    let id = text::required_id("customer_id", &request.customer_id, CustomerId::parse, &mut faults);
    faults.finish()?;
    let id = id.ok_or_else(|| Error::internal("an id vanished"))?;
    let view = ctx.app.store.view();
    let customer = view.find_customer(&id).await?.ok_or_else(|| not_found([&id]))?;
    Ok(pb::GetCustomerResponse { customer: to_wire(&ctx, view, vec![customer]).await?.pop() })
}
