//! `StreamUsage`: usage events message by message, acknowledged in order.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tonic::{Request, Response, Status, Streaming};

use super::record;
use crate::auth::recheck;
use crate::domain::fault::Violation;
use crate::domain::reason::Reason;
use crate::error::{Error, RETRY};
use crate::pb;
use crate::services::wire::messages::{Messages, messages};
use crate::services::{App, Ctx, open};

/// How many messages are on their way at once.
const IN_FLIGHT: usize = 16;

/// How many acknowledgements wait for a client that reads slowly.
const WAITING: usize = 16;

/// A message that is being recorded.
struct Pending {
    sequence: u64,
    work: JoinHandle<Result<pb::RecordUsageResponse, Error>>,
}

/// Records what the stream brings.
pub(super) fn stream_usage(
    app: &Arc<App>,
    request: Request<Streaming<pb::StreamUsageRequest>>,
) -> Result<Response<Messages<pb::StreamUsageResponse>>, Status> {
    let (ctx, inbound) = open(app, request).map_err(|error| error.to_status())?;
    let (pending, recorded) = mpsc::channel(IN_FLIGHT);
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::spawn(take(ctx.clone(), inbound, pending));
    tokio::spawn(acknowledge(ctx, recorded, sender));
    Ok(Response::new(messages(receiver)))
}

/// Takes messages until the client has no more, the server stops, or one of
/// them ends the stream. A full channel makes the client wait.
async fn take(ctx: Ctx, mut inbound: Streaming<pb::StreamUsageRequest>, pending: mpsc::Sender<Result<Pending, Error>>) {
    let mut stopping = ctx.app.gate.stopping();
    let mut last = None;
    loop {
        let message = tokio::select! {
            message = inbound.message() => message,
            _ = stopping.changed() => {
                let cause = "the server stops".to_owned();
                let _ = pending.send(Err(Error::Unavailable { reason: Reason::ShuttingDown, cause, retry: RETRY })).await;
                return;
            }
            // Nobody acknowledges any more.
            () = pending.closed() => return,
        };
        let message = match message {
            Ok(Some(message)) => message,
            // The client has no more.
            Ok(None) => return,
            Err(status) => {
                // Of a client that went away there is nothing to tell.
                if let Some(error) = Error::of_transport(status.code()) {
                    let _ = pending.send(Err(error)).await;
                }
                return;
            }
        };
        let begun = begin(&ctx, &mut last, &message).await;
        let ends = begun.is_err();
        if pending.send(begun).await.is_err() || ends {
            return;
        }
    }
}

/// Begins to record a message. It is recorded to its end, whether the client
/// waits for it or not.
async fn begin(ctx: &Ctx, last: &mut Option<u64>, message: &pb::StreamUsageRequest) -> Result<Pending, Error> {
    let now = ctx.app.clock.now();
    recheck(&ctx.caller, ctx.rpc, ctx.app.gate.directory(), now).await?;
    let sequence = message.sequence;
    if last.is_some_and(|last| sequence <= last) {
        let rule = format!("must be larger than that of the message before: {sequence} is not");
        return Err(Error::invalid(Violation::new("sequence", rule)));
    }
    *last = Some(sequence);
    let reports = record::parse(&message.events)?;
    let conflicts = record::Conflicts::take(message.on_id_conflict)?;
    let ctx = Ctx { now, ..ctx.clone() };
    let work = tokio::spawn(async move { record::record(&ctx, reports, conflicts).await });
    Ok(Pending { sequence, work })
}

/// Acknowledges messages in their order, each when it is durable.
async fn acknowledge(
    ctx: Ctx,
    mut recorded: mpsc::Receiver<Result<Pending, Error>>,
    sender: mpsc::Sender<Result<pb::StreamUsageResponse, Status>>,
) {
    while let Some(pending) = recorded.recv().await {
        let (sequence, answer) = match pending {
            Ok(Pending { sequence, work }) => {
                (sequence, work.await.unwrap_or_else(|error| Err(Error::internal(error))))
            }
            Err(error) => (0, Err(error)),
        };
        let answer = answer.map(|pb::RecordUsageResponse { recorded, duplicates, results }| pb::StreamUsageResponse {
            sequence,
            recorded,
            duplicates,
            results,
        });
        let ends = answer.is_err();
        let told = answer.map_err(|error| {
            ctx.log(&error);
            error.to_status()
        });
        if sender.send(told).await.is_err() || ends {
            return;
        }
    }
}
