//! `CustomerService`: end users, and what binds calls on their behalf.

mod limits;
mod manage;

use bursar::pb;
use prost_types::FieldMask;
use tonic::{Response, Status};

use crate::support::world::World;
use crate::support::{Answer, Client};

/// A customer with a maximum.
pub fn customer(customer_id: &str, max_budget: Option<&str>) -> pb::Customer {
    pb::Customer { customer_id: customer_id.into(), max_budget: max_budget.map(Into::into), ..Default::default() }
}

/// Makes a customer.
pub async fn create(world: &World, customer: pb::Customer) -> pb::Customer {
    let request = pb::CreateCustomerRequest { customer: Some(customer), ..Default::default() };
    world.admin.customers().create_customer(request).await.answer().customer.unwrap()
}

pub async fn get(client: &Client, customer_id: &str) -> Result<Response<pb::GetCustomerResponse>, Status> {
    client.customers().get_customer(pb::GetCustomerRequest { customer_id: customer_id.into() }).await
}

/// Reads a customer that is there.
pub async fn known(world: &World, customer_id: &str) -> pb::Customer {
    get(&world.admin, customer_id).await.answer().customer.unwrap()
}

pub async fn update(
    world: &World,
    customer: pb::Customer,
    paths: &[&str],
) -> Result<Response<pb::UpdateCustomerResponse>, Status> {
    let mask = FieldMask { paths: paths.iter().map(ToString::to_string).collect() };
    let update_mask = (!paths.is_empty()).then_some(mask);
    world.admin.customers().update_customer(pb::UpdateCustomerRequest { customer: Some(customer), update_mask }).await
}
