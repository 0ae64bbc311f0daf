//! `ListBudgetModes`: by scope and id.

use super::{take_scope, to_wire};
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::page::{self, Asked, List};
use crate::store::{Cursor, CursorKey};

/// Lists modes.
pub(in crate::services::budgets) async fn list_budget_modes(
    ctx: Ctx,
    request: pb::ListBudgetModesRequest,
) -> Result<pb::ListBudgetModesResponse, Error> {
    let mut faults = Faults::default();
    let filters = pb::ListBudgetModesRequest { page_size: 0, page_token: String::new(), ..request.clone() };
    let list = List::new(&ctx, &filters);
    let asked = Asked { page_size: request.page_size, page_token: &request.page_token, include_total: false };
    let page = page::take(asked, &list, &mut faults);
    let scope = if request.scope == 0 { None } else { take_scope(request.scope, &mut faults) };
    faults.finish()?;
    let after = page.after.as_ref().and_then(|cursor| match &cursor.key {
        CursorKey::Text(scope) => Some((scope.as_str(), cursor.id.as_str())),
        _ => None,
    });
    let mut found = ctx.app.store.view().list_budget_modes(scope, after, page.size + 1).await?;
    let size = usize::try_from(page.size).unwrap_or(usize::MAX);
    let more = found.len() > size;
    found.truncate(size);
    let next = found
        .last()
        .filter(|_| more)
        .map(|last| Cursor { key: CursorKey::Text(last.scope.as_str().to_owned()), id: last.id.clone() });
    Ok(pb::ListBudgetModesResponse {
        budget_modes: found.iter().map(to_wire).collect(),
        next_page_token: page::token(&list, next),
    })
}
