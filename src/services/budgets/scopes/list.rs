//! `ListScopeBudgets`: by scope and id.

use super::super::{after_scope, cut};
use super::{take_scope, to_wire};
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::page::{self, Asked, List};

/// Lists budgets.
pub(in crate::services::budgets) async fn list_scope_budgets(
    ctx: Ctx,
    request: pb::ListScopeBudgetsRequest,
) -> Result<pb::ListScopeBudgetsResponse, Error> {
    let mut faults = Faults::default();
    let filters = pb::ListScopeBudgetsRequest { page_size: 0, page_token: String::new(), ..request.clone() };
    let list = List::new(&ctx, &filters);
    let asked = Asked { page_size: request.page_size, page_token: &request.page_token, include_total: false };
    let page = page::take(asked, &list, &mut faults);
    let scope = if request.scope == 0 { None } else { take_scope(request.scope, &mut faults) };
    faults.finish()?;
    let view = ctx.app.store.view();
    let mut found = view.list_scope_budgets(scope, after_scope(&page), Some(page.size + 1)).await?;
    let next = cut(&mut found, &page, |of| (of.account.scope(), of.account.name()));
    Ok(pb::ListScopeBudgetsResponse {
        scope_budgets: to_wire(&ctx, found).await?,
        next_page_token: page::token(&list, next),
    })
}
