//! `CreateCustomer`.

use super::fields;
use crate::domain::customer::Customer;
use crate::domain::fault::Refusal;
use crate::domain::ids::CustomerId;
use crate::domain::money::Usd;
use crate::domain::reason::Reason;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::answer::{Answer, Slot, once};
use crate::services::wire::correction::{Owner, begin_with};
use crate::services::wire::faults::Faults;
use crate::services::wire::{taken, text};
use crate::store::{Constraint, Tx};

/// A valid request.
struct Command {
    customer: Customer,
    spend: Option<Usd>,
}

/// Makes a customer.
pub(super) async fn create_customer(
    ctx: Ctx,
    request: pb::CreateCustomerRequest,
) -> Result<pb::CreateCustomerResponse, Error> {
    let command = parse(&ctx, &request)?;
    once(&ctx, &request.request_id, &request, |slot| create(&ctx, command, slot)).await
}

fn parse(ctx: &Ctx, request: &pb::CreateCustomerRequest) -> Result<Command, Error> {
    let mut faults = Faults::default();
    let nothing = pb::Customer::default();
    let sent = request.customer.as_ref().unwrap_or(&nothing);
    text::request_id("request_id", &request.request_id, &mut faults);
    let id = text::required_id("customer.customer_id", &sent.customer_id, CustomerId::parse, &mut faults);
    let customer = fields::take(sent, id.unwrap_or_else(|| CustomerId::stored("")), ctx.now, &mut faults);
    if customer.budget.max.is_some() && customer.budget_id.is_some() {
        faults.add("customer.budget_id", "must not be set beside max_budget: the tier has one");
    }
    let spend = faults.money("customer.spend", sent.spend.as_ref());
    faults.finish()?;
    Ok(Command { customer, spend })
}

async fn create(ctx: &Ctx, command: Command, slot: Slot) -> Result<pb::CreateCustomerResponse, Error> {
    let Command { mut customer, spend } = command;
    let mut tx = ctx.begin().await?;
    join_tier(&mut tx, &mut customer).await?;
    tx.insert_customer(&customer).await.map_err(|error| {
        taken::explain(error, |constraint| {
            (constraint == Constraint::CustomerId).then(|| customer.customer_id.to_string())
        })
    })?;
    if let Some(spend) = spend {
        let (budget, _) = tx.view().limits_of_customer(&customer, &ctx.app.gate.rules().customers).await?;
        begin_with(ctx, &mut tx, &Owner::Customer(&customer.customer_id), &budget, spend).await?;
    }
    let shown = super::to_wire(ctx, tx.view(), vec![customer]).await?.pop();
    let answer = pb::CreateCustomerResponse { customer: shown };
    slot.keep(ctx, &mut tx, &answer).await?;
    ctx.commit(tx).await?;
    Ok(answer)
}

/// The windows of a new customer of a tier begin when it joins.
async fn join_tier(tx: &mut Tx, customer: &mut Customer) -> Result<(), Error> {
    let Some(id) = &customer.budget_id else { return Ok(()) };
    let tier = tx.hold_tier(id).await?.ok_or_else(|| Refusal::not_found(Reason::BudgetNotFound, "budget", [id]))?;
    customer.budget.anchor = tier.anchor_of_new(&customer.budget, tx.now());
    Ok(())
}

impl Answer for pb::CreateCustomerResponse {}
