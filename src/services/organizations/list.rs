//! `ListOrganizations`: organizations by filters, page by page.

use crate::domain::ids::OrganizationId;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::page::{self, Asked, List, newest_first};
use crate::services::wire::{access, organization, text};
use crate::store::{Order, OrganizationFilter, PageRequest, sortable};

/// A valid request.
struct Command {
    filter: OrganizationFilter,
    order: Order,
    page: PageRequest,
    list: List,
}

/// Lists organizations.
pub(super) async fn list_organizations(
    ctx: Ctx,
    request: pb::ListOrganizationsRequest,
) -> Result<pb::ListOrganizationsResponse, Error> {
    let Command { mut filter, order, page, list } = parse(&ctx, request)?;
    if let Some(member) = filter.member.as_ref().filter(|member| !ctx.scope.is_all() && !ctx.caller.is_user(member)) {
        return Err(access::not_your_user(member).into());
    }
    let view = ctx.app.store.view();
    // Who lists has a user, or reaches everything.
    let caller = ctx.caller.user_id().filter(|_| !ctx.scope.is_all());
    filter.visible_to = caller.cloned();
    let administered = match caller {
        Some(user) => view.organizations_administered(user).await?,
        None => Vec::new(),
    };
    let found = view.list_organizations(&filter, order, &page, ctx.now).await?;
    let shown = found.items.iter().map(|stored| {
        if ctx.scope.is_all() || administered.contains(&stored.organization.organization_id) {
            organization::to_wire(stored, &ctx.app.rules.calendar, ctx.now)
        } else {
            organization::name_to_wire(stored)
        }
    });
    Ok(pb::ListOrganizationsResponse {
        organizations: shown.collect(),
        next_page_token: page::token(&list, found.next),
        total_size: found.total,
    })
}

fn parse(ctx: &Ctx, request: pb::ListOrganizationsRequest) -> Result<Command, Error> {
    let mut faults = Faults::default();
    let asked =
        Asked { page_size: request.page_size, page_token: &request.page_token, include_total: request.include_total };
    let filters = pb::ListOrganizationsRequest {
        page_size: 0,
        page_token: String::new(),
        include_total: false,
        ..request.clone()
    };
    let list = List::new(ctx, &filters);
    let page = page::take(asked, &list, &mut faults);
    let newest = newest_first(&sortable::ORGANIZATIONS);
    let order = page::order(&request.order_by, &sortable::ORGANIZATIONS, newest, &mut faults);
    let filter = OrganizationFilter {
        organization_ids: text::ids("organization_ids", &request.organization_ids, OrganizationId::parse, &mut faults),
        member: text::user_id("user_id", &request.user_id, &mut faults),
        alias_contains: text::part("organization_alias_contains", request.organization_alias_contains, &mut faults),
        blocked: request.blocked,
        visible_to: None,
    };
    faults.finish()?;
    Ok(Command { filter, order, page, list })
}
