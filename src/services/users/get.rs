//! `GetUser`: a user with its teams and keys.

use crate::domain::fault::{Refusal, Violation};
use crate::domain::reason::Reason;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::page::{List, newest_first, token};
use crate::services::wire::{access, key, team, text, user};
use crate::store::{KeyFilter, KeyScope, Order, PageRequest, SortKey, StoredUser, TeamFilter, TeamScope, sortable};

use super::shown;

/// How many keys and teams are shown with a user.
const SHOWN: u64 = 100;

/// Reads a user.
pub(super) async fn get_user(ctx: Ctx, request: pb::GetUserRequest) -> Result<pb::GetUserResponse, Error> {
    let mut faults = Faults::default();
    let asked = text::user_id("user_id", &request.user_id, &mut faults);
    let view = pb::UserView::try_from(request.view);
    if view.is_err() {
        faults.add("view", format!("has no value {}", request.view));
    }
    faults.finish()?;
    let Some(id) = asked.or_else(|| ctx.caller.user_id().cloned()) else {
        let rule = "is required: your credential has no user";
        return Err(Error::invalid(Violation::named("user_id", Reason::CallerHasNoUser, rule)));
    };
    let not_found = || Refusal::not_found(Reason::UserNotFound, "user", [&id]);
    let store = ctx.app.store.view();
    if !access::sees_user(&ctx, store, &id).await? {
        return Err(not_found().into());
    }
    let stored = store.find_stored_user(&id, ctx.now).await?.ok_or_else(not_found)?;
    match view.unwrap_or_default() {
        pb::UserView::Minimal => Ok(minimal(stored)),
        pb::UserView::Basic => basic(&ctx, stored).await,
        pb::UserView::Full | pb::UserView::Unspecified => full(&ctx, stored).await,
    }
}

fn minimal(stored: StoredUser) -> pb::GetUserResponse {
    let user = pb::User {
        user_id: stored.user.user_id.to_string(),
        user_email: stored.user.user_email.map(|email| email.to_string()),
        ..pb::User::default()
    };
    pb::GetUserResponse { user: Some(user), ..pb::GetUserResponse::default() }
}

async fn basic(ctx: &Ctx, stored: StoredUser) -> Result<pb::GetUserResponse, Error> {
    let shown = shown::of_one(ctx, &stored.user.user_id).await?;
    let user = user::to_wire(&stored, &shown, &ctx.app.rules.calendar, ctx.now);
    Ok(pb::GetUserResponse { user: Some(user), ..pb::GetUserResponse::default() })
}

async fn full(ctx: &Ctx, stored: StoredUser) -> Result<pb::GetUserResponse, Error> {
    let id = stored.user.user_id.clone();
    let view = ctx.app.store.view();
    // A team admin sees of a member what belongs to its own teams.
    let whole = ctx.scope.is_all() || ctx.caller.is_user(&id);
    let caller = ctx.caller.user_id().filter(|_| !whole);
    let page = PageRequest { size: SHOWN, after: None, count: false };
    let filter = KeyFilter {
        user_id: Some(id.clone()),
        visible_to: caller.map_or(KeyScope::All, |caller| KeyScope::OfUser(caller.clone())),
        ..KeyFilter::default()
    };
    let keys = view.list_keys(&filter, newest_first(&sortable::KEYS), &page, ctx.now).await?;
    let filter = TeamFilter {
        member: Some(id.clone()),
        visible_to: caller.map(|caller| TeamScope::OfUser(caller.clone())),
        ..TeamFilter::default()
    };
    let teams = view.list_teams(&filter, by_alias(), &page, ctx.now).await?;
    let calendar = &ctx.app.rules.calendar;
    let list = List::of_rpc(
        ctx,
        "bursar.v1.KeyService/ListKeys",
        &pb::ListKeysRequest { user_id: id.to_string(), ..pb::ListKeysRequest::default() },
    );
    Ok(pb::GetUserResponse {
        keys: keys.items.iter().map(|stored| key::to_wire(stored, calendar, ctx.now)).collect(),
        keys_next_page_token: token(&list, keys.next),
        teams: teams.items.iter().map(|stored| team::to_wire(stored, calendar, ctx.now)).collect(),
        ..basic(ctx, stored).await?
    })
}

fn by_alias() -> Order {
    let is_alias = |key: &&SortKey| key.name == "team_alias";
    let key = sortable::TEAMS.iter().find(is_alias).copied().unwrap_or(sortable::TEAMS[0]);
    Order { key, descending: false }
}
