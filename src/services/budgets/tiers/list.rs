//! `ListBudgets`: the last made first.

use super::to_wire;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::page::{self, Asked, List};

/// Lists tiers.
pub(in crate::services::budgets) async fn list_budgets(
    ctx: Ctx,
    request: pb::ListBudgetsRequest,
) -> Result<pb::ListBudgetsResponse, Error> {
    let mut faults = Faults::default();
    let list = List::new(&ctx, &pb::ListBudgetsRequest::default());
    let asked =
        Asked { page_size: request.page_size, page_token: &request.page_token, include_total: request.include_total };
    let page = page::take(asked, &list, &mut faults);
    faults.finish()?;
    let found = ctx.app.store.view().list_tiers(&page).await?;
    Ok(pb::ListBudgetsResponse {
        budgets: to_wire(&ctx, found.items).await?,
        next_page_token: page::token(&list, found.next),
        total_size: found.total,
    })
}
