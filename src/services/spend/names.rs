//! The end users and the tags that were seen, by name.

use super::access;
use crate::domain::role::MemberPermission::TeamDailyActivity;
use crate::domain::rollup::{Dimension, Source};
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::page::{self, Asked, List};
use crate::services::wire::text;
use crate::store::{Cursor, CursorKey, EventScope, UsageFilter};

/// Lists end users.
pub(super) async fn list_customer_names(
    ctx: Ctx,
    request: pb::ListCustomerNamesRequest,
) -> Result<pb::ListCustomerNamesResponse, Error> {
    let list =
        List::new(&ctx, &pb::ListCustomerNamesRequest { page_size: 0, page_token: String::new(), ..request.clone() });
    let asked = Asked { page_size: request.page_size, page_token: &request.page_token, include_total: false };
    let filter = |ctx: &Ctx| -> Result<UsageFilter, Error> {
        Ok(UsageFilter::of(Source::Call, access::scope_by_customer(ctx)?))
    };
    let (customer_ids, next_page_token) =
        names(&ctx, &request.prefix, asked, &list, (Dimension::Customer, filter)).await?;
    Ok(pb::ListCustomerNamesResponse { customer_ids, next_page_token })
}

/// Lists tags.
pub(super) async fn list_tag_names(
    ctx: Ctx,
    request: pb::ListTagNamesRequest,
) -> Result<pb::ListTagNamesResponse, Error> {
    let list = List::new(&ctx, &pb::ListTagNamesRequest { page_size: 0, page_token: String::new(), ..request.clone() });
    let asked = Asked { page_size: request.page_size, page_token: &request.page_token, include_total: false };
    let filter = |ctx: &Ctx| -> Result<UsageFilter, Error> {
        let visible_to: EventScope = access::scope(ctx, TeamDailyActivity);
        Ok(UsageFilter::of(Source::Tag, visible_to))
    };
    let (tags, next_page_token) = names(&ctx, &request.prefix, asked, &list, (Dimension::Tag, filter)).await?;
    Ok(pb::ListTagNamesResponse { tags, next_page_token })
}

/// A page of the values of a dimension, and the token of the next one.
async fn names(
    ctx: &Ctx,
    prefix: &str,
    asked: Asked<'_>,
    list: &List,
    (by, filter): (Dimension, impl FnOnce(&Ctx) -> Result<UsageFilter, Error>),
) -> Result<(Vec<String>, String), Error> {
    let mut faults = Faults::default();
    text::check("prefix", prefix, text::LABEL_MAX_BYTES, &mut faults);
    let page = page::take(asked, list, &mut faults);
    faults.finish()?;
    let filter = filter(ctx)?;
    let after = page.after.map(|cursor| cursor.id);
    let view = ctx.app.store.view();
    let mut found = view.usage_names(&filter, by, prefix, after.as_deref(), page.size + 1).await?;
    let size = usize::try_from(page.size).unwrap_or(usize::MAX);
    let more = found.len() > size;
    found.truncate(size);
    let next = found.last().filter(|_| more).map(|name| Cursor { key: CursorKey::Int(0), id: name.clone() });
    Ok((found, page::token(list, next)))
}
