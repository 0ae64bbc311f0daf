//! `CustomerService`: a table of contents.

mod block;
mod create;
mod delete;
mod fields;
mod get;
mod list;
mod update;

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{App, Ctx, read, write};
use crate::domain::customer::Customer;
use crate::domain::fault::Refusal;
use crate::domain::ids::CustomerId;
use crate::domain::reason::Reason;
use crate::error::Error;
use crate::pb;
use crate::store::{StoreError, View};

/// The service.
pub(super) struct Customers(pub(super) Arc<App>);

#[tonic::async_trait]
impl pb::customer_service_server::CustomerService for Customers {
    async fn create_customer(
        &self,
        request: Request<pb::CreateCustomerRequest>,
    ) -> Result<Response<pb::CreateCustomerResponse>, Status> {
        write(&self.0, request, create::create_customer).await
    }

    async fn get_customer(
        &self,
        request: Request<pb::GetCustomerRequest>,
    ) -> Result<Response<pb::GetCustomerResponse>, Status> {
        read(&self.0, request, get::get_customer).await
    }

    async fn update_customer(
        &self,
        request: Request<pb::UpdateCustomerRequest>,
    ) -> Result<Response<pb::UpdateCustomerResponse>, Status> {
        write(&self.0, request, update::update_customer).await
    }

    async fn delete_customers(
        &self,
        request: Request<pb::DeleteCustomersRequest>,
    ) -> Result<Response<pb::DeleteCustomersResponse>, Status> {
        write(&self.0, request, delete::delete_customers).await
    }

    async fn list_customers(
        &self,
        request: Request<pb::ListCustomersRequest>,
    ) -> Result<Response<pb::ListCustomersResponse>, Status> {
        read(&self.0, request, list::list_customers).await
    }

    async fn block_customers(
        &self,
        request: Request<pb::BlockCustomersRequest>,
    ) -> Result<Response<pb::BlockCustomersResponse>, Status> {
        write(&self.0, request, block::block_customers).await
    }

    async fn unblock_customers(
        &self,
        request: Request<pb::UnblockCustomersRequest>,
    ) -> Result<Response<pb::UnblockCustomersResponse>, Status> {
        write(&self.0, request, block::unblock_customers).await
    }
}

/// No customers have these ids.
fn not_found<'a>(ids: impl IntoIterator<Item = &'a CustomerId>) -> Refusal {
    Refusal::not_found(Reason::CustomerNotFound, "customer", ids)
}

/// What a change says that somebody else was faster with.
fn stale(error: StoreError, id: &CustomerId) -> Error {
    match error {
        StoreError::Stale => Refusal::stale("customer", id).into(),
        error => error.into(),
    }
}

/// Customers on the wire, as a view sees them, with what they spent.
///
/// # Errors
/// [`Error`] if the database fails.
async fn to_wire(ctx: &Ctx, view: View<'_>, customers: Vec<Customer>) -> Result<Vec<pb::Customer>, Error> {
    let calendar = &ctx.app.rules.calendar;
    let defaults = &ctx.app.gate.rules().customers;
    let stored = view.customers_with_spend(customers, defaults, calendar, ctx.now).await?;
    Ok(stored.iter().map(|stored| fields::to_wire(stored, calendar, ctx.now)).collect())
}
