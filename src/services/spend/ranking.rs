//! What things spent, the most first: the lists of spend.

use super::access;
use super::daily::days_to_wire;
use super::filters::{self, Asked, Filters, filters};
use crate::domain::clock::Timestamp;
use crate::domain::role::MemberPermission::TeamDailyActivity;
use crate::domain::rollup::{Dimension, Source};
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::reports::days::{DayRange, all_time};
use crate::services::reports::parts::{self, PARTS_MAX};
use crate::services::wire::faults::Faults;
use crate::services::wire::page::{self, List};
use crate::services::wire::text;
use crate::services::wire::usage::Metrics;
use crate::store::{Among, Cursor, CursorKey, EventScope, Name, PageRequest, Top, UsageFilter, View};

/// A valid request.
struct Question {
    range: Option<DayRange>,
    filters: Filters,
    page: PageRequest,
    list: List,
}

/// A page of the list.
struct Ranked {
    rows: Vec<(String, Name, pb::SpendMetrics)>,
    next_page_token: String,
    totals: pb::SpendMetrics,
    total_size: Option<i64>,
}

/// What the requests of all these lists have.
struct Common<'a> {
    start_date: &'a str,
    end_date: &'a str,
    time_zone: &'a str,
    filters: Asked<'a>,
    page: page::Asked<'a>,
}

/// Takes what all these requests have; and the page's list is the request
/// without its page.
macro_rules! question {
    ($ctx:expr, $request:expr, $faults:expr) => {{
        let mut list = $request.clone();
        (list.page_size, list.page_token, list.include_total) = (0, String::new(), false);
        let common = Common {
            start_date: &$request.start_date,
            end_date: &$request.end_date,
            time_zone: &$request.time_zone,
            filters: filters!($request),
            page: page::Asked {
                page_size: $request.page_size,
                page_token: &$request.page_token,
                include_total: $request.include_total,
            },
        };
        take($ctx, &common, List::new($ctx, &list), $faults)
    }};
}

fn take(ctx: &Ctx, asked: &Common<'_>, list: List, faults: &mut Faults) -> Question {
    let is_dated = !asked.start_date.is_empty() || !asked.end_date.is_empty();
    if !is_dated && !asked.time_zone.is_empty() {
        faults.add("time_zone", "needs start_date and end_date: all time has no days");
    }
    let range = if is_dated {
        DayRange::take(asked.start_date, asked.end_date, asked.time_zone, ctx.now, faults)
    } else {
        None
    };
    let page = page::take(asked.page, &list, faults);
    Question { range, filters: filters::take(&asked.filters, faults), page, list }
}

impl Question {
    fn between(&self, ctx: &Ctx) -> (Timestamp, Timestamp) {
        self.range.as_ref().map_or_else(|| all_time(ctx.now), DayRange::ends)
    }
}

/// Ranks the values of a dimension by what they spent.
async fn rank(
    ctx: &Ctx,
    question: Question,
    by: Dimension,
    visible_to: EventScope,
    among: Option<Among>,
) -> Result<Ranked, Error> {
    let between = question.between(ctx);
    let Question { filters, page, list, .. } = question;
    let filter = filters.of(ctx, visible_to).await?;
    let snapshot = ctx.app.store.snapshot().await?;
    rank_in(&snapshot.view(), filter, between, by, among, (page, &list)).await
}

/// Ranks them as one state of the database has them.
async fn rank_in(
    view: &View<'_>,
    mut filter: UsageFilter,
    between: (Timestamp, Timestamp),
    by: Dimension,
    among: Option<Among>,
    (page, list): (PageRequest, &List),
) -> Result<Ranked, Error> {
    let totals = whole(view, &filter, among.as_ref(), between).await?;
    filter.among.extend(among);
    if by == Dimension::Tag {
        filter.source = Source::Tag;
    }
    let after = page.after.and_then(|cursor| match cursor.key {
        CursorKey::Int(nanos) => Some((nanos, cursor.id)),
        _ => None,
    });
    let mut found = view.top_usage(&filter, between, by, &Top { size: page.size + 1, after }).await?;
    let size = usize::try_from(page.size).unwrap_or(usize::MAX);
    let more = found.len() > size;
    found.truncate(size);
    let next =
        found.last().filter(|_| more).map(|row| Cursor { key: CursorKey::Int(row.spent_nanos), id: row.slice.clone() });
    let total_size = if page.count { Some(view.count_parts(&filter, between, by).await?) } else { None };
    let ids: Vec<String> = found.iter().map(|row| row.slice.clone()).collect();
    let mut names = view.names(by, &ids).await?;
    let rows = found.into_iter().map(|row| {
        let metrics = Metrics::from(&row);
        let name = names.remove(&row.slice).unwrap_or_default();
        (row.slice, name, metrics.to_wire())
    });
    Ok(Ranked { rows: rows.collect(), next_page_token: page::token(list, next), totals: totals.to_wire(), total_size })
}

