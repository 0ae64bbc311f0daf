//! `ListUsage`: usage events by filters, page by page.

use crate::domain::models::MODEL_NAME_MAX_BYTES;
use crate::domain::reason::Reason;
use crate::domain::role::MemberPermission;
use crate::domain::rollup::Dimension;
use crate::domain::ticket::TICKET_MAX_CHARS;
use crate::domain::usage::UsageStatus;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::page::{self, Asked, List};
use crate::services::wire::{instant, key_ref, text, usage};
use crate::store::{EventFilter, EventScope, EventTime, PageRequest, StoredEvent};

use super::access::{self, Named};

/// A valid request.
struct Command {
    filter: EventFilter,
    named: Named,
    page: PageRequest,
    list: List,
}

/// Lists usage events.
pub(super) async fn list_usage(ctx: Ctx, request: pb::ListUsageRequest) -> Result<pb::ListUsageResponse, Error> {
    let Command { mut filter, named, page, list } = parse(&ctx, request)?;
    filter.key_id = access::check(&ctx, &named, MemberPermission::SpendLogs).await?;
    filter.visible_to = access::scope(&ctx, MemberPermission::SpendLogs);
    let found = ctx.app.store.view().list_events(&filter, &page).await?;
    let events = labelled(&ctx, found.items).await?;
    Ok(pb::ListUsageResponse { events, next_page_token: page::token(&list, found.next), total_size: found.total })
}

fn parse(ctx: &Ctx, request: pb::ListUsageRequest) -> Result<Command, Error> {
    let mut faults = Faults::default();
    let asked =
        Asked { page_size: request.page_size, page_token: &request.page_token, include_total: request.include_total };
    let filters =
        pb::ListUsageRequest { page_size: 0, page_token: String::new(), include_total: false, ..request.clone() };
    let list = List::new(ctx, &filters);
    let page = page::take(asked, &list, &mut faults);
    let (filter, named) = take_filter("", request, &mut faults);
    faults.finish()?;
    Ok(Command { filter, named, page, list })
}

/// Takes the filters of a request, whose fields have this prefix.
pub(super) fn take_filter(prefix: &str, request: pb::ListUsageRequest, faults: &mut Faults) -> (EventFilter, Named) {
    let path = |field: &str| format!("{prefix}{field}");
    for (field, value, max) in [
        ("customer_id", &request.customer_id, text::LABEL_MAX_BYTES),
        ("model", &request.model, MODEL_NAME_MAX_BYTES),
        ("tag", &request.tag, text::LABEL_MAX_BYTES),
        ("session_id", &request.session_id, text::LABEL_MAX_BYTES),
        ("provider", &request.provider, text::LABEL_MAX_BYTES),
        ("model_group", &request.model_group, MODEL_NAME_MAX_BYTES),
        ("call_type", &request.call_type, text::LABEL_MAX_BYTES),
        ("request_id", &request.request_id, TICKET_MAX_CHARS),
    ] {
        text::check(&path(field), value, max, faults);
    }
    let status = match pb::UsageStatus::try_from(request.status) {
        Ok(pb::UsageStatus::Unspecified) => None,
        Ok(pb::UsageStatus::Success) => Some(UsageStatus::Success),
        Ok(pb::UsageStatus::Failure) => Some(UsageStatus::Failure),
        Err(_) => {
            faults.add(path("status"), format!("has no value {}", request.status));
            None
        }
    };
    let time = match pb::UsageTimeField::try_from(request.time_field) {
        Ok(pb::UsageTimeField::Unspecified | pb::UsageTimeField::Start) => EventTime::Start,
        Ok(pb::UsageTimeField::End) => EventTime::End,
        Ok(pb::UsageTimeField::Recorded) => EventTime::Recorded,
        Err(_) => {
            faults.add(path("time_field"), format!("has no value {}", request.time_field));
            EventTime::Start
        }
    };
    let cost_source = usage::source_filter(&path("cost_source"), request.cost_source, faults);
    let named = Named {
        key: key_ref::optional(&path("key"), &request.key, faults),
        user_id: text::user_id(&path("user_id"), &request.user_id, faults),
        team_id: text::team_id(&path("team_id"), &request.team_id, faults),
        organization_id: text::organization_id(&path("organization_id"), &request.organization_id, faults),
    };
    let filter = EventFilter {
        time,
        from: instant::from_wire(&path("start_time"), request.start_time.as_ref(), faults),
        until: instant::from_wire(&path("end_time"), request.end_time.as_ref(), faults),
        key_id: None,
        user_id: named.user_id.clone(),
        team_id: named.team_id.clone(),
        organization_id: named.organization_id.clone(),
        min_spend: faults.money(path("min_spend"), request.min_spend.as_ref()),
        max_spend: faults.money(path("max_spend"), request.max_spend.as_ref()),
        customer_id: request.customer_id,
        model: request.model,
        tag: request.tag,
        request_id: request.request_id,
        session_id: request.session_id,
        provider: request.provider,
        model_group: request.model_group,
        call_type: request.call_type,
        cache_hit: request.cache_hit,
        cost_source,
        status,
        visible_to: EventScope::default(),
    };
    if filter.from.zip(filter.until).is_some_and(|(from, until)| until < from) {
        faults.add_named(path("end_time"), Reason::RangeReversed, "must not lie before start_time");
    }
    (filter, named)
}

/// Events with what is shown of their keys, also of deleted ones.
pub(super) async fn labelled(ctx: &Ctx, events: Vec<StoredEvent>) -> Result<Vec<pb::UsageEvent>, Error> {
    let mut ids: Vec<String> =
        events.iter().filter_map(|stored| stored.event.key_id).map(|id| id.to_string()).collect();
    ids.sort_unstable();
    ids.dedup();
    let names = ctx.app.store.view().names(Dimension::Key, &ids).await?;
    Ok(events
        .into_iter()
        .map(|stored| {
            let name = stored.event.key_id.and_then(|id| names.get(&id.to_string())).cloned().unwrap_or_default();
            usage::to_wire(stored, name)
        })
        .collect())
}
