//! `ListBudgetModes`: by scope and id.

use super::super::{after_scope, cut};
use super::{take_scope, to_wire};
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::page::{self, Asked, List};

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
    let mut found = ctx.app.store.view().list_budget_modes(scope, after_scope(&page), page.size + 1).await?;
    let next = cut(&mut found, &page, |mode| (mode.scope, mode.id.as_str()));
    Ok(pb::ListBudgetModesResponse {
        budget_modes: found.iter().map(to_wire).collect(),
        next_page_token: page::token(&list, next),
    })
}
