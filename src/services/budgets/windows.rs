//! `ListBudgetWindows`: what an account spent, window by window.

use super::ACCOUNT_ID_MAX_BYTES;
use crate::domain::account::{AccountId, Scope};
use crate::domain::clock::Timestamp;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::page::{self, Asked, List};
use crate::services::wire::{budget, instant, text};
use crate::store::{PageRequest, PastWindow};

/// A valid request.
struct Command {
    accounts: Vec<AccountId>,
    page: PageRequest,
    list: List,
}

/// Lists windows.
pub(super) async fn list_budget_windows(
    ctx: Ctx,
    request: pb::ListBudgetWindowsRequest,
) -> Result<pb::ListBudgetWindowsResponse, Error> {
    let Command { accounts, page, list } = parse(&ctx, request)?;
    let found = ctx.app.store.view().list_windows(&accounts, &page).await?;
    Ok(pb::ListBudgetWindowsResponse {
        windows: found.items.iter().map(to_wire).collect(),
        next_page_token: page::token(&list, found.next),
        total_size: found.total,
    })
}

fn parse(ctx: &Ctx, request: pb::ListBudgetWindowsRequest) -> Result<Command, Error> {
    let mut faults = Faults::default();
    let asked =
        Asked { page_size: request.page_size, page_token: &request.page_token, include_total: request.include_total };
    let filters = pb::ListBudgetWindowsRequest {
        page_size: 0,
        page_token: String::new(),
        include_total: false,
        ..request.clone()
    };
    let list = List::new(ctx, &filters);
    let page = page::take(asked, &list, &mut faults);
    let scope = pb::BudgetScope::try_from(request.scope).ok().and_then(budget::scope_from_wire);
    if scope.is_none() {
        faults.add("scope", "must be a kind of account, such as BUDGET_SCOPE_KEY");
    }
    // There is one account of everything, and it has no name.
    if scope != Some(Scope::Global) {
        text::required("id", &request.id, ACCOUNT_ID_MAX_BYTES, &mut faults);
    } else if !request.id.is_empty() {
        faults.add("id", "must be empty: there is one account of everything");
    }
    faults.finish()?;
    let scope = match scope.ok_or_else(|| Error::internal("a scope vanished"))? {
        // What its budget is compared with.
        Scope::User if !ctx.app.gate.rules().user_budget_on_team_keys => Scope::UserPersonal,
        scope => scope,
    };
    Ok(Command { accounts: AccountId::of_object_id(scope, &request.id), page, list })
}

fn to_wire(past: &PastWindow) -> pb::BudgetWindow {
    let PastWindow { window, spent, used_at, .. } = past;
    pb::BudgetWindow {
        window_start: (window.start != Timestamp::EPOCH).then(|| instant::to_wire(window.start)),
        window_end: window.end.map(instant::to_wire),
        spend: spent.to_string(),
        last_used_at: used_at.map(instant::to_wire),
    }
}
