//! `WatchChanges`: what a sidecar may have in memory and must read again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};
use tonic::{Request, Response, Status};

use crate::auth::recheck;
use crate::domain::fault::Violation;
use crate::domain::reason::Reason;
use crate::error::{Error, RETRY};
use crate::gate::{Announcement, Subject};
use crate::pb;
use crate::services::wire::messages::{Messages, messages};
use crate::services::wire::{alert, instant};
use crate::services::{App, Ctx, open};

/// What the service answers with.
pub(super) type Changes = Messages<pb::WatchChangesResponse>;

/// How many messages wait for a client that reads slowly.
const WAITING: usize = 16;

/// How often a stream says that it is alive, if nothing changes.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// Streams the changes.
pub(super) async fn watch_changes(
    app: &Arc<App>,
    request: Request<pb::WatchChangesRequest>,
) -> Result<Response<Changes>, Status> {
    let (ctx, message) = open(app, request).map_err(|error| error.to_status())?;
    let position = start(&ctx, message.after).await.map_err(|error| {
        ctx.log(&error);
        error.to_status()
    })?;
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::spawn(async move {
        if let Err(Some(error)) = tell(&ctx, position, &sender).await {
            ctx.log(&error);
            // The client may be gone.
            let _ = sender.send(Err(error.to_status())).await;
        }
    });
    Ok(Response::new(messages(receiver)))
}

/// After which position the stream begins.
async fn start(ctx: &Ctx, after: Option<i64>) -> Result<i64, Error> {
    let last = ctx.app.store.view().last_audit_sequence().await?;
    match after {
        None => Ok(last),
        Some(position) if (0..=last).contains(&position) => Ok(position),
        Some(_) => {
            let rule = format!("must be a position that was told: 0 to {last}");
            Err(Error::invalid(Violation::named("after", Reason::FieldInvalid, rule)))
        }
    }
}

type Sender = mpsc::Sender<Result<pb::WatchChangesResponse, Status>>;

/// Tells of every change after a position, until the client goes away (no
/// error), the server stops or the caller may not listen any more.
async fn tell(ctx: &Ctx, mut position: i64, sender: &Sender) -> Result<(), Option<Error>> {
    // First of all, so that nothing falls between reading and hearing.
    let mut news = ctx.app.gate.watch();
    let mut stopping = ctx.app.gate.stopping();
    // The first message says where the stream stands.
    send(sender, &[], position).await?;
    position = read(ctx, position, sender).await?;
    let mut heartbeat = tokio::time::interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            heard = news.recv() => match heard {
                Ok(changes) => {
                    let new: Vec<&Announcement> =
                        changes.iter().filter(|change| change.position > position).collect();
                    match (new.first(), new.last()) {
                        (Some(first), Some(last)) if first.position == position + 1 => {
                            send(sender, &new, last.position).await?;
                            position = last.position;
                        }
                        (Some(_), _) => position = read(ctx, position, sender).await?,
                        _ => {}
                    }
                }
                Err(RecvError::Lagged(_)) => position = read(ctx, position, sender).await?,
                Err(RecvError::Closed) => return Ok(()),
            },
            _ = heartbeat.tick() => send(sender, &[], position).await?,
            // Whoever has gone away need not be told.
            () = sender.closed() => return Ok(()),
            _ = stopping.changed() => {
                let cause = "the server stops".to_owned();
                return Err(Some(Error::Unavailable { reason: Reason::ShuttingDown, cause, retry: RETRY }));
            }
        }
        recheck(&ctx.caller, ctx.rpc, ctx.app.gate.directory(), ctx.app.clock.now()).await?;
    }
}

/// Tells what the database has after a position.
async fn read(ctx: &Ctx, mut position: i64, sender: &Sender) -> Result<i64, Option<Error>> {
    loop {
        let changes = ctx.app.gate.changes_after(position).await.map_err(Error::from)?;
        let Some(last) = changes.last() else { return Ok(position) };
        position = last.position;
        send(sender, &changes.iter().collect::<Vec<_>>(), position).await?;
    }
}

async fn send(sender: &Sender, changes: &[&Announcement], position: i64) -> Result<(), Option<Error>> {
    let changes = changes.iter().filter_map(|change| to_wire(change)).collect();
    let sent = sender.send(Ok(pb::WatchChangesResponse { changes, position })).await;
    sent.map_err(|_| None)
}

/// A change on the wire; none for what no sidecar has in memory.
fn to_wire(change: &Announcement) -> Option<pb::Change> {
    let empty = pb::Change {
        position: change.position,
        at: Some(instant::to_wire(change.at)),
        revoked: change.revoked,
        ..pb::Change::default()
    };
    let of_kind = |kind: pb::ChangeKind| pb::Change { kind: kind.into(), ..empty.clone() };
    Some(match &change.subject {
        Subject::Key(id, hashes) => pb::Change {
            key_id: id.to_string(),
            key_hash: hashes.first().map(ToString::to_string).unwrap_or_default(),
            former_key_hashes: hashes.iter().skip(1).map(ToString::to_string).collect(),
            ..of_kind(pb::ChangeKind::Key)
        },
        Subject::User(id) => pb::Change { user_id: id.to_string(), ..of_kind(pb::ChangeKind::User) },
        Subject::Team(id) => pb::Change { team_id: id.to_string(), ..of_kind(pb::ChangeKind::Team) },
        Subject::Member(team, user) => {
            pb::Change { team_id: team.to_string(), user_id: user.to_string(), ..of_kind(pb::ChangeKind::TeamMember) }
        }
        Subject::Organization(id) => {
            pb::Change { organization_id: id.to_string(), ..of_kind(pb::ChangeKind::Organization) }
        }
        Subject::OrganizationMember(organization, user) => pb::Change {
            organization_id: organization.to_string(),
            user_id: user.to_string(),
            ..of_kind(pb::ChangeKind::OrganizationMember)
        },
        Subject::Prices(model) => {
            pb::Change { model_name: model.clone().unwrap_or_default(), ..of_kind(pb::ChangeKind::Prices) }
        }
        Subject::Customer(id) => pb::Change { customer_id: id.to_string(), ..of_kind(pb::ChangeKind::Customer) },
        Subject::BudgetAlert(told) => {
            pb::Change { budget_alert: Some(alert::to_wire(told)), ..of_kind(pb::ChangeKind::BudgetAlert) }
        }
        Subject::ScopeBudget(_) | Subject::BudgetModes | Subject::Tier | Subject::Other => return None,
    })
}
