//! `ListKeys`: keys by filters, page by page; also deleted ones.

use prost_types::Timestamp as Instant;

use crate::auth::Reach;
use crate::domain::fault::Refusal;
use crate::domain::key::KeyState;
use crate::domain::models::MODEL_NAME_MAX_BYTES;
use crate::domain::reason::Reason;
use crate::domain::role::MemberPermission;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::page::{self, Asked, List, newest_first};
use crate::services::wire::{access, instant, key, key_ref, new_key, role, text};
use crate::store::{InstantRange, KeyFilter, KeyScope, Order, PageRequest, sortable};

use super::get;

/// A valid request.
struct Command {
    filter: KeyFilter,
    order: Order,
    page: PageRequest,
    list: List,
}

/// Lists keys.
pub(super) async fn list_keys(ctx: Ctx, request: pb::ListKeysRequest) -> Result<pb::ListKeysResponse, Error> {
    let Command { mut filter, order, page, list } = parse(&ctx, request)?;
    filter.visible_to = scope(&ctx).await?;
    check_filters(&ctx, &filter).await?;
    let names_nobody = filter.user_id.is_none() && filter.team_id.is_none() && filter.organization_id.is_none();
    if !ctx.scope.is_all() && names_nobody {
        filter.user_id = ctx.caller.user_id().cloned();
    }
    let calendar = &ctx.app.rules.calendar;
    let view = ctx.app.store.view();
    if filter.state == Some(KeyState::Deleted) {
        let found = view.list_deleted_keys(&filter, &page).await?;
        let mut keys = Vec::with_capacity(found.items.len());
        for deleted in found.items {
            let spend = get::last_spend(&ctx, &deleted).await?;
            keys.push(key::deleted_to_wire(deleted, spend, calendar, ctx.now));
        }
        let next_page_token = page::token(&list, found.next);
        return Ok(pb::ListKeysResponse { keys, next_page_token, total_size: found.total });
    }
    let found = view.list_keys(&filter, order, &page, ctx.now).await?;
    Ok(pb::ListKeysResponse {
        keys: found.items.iter().map(|stored| key::to_wire(stored, calendar, ctx.now)).collect(),
        next_page_token: page::token(&list, found.next),
        total_size: found.total,
    })
}

fn parse(ctx: &Ctx, request: pb::ListKeysRequest) -> Result<Command, Error> {
    let mut faults = Faults::default();
    let asked =
        Asked { page_size: request.page_size, page_token: &request.page_token, include_total: request.include_total };
    let filters =
        pb::ListKeysRequest { page_size: 0, page_token: String::new(), include_total: false, ..request.clone() };
    let list = List::new(ctx, &filters);
    let page = page::take(asked, &list, &mut faults);
    let filter = KeyFilter {
        user_id: text::user_id("user_id", &request.user_id, &mut faults),
        team_id: text::team_id("team_id", &request.team_id, &mut faults),
        organization_id: text::organization_id("organization_id", &request.organization_id, &mut faults),
        key_alias: new_key::alias("key_alias", Some(&request.key_alias), &mut faults),
        key_hash: key_ref::optional("key", &request.key, &mut faults),
        key_type: role::key_type_from_wire("key_type", request.key_type, &mut faults),
        state: role::key_state_from_wire("status", request.status, &mut faults),
        key_alias_contains: text::part("key_alias_contains", request.key_alias_contains, &mut faults),
        search: text::part("search", request.search, &mut faults),
        budget_id: text::budget_id("budget_id", &request.budget_id, &mut faults),
        created_by: request.created_by,
        tag: request.tag,
        model: request.model,
        service_accounts_only: request.service_accounts_only,
        expires: range("expires", request.expires_after.as_ref(), request.expires_before.as_ref(), &mut faults),
        created: range("created", request.created_after.as_ref(), request.created_before.as_ref(), &mut faults),
        include_team_keys: request.include_team_keys,
        ..KeyFilter::default()
    };
    text::check("created_by", &filter.created_by, text::LABEL_MAX_BYTES, &mut faults);
    text::check("tag", &filter.tag, text::LABEL_MAX_BYTES, &mut faults);
    text::check("model", &filter.model, MODEL_NAME_MAX_BYTES, &mut faults);
    let order = page::order(&request.order_by, &sortable::KEYS, newest_first(&sortable::KEYS), &mut faults);
    faults.finish()?;
    Ok(Command { filter, order, page, list })
}

/// Takes a range of instants, from `<of>_after` until `<of>_before`.
fn range(of: &str, after: Option<&Instant>, before: Option<&Instant>, faults: &mut Faults) -> InstantRange {
    let until = format!("{of}_before");
    let range = InstantRange {
        from: instant::from_wire(&format!("{of}_after"), after, faults),
        until: instant::from_wire(&until, before, faults),
    };
    if range.from.zip(range.until).is_some_and(|(from, until)| until < from) {
        faults.add_named(until, Reason::RangeReversed, format!("must not lie before {of}_after"));
    }
    range
}

/// What the caller may see of the list.
pub(super) async fn scope(ctx: &Ctx) -> Result<KeyScope, Error> {
    if ctx.scope.is_all() {
        return Ok(KeyScope::All);
    }
    if let Some(user) = ctx.caller.user_id() {
        return Ok(KeyScope::OfUser(user.clone()));
    }
    let team = ctx.caller.team_of_its_own().ok_or_else(|| Error::internal("a key without reach"))?;
    let (team, standing) = access::visible_team(ctx, ctx.app.store.view(), team).await?;
    if standing.may(MemberPermission::KeyList) {
        return Ok(KeyScope::OfTeam(team.team_id));
    }
    let message = "the team does not permit KEY_LIST to its members";
    let refusal = Refusal::denied(Reason::TeamPermissionMissing, message);
    Err(refusal.with("permission", "KEY_LIST").with("team_id", team.team_id).into())
}

/// Who asks for something outside its reach is told so, and not by an empty
/// list.
pub(super) async fn check_filters(ctx: &Ctx, filter: &KeyFilter) -> Result<(), Error> {
    if ctx.scope.is_all() {
        return Ok(());
    }
    let view = ctx.app.store.view();
    if let Some(user) = &filter.user_id {
        let is_admin = ctx.scope.has(Reach::AdminTeam) || ctx.scope.has(Reach::AdminOrganization);
        let sees = is_admin || ctx.caller.is_user(user);
        if !sees || !access::sees_user(ctx, view, user).await? {
            return Err(access::not_your_user(user).into());
        }
    }
    if let Some(id) = &filter.organization_id
        && !access::administers(ctx, view, id).await?
    {
        return Err(access::not_your_organization(id).into());
    }
    if let Some(id) = &filter.team_id {
        let team = view.find_team(id).await?;
        let sees = match &team {
            Some(team) => access::standing_to(ctx, view, team).await?.sees(),
            None => false,
        };
        if !sees {
            return Err(access::not_your_team(id).into());
        }
    }
    Ok(())
}
