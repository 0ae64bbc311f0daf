//! `ExportUsage`: usage events as a stream, the earliest first.

use std::sync::Arc;

use tokio::sync::mpsc;
use tonic::{Request, Response, Status};

use super::access;
use super::list::{labelled, take_filter};
use crate::auth::recheck;
use crate::domain::role::MemberPermission;
use crate::error::Error;
use crate::pb;
use crate::services::wire::faults::Faults;
use crate::services::wire::messages::{Messages, messages};
use crate::services::wire::page::{self, List};
use crate::services::{App, Ctx, open};
use crate::store::{EventFilter, PageRequest};

/// How many events a message has.
const AT_ONCE: u64 = 1_000;

/// How many messages wait for a client that reads slowly: with the one that is
/// read, all that an export keeps in memory.
const WAITING: usize = 2;

/// An export that goes on.
struct Export {
    ctx: Ctx,
    filter: EventFilter,
    list: List,
    page: PageRequest,
}

/// Streams usage events.
pub(super) async fn export_usage(
    app: &Arc<App>,
    request: Request<pb::ExportUsageRequest>,
) -> Result<Response<Messages<pb::ExportUsageResponse>>, Status> {
    let (ctx, request) = open(app, request).map_err(|error| error.to_status())?;
    let export = match begin(&ctx, request).await {
        Ok(export) => export,
        Err(error) => {
            ctx.log(&error);
            return Err(error.to_status());
        }
    };
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::spawn(send_all(export, sender));
    Ok(Response::new(messages(receiver)))
}

async fn begin(ctx: &Ctx, request: pb::ExportUsageRequest) -> Result<Export, Error> {
    let mut faults = Faults::default();
    let filter = request.filter.unwrap_or_default();
    if filter.page_size != 0 || !filter.page_token.is_empty() || filter.include_total {
        faults.add("filter.page_size", "must be absent, as page_token and include_total: an export has no pages");
    }
    let list = List::new(ctx, &filter);
    let after = page::after("page_token", &request.page_token, &list, &mut faults);
    let (mut filter, named) = take_filter("filter.", filter, &mut faults);
    faults.finish()?;
    filter.key_id = access::check(ctx, &named, MemberPermission::SpendLogs).await?;
    filter.visible_to = access::scope(ctx, MemberPermission::SpendLogs);
    Ok(Export { ctx: ctx.clone(), filter, list, page: PageRequest { size: AT_ONCE, after, count: false } })
}

async fn send_all(mut export: Export, sender: mpsc::Sender<Result<pb::ExportUsageResponse, Status>>) {
    loop {
        let message = export.next().await;
        let ends = !matches!(&message, Ok(message) if !message.next_page_token.is_empty());
        let told = message.map_err(|error| {
            export.ctx.log(&error);
            error.to_status()
        });
        // A client that went away reads no more.
        if sender.send(told).await.is_err() || ends {
            return;
        }
    }
}

impl Export {
    async fn next(&mut self) -> Result<pb::ExportUsageResponse, Error> {
        let app = &self.ctx.app;
        recheck(&self.ctx.caller, self.ctx.rpc, app.gate.directory(), app.clock.now()).await?;
        let found = app.store.view().events_in_order(&self.filter, &self.page).await?;
        self.page.after.clone_from(&found.next);
        let events = labelled(&self.ctx, found.items).await?;
        Ok(pb::ExportUsageResponse { events, next_page_token: page::token(&self.list, found.next) })
    }
}
