//! `ListCustomers`: customers by filters, page by page.

use super::to_wire;
use crate::domain::ids::CustomerId;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::page::{self, Asked, List, newest_first};
use crate::services::wire::text;
use crate::store::{CustomerFilter, Order, PageRequest, sortable};

/// A valid request.
struct Command {
    filter: CustomerFilter,
    order: Order,
    page: PageRequest,
    list: List,
}

/// Lists customers.
pub(super) async fn list_customers(
    ctx: Ctx,
    request: pb::ListCustomersRequest,
) -> Result<pb::ListCustomersResponse, Error> {
    let Command { filter, order, page, list } = parse(&ctx, request)?;
    let view = ctx.app.store.view();
    let found = view.list_customers(&filter, order, &page).await?;
    Ok(pb::ListCustomersResponse {
        customers: to_wire(&ctx, view, found.items).await?,
        next_page_token: page::token(&list, found.next),
        total_size: found.total,
    })
}

fn parse(ctx: &Ctx, request: pb::ListCustomersRequest) -> Result<Command, Error> {
    let mut faults = Faults::default();
    let asked =
        Asked { page_size: request.page_size, page_token: &request.page_token, include_total: request.include_total };
    let filters =
        pb::ListCustomersRequest { page_size: 0, page_token: String::new(), include_total: false, ..request.clone() };
    let list = List::new(ctx, &filters);
    let page = page::take(asked, &list, &mut faults);
    let newest = newest_first(&sortable::CUSTOMERS);
    let order = page::order(&request.order_by, &sortable::CUSTOMERS, newest, &mut faults);
    let filter = CustomerFilter {
        customer_ids: text::ids("customer_ids", &request.customer_ids, CustomerId::parse, &mut faults),
        budget_id: text::budget_id("budget_id", &request.budget_id, &mut faults),
        customer_id_contains: text::part("customer_id_contains", request.customer_id_contains, &mut faults),
        alias_contains: text::part("alias_contains", request.alias_contains, &mut faults),
        blocked: request.blocked,
    };
    faults.finish()?;
    Ok(Command { filter, order, page, list })
}
