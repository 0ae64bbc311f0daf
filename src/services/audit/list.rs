//! `ListAuditEntries`: who changed what, page by page.

use strum::VariantArray;

use crate::domain::audit::ObjectType;
use crate::domain::ids::UserId;
use crate::domain::reason::Reason;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::page::{self, Asked, List};
use crate::services::wire::{instant, metadata, role, text};
use crate::store::{AuditFilter, Order, PageRequest, SortKey, StoredEntry};

/// The one column that entries are ordered by.
const SEQUENCE: SortKey = SortKey { name: "sequence", is_text: false, nullable: false };

/// The longest id of an object: of a member, that of its team and of its user.
const OBJECT_MAX_BYTES: usize = 1_025;

/// A valid request.
struct Command {
    filter: AuditFilter,
    descending: bool,
    page: PageRequest,
    list: List,
}

/// Lists audit entries.
pub(super) async fn list_audit_entries(
    ctx: Ctx,
    request: pb::ListAuditEntriesRequest,
) -> Result<pb::ListAuditEntriesResponse, Error> {
    let Command { filter, descending, page, list } = parse(&ctx, request)?;
    let found = ctx.app.store.view().list_audit_entries(&filter, descending, &page).await?;
    Ok(pb::ListAuditEntriesResponse {
        entries: found.items.into_iter().map(to_wire).collect(),
        next_page_token: page::token(&list, found.next),
        total_size: found.total,
    })
}

fn parse(ctx: &Ctx, request: pb::ListAuditEntriesRequest) -> Result<Command, Error> {
    let mut faults = Faults::default();
    let asked =
        Asked { page_size: request.page_size, page_token: &request.page_token, include_total: request.include_total };
    let filters = pb::ListAuditEntriesRequest {
        page_size: 0,
        page_token: String::new(),
        include_total: false,
        ..request.clone()
    };
    let list = List::new(ctx, &filters);
    let page = page::take(asked, &list, &mut faults);
    let latest_first = Order { key: SEQUENCE, descending: true };
    let order = page::order(&request.order_by, &[SEQUENCE], latest_first, &mut faults);
    let object_type = match request.object_type.as_str() {
        "" => None,
        name => name
            .parse()
            .map_err(|_| {
                let names: Vec<&str> = ObjectType::VARIANTS.iter().map(|kind| kind.as_str()).collect();
                faults.add("object_type", format!("must be one of {}", names.join(", ")));
            })
            .ok(),
    };
    text::check("object_id", &request.object_id, OBJECT_MAX_BYTES, &mut faults);
    for (field, value) in [
        ("actor", &request.actor),
        ("actor_key_id", &request.actor_key_id),
        ("rpc", &request.rpc),
        ("team_id", &request.team_id),
        ("organization_id", &request.organization_id),
    ] {
        text::check(field, value, OBJECT_MAX_BYTES, &mut faults);
    }
    let action = role::action_from_wire("action", request.action, &mut faults);
    let from = instant::from_wire("start_time", request.start_time.as_ref(), &mut faults);
    let until = instant::from_wire("end_time", request.end_time.as_ref(), &mut faults);
    if let (Some(from), Some(until)) = (from, until)
        && until < from
    {
        faults.add_named("end_time", Reason::RangeReversed, "must not lie before start_time");
    }
    faults.finish()?;
    let filter = AuditFilter {
        object_type,
        object_id: request.object_id,
        actor: request.actor,
        actor_key_id: request.actor_key_id,
        action,
        rpc: request.rpc,
        team_id: request.team_id,
        organization_id: request.organization_id,
        from,
        until,
        visible_to: visible_to(ctx).cloned(),
    };
    Ok(Command { filter, descending: order.descending, page, list })
}

/// Whose organizations the caller sees the entries of; `None`: it sees all.
pub(super) fn visible_to(ctx: &Ctx) -> Option<&UserId> {
    ctx.caller.user_id().filter(|_| !ctx.scope.is_all())
}

/// An entry on the wire.
pub(super) fn to_wire(entry: StoredEntry) -> pb::AuditEntry {
    pb::AuditEntry {
        audit_id: entry.audit_id,
        sequence: entry.sequence,
        at: Some(instant::to_wire(entry.at)),
        actor: entry.actor,
        actor_key_id: entry.actor_key_id,
        on_behalf_of: entry.on_behalf_of,
        action: role::action_to_wire(entry.action).into(),
        object_type: entry.object_type.as_str().to_owned(),
        object_id: entry.object_id,
        before: entry.before.as_ref().map(metadata::to_wire),
        after: entry.after.as_ref().map(metadata::to_wire),
        request_id: entry.request_id,
        rpc: entry.rpc,
        hash: entry.hash,
        team_id: entry.team_id,
        organization_id: entry.organization_id,
    }
}
