//! `ListUsers`: users by filters, page by page.

use crate::auth::Reach;
use crate::domain::fault::Refusal;
use crate::domain::ids::{OrganizationId, UserId};
use crate::domain::reason::Reason;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::page::{self, Asked, List, newest_first};
use crate::services::wire::{access, role, text, user};
use crate::store::{Order, PageRequest, SortKey, StoredUser, UserFilter, UserScope, sortable};

use super::{fields, shown};

/// A valid request.
struct Command {
    filter: UserFilter,
    order: Order,
    page: PageRequest,
    list: List,
    minimal: bool,
}

/// Lists users.
pub(super) async fn list_users(ctx: Ctx, request: pb::ListUsersRequest) -> Result<pb::ListUsersResponse, Error> {
    let Command { filter, order, page, list, minimal } = parse(&ctx, request)?;
    check_filters(&ctx, &filter).await?;
    let found = ctx.app.store.view().list_users(&filter, order, &page, ctx.now).await?;
    let users =
        if minimal { found.items.iter().map(minimal_user).collect() } else { whole(&ctx, &found.items).await? };
    Ok(pb::ListUsersResponse { users, next_page_token: page::token(&list, found.next), total_size: found.total })
}

fn parse(ctx: &Ctx, request: pb::ListUsersRequest) -> Result<Command, Error> {
    let mut faults = Faults::default();
    let asked =
        Asked { page_size: request.page_size, page_token: &request.page_token, include_total: request.include_total };
    let filters =
        pb::ListUsersRequest { page_size: 0, page_token: String::new(), include_total: false, ..request.clone() };
    let list = List::new(ctx, &filters);
    let page = page::take(asked, &list, &mut faults);
    // Who sees ids and addresses only learns nothing else by their order.
    let sees_all = !matches!(visible_to(ctx), UserScope::OfTeamAdmin(_));
    let known = |key: &SortKey| sees_all || ["created_at", "user_id", "user_email"].contains(&key.name);
    let sortable: Vec<SortKey> = sortable::USERS.into_iter().filter(known).collect();
    let order = page::order(&request.order_by, &sortable, newest_first(&sortable::USERS), &mut faults);
    let view = pb::UserView::try_from(request.view).unwrap_or_else(|_| {
        faults.add("view", format!("has no value {}", request.view));
        pb::UserView::Basic
    });
    let filter = UserFilter {
        role: role::role_from_wire("role", request.role, &mut faults),
        user_ids: text::ids("user_ids", &request.user_ids, UserId::parse, &mut faults),
        user_id_contains: text::part("user_id_contains", request.user_id_contains, &mut faults),
        email_contains: text::part("email_contains", request.email_contains, &mut faults),
        email: fields::email("user_email", Some(&request.user_email), &mut faults),
        team_id: text::team_id("team_id", &request.team_id, &mut faults),
        organization_ids: text::ids("organization_ids", &request.organization_ids, OrganizationId::parse, &mut faults),
        visible_to: visible_to(ctx),
    };
    faults.finish()?;
    let minimal = matches!(filter.visible_to, UserScope::OfTeamAdmin(_)) || view == pb::UserView::Minimal;
    Ok(Command { filter, order, page, list, minimal })
}

fn visible_to(ctx: &Ctx) -> UserScope {
    match ctx.caller.user_id() {
        Some(admin) if !ctx.scope.is_all() && ctx.scope.has(Reach::AdminOrganization) => {
            UserScope::OfOrganizationAdmin(admin.clone())
        }
        Some(admin) if !ctx.scope.is_all() => UserScope::OfTeamAdmin(admin.clone()),
        _ => UserScope::All,
    }
}

/// Who asks for an organization that is not its own is told so, and not by an
/// empty list.
async fn check_filters(ctx: &Ctx, filter: &UserFilter) -> Result<(), Error> {
    if ctx.scope.is_all() {
        return Ok(());
    }
    if filter.role.is_some() && matches!(filter.visible_to, UserScope::OfTeamAdmin(_)) {
        let message = "only proxy admins, viewers and organization admins may filter by role";
        return Err(Refusal::denied(Reason::FieldNotAllowed, message).with("field", "role").into());
    }
    if let Some(team) = &filter.team_id {
        access::visible_team(ctx, ctx.app.store.view(), team).await?;
    }
    for id in &filter.organization_ids {
        if !access::administers(ctx, ctx.app.store.view(), id).await? {
            return Err(access::not_your_organization(id).into());
        }
    }
    Ok(())
}

fn minimal_user(stored: &StoredUser) -> pb::User {
    pb::User {
        user_id: stored.user.user_id.to_string(),
        user_email: stored.user.user_email.as_ref().map(ToString::to_string),
        ..pb::User::default()
    }
}

/// Whole users, with a few queries for all of them.
async fn whole(ctx: &Ctx, users: &[StoredUser]) -> Result<Vec<pb::User>, Error> {
    let ids: Vec<UserId> = users.iter().map(|stored| stored.user.user_id.clone()).collect();
    let mut shown = shown::of(ctx, &ids).await?;
    let users = users.iter().map(|stored| {
        let shown = shown.remove(&stored.user.user_id).unwrap_or_default();
        user::to_wire(stored, &shown, &ctx.app.rules.calendar, ctx.now)
    });
    Ok(users.collect())
}