/// All that a list is about, each call once.
async fn whole(
    view: &View<'_>,
    filter: &UsageFilter,
    among: Option<&Among>,
    (from, until): (Timestamp, Timestamp),
) -> Result<Metrics, Error> {
    let sum = async |filter: &UsageFilter| -> Result<Metrics, Error> {
        Ok(parts::total(&parts::by_interval(view, &[from, until], filter).await?))
    };
    let mut narrowed = filter.clone();
    match among {
        // Calls with a tag, or on behalf of somebody, are many rows; those
        // without are few, and the rest is with.
        Some(Among { dimension, ids, of_some, .. }) if ids.is_empty() => {
            let all = sum(filter).await?;
            if !of_some {
                return Ok(all);
            }
            if *dimension == Dimension::Tag {
                narrowed.source = Source::Tag;
            }
            narrowed.among.push(Among { ids: vec![String::new()], of_some: false, ..Among::some(*dimension) });
            Ok(all.without(&sum(&narrowed).await?))
        }
        among => {
            narrowed.among.extend(among.cloned());
            sum(&narrowed).await
        }
    }
}

/// Lists what keys spent.
pub(super) async fn list_key_spend(
    ctx: Ctx,
    request: pb::ListKeySpendRequest,
) -> Result<pb::ListKeySpendResponse, Error> {
    let mut faults = Faults::default();
    let question = question!(&ctx, request, &mut faults);
    faults.finish()?;
    let visible_to = access::scope(&ctx, TeamDailyActivity);
    let Ranked { rows, next_page_token, totals, total_size } =
        rank(&ctx, question, Dimension::Key, visible_to, None).await?;
    let row = |(key_id, name, metrics): (String, Name, pb::SpendMetrics)| pb::KeySpend {
        key_id,
        key_hash: name.key_hash,
        key_alias: name.alias,
        metrics: Some(metrics),
    };
    let rows = rows.into_iter().map(row).collect();
    Ok(pb::ListKeySpendResponse { rows, next_page_token, totals: Some(totals), total_size })
}

/// Lists what users spent.
pub(super) async fn list_user_spend(
    ctx: Ctx,
    request: pb::ListUserSpendRequest,
) -> Result<pb::ListUserSpendResponse, Error> {
    let mut faults = Faults::default();
    let question = question!(&ctx, request, &mut faults);
    faults.finish()?;
    let visible_to = access::scope(&ctx, TeamDailyActivity);
    let Ranked { rows, next_page_token, totals, total_size } =
        rank(&ctx, question, Dimension::User, visible_to, None).await?;
    let row = |(user_id, name, metrics): (String, Name, pb::SpendMetrics)| pb::UserSpend {
        user_id,
        user_alias: name.alias,
        metrics: Some(metrics),
    };
    let rows = rows.into_iter().map(row).collect();
    Ok(pb::ListUserSpendResponse { rows, next_page_token, totals: Some(totals), total_size })
}

/// Lists what teams spent.
pub(super) async fn list_team_spend(
    ctx: Ctx,
    request: pb::ListTeamSpendRequest,
) -> Result<pb::ListTeamSpendResponse, Error> {
    let mut faults = Faults::default();
    let question = question!(&ctx, request, &mut faults);
    if request.include_days && question.range.is_none() {
        faults.add("include_days", "needs start_date and end_date");
    }
    faults.finish()?;
    let visible_to = access::scope_of_teams(&ctx);
    let between = question.between(&ctx);
    let Question { range, filters, page, list } = question;
    let filter = filters.of(&ctx, visible_to).await?;
    let snapshot = ctx.app.store.snapshot().await?;
    let view = snapshot.view();
    let days = match range.filter(|_| request.include_days) {
        None => Vec::new(),
        Some(range) => days_by_team(&view, &range, &filter).await?,
    };
    let ranked = rank_in(&view, filter, between, Dimension::Team, None, (page, &list)).await?;
    let Ranked { rows, next_page_token, totals, total_size } = ranked;
    let row = |(team_id, name, metrics): (String, Name, pb::SpendMetrics)| pb::TeamSpend {
        team_id,
        team_alias: name.alias,
        metrics: Some(metrics),
    };
    let rows = rows.into_iter().map(row).collect();
    Ok(pb::ListTeamSpendResponse { rows, next_page_token, totals: Some(totals), total_size, days })
}

