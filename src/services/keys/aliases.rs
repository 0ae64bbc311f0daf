//! `ListKeyAliases`: the aliases of the keys that a caller may list.

use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::page::{self, Asked, List};
use crate::services::wire::text;
use crate::store::{KeyFilter, Order, sortable};

use super::list;

/// Lists aliases.
pub(super) async fn list_key_aliases(
    ctx: Ctx,
    request: pb::ListKeyAliasesRequest,
) -> Result<pb::ListKeyAliasesResponse, Error> {
    let mut faults = Faults::default();
    let asked =
        Asked { page_size: request.page_size, page_token: &request.page_token, include_total: request.include_total };
    let filters =
        pb::ListKeyAliasesRequest { page_size: 0, page_token: String::new(), include_total: false, ..request.clone() };
    let of = List::new(&ctx, &filters);
    let page = page::take(asked, &of, &mut faults);
    let mut filter = KeyFilter {
        team_id: text::team_id("team_id", &request.team_id, &mut faults),
        key_alias_contains: text::part("search", request.search, &mut faults),
        has_alias: true,
        ..KeyFilter::default()
    };
    faults.finish()?;
    filter.visible_to = list::scope(&ctx).await?;
    list::check_filters(&ctx, &filter).await?;
    let by_alias = sortable::KEYS.into_iter().find(|key| key.name == "key_alias");
    let key = by_alias.ok_or_else(|| Error::internal("keys have no order by alias"))?;
    let found = ctx.app.store.view().list_keys(&filter, Order { key, descending: false }, &page, ctx.now).await?;
    Ok(pb::ListKeyAliasesResponse {
        key_aliases: found.items.into_iter().filter_map(|stored| stored.key.key_alias).collect(),
        next_page_token: page::token(&of, found.next),
        total_size: found.total,
    })
}