async fn days_by_team(view: &View<'_>, range: &DayRange, filter: &UsageFilter) -> Result<Vec<pb::DailySpend>, Error> {
    let by = (pb::SpendDimension::Team, Dimension::Team);
    let split = [parts::split(view, range.borders(), filter, by, PARTS_MAX).await?];
    let mut days = days_to_wire(range, &parts::whole(view, range.borders(), filter, &split).await?);
    let [split] = split;
    for (day, breakdown) in days.iter_mut().zip(split.breakdowns) {
        day.breakdowns.push(breakdown);
    }
    Ok(days)
}

/// Lists what was spent on models.
pub(super) async fn list_model_spend(
    ctx: Ctx,
    request: pb::ListModelSpendRequest,
) -> Result<pb::ListModelSpendResponse, Error> {
    let mut faults = Faults::default();
    let question = question!(&ctx, request, &mut faults);
    faults.finish()?;
    let visible_to = access::scope(&ctx, TeamDailyActivity);
    let Ranked { rows, next_page_token, totals, total_size } =
        rank(&ctx, question, Dimension::Model, visible_to, None).await?;
    let rows = rows.into_iter().map(|(model, _, metrics)| pb::ModelSpend { model, metrics: Some(metrics) }).collect();
    Ok(pb::ListModelSpendResponse { rows, next_page_token, totals: Some(totals), total_size })
}

/// Lists what was spent with providers.
pub(super) async fn list_provider_spend(
    ctx: Ctx,
    request: pb::ListProviderSpendRequest,
) -> Result<pb::ListProviderSpendResponse, Error> {
    let mut faults = Faults::default();
    let question = question!(&ctx, request, &mut faults);
    faults.finish()?;
    let visible_to = access::scope(&ctx, TeamDailyActivity);
    let Ranked { rows, next_page_token, totals, total_size } =
        rank(&ctx, question, Dimension::Provider, visible_to, None).await?;
    let row = |(provider, _, metrics)| pb::ProviderSpend { provider, metrics: Some(metrics) };
    let rows = rows.into_iter().map(row).collect();
    Ok(pb::ListProviderSpendResponse { rows, next_page_token, totals: Some(totals), total_size })
}

/// Lists what was spent on behalf of end users.
pub(super) async fn list_customer_spend(
    ctx: Ctx,
    request: pb::ListCustomerSpendRequest,
) -> Result<pb::ListCustomerSpendResponse, Error> {
    let mut faults = Faults::default();
    let question = question!(&ctx, request, &mut faults);
    faults.finish()?;
    let named = (!request.include_empty).then(|| Among::some(Dimension::Customer));
    let visible_to = access::scope_by_customer(&ctx)?;
    let Ranked { rows, next_page_token, totals, total_size } =
        rank(&ctx, question, Dimension::Customer, visible_to, named).await?;
    let row = |(customer_id, _, metrics)| pb::CustomerSpend { customer_id, metrics: Some(metrics) };
    let rows = rows.into_iter().map(row).collect();
    Ok(pb::ListCustomerSpendResponse { rows, next_page_token, totals: Some(totals), total_size })
}

/// The most tags that a list can be narrowed to.
const TAGS_MAX: usize = 100;

/// Lists what was spent under tags.
pub(super) async fn list_tag_spend(
    ctx: Ctx,
    request: pb::ListTagSpendRequest,
) -> Result<pb::ListTagSpendResponse, Error> {
    let mut faults = Faults::default();
    let question = question!(&ctx, request, &mut faults);
    if request.tags.len() > TAGS_MAX {
        faults.add("tags", format!("must have at most {TAGS_MAX} entries"));
    }
    for (index, tag) in request.tags.iter().enumerate() {
        text::check(&format!("tags[{index}]"), tag, text::LABEL_MAX_BYTES, &mut faults);
    }
    faults.finish()?;
    let of_some = !request.include_untagged;
    let tagged = Among { ids: request.tags, of_some, ..Among::some(Dimension::Tag) };
    let visible_to = access::scope(&ctx, TeamDailyActivity);
    let Ranked { rows, next_page_token, totals, total_size } =
        rank(&ctx, question, Dimension::Tag, visible_to, Some(tagged)).await?;
    let rows = rows.into_iter().map(|(tag, _, metrics)| pb::TagSpend { tag, metrics: Some(metrics) }).collect();
    Ok(pb::ListTagSpendResponse { rows, next_page_token, totals: Some(totals), total_size })
}
