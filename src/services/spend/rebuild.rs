//! `RebuildRollups`: what reports read is made anew from the events.

use crate::domain::clock::Timestamp;
use crate::domain::fault::Refusal;
use crate::domain::reason::Reason;
use crate::domain::rollup::Grain;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::reports::days::{date_of, day_of};
use crate::services::wire::faults::Faults;
use crate::services::wire::{instant, text};
use crate::store::Rebuild;

/// What a request asks for.
enum Command {
    Start { from: Option<Timestamp>, until: Option<Timestamp> },
    Look { job_id: String },
}

/// Starts a rebuild, or tells how far one has come.
pub(super) async fn rebuild_rollups(
    ctx: Ctx,
    request: pb::RebuildRollupsRequest,
) -> Result<pb::RebuildRollupsResponse, Error> {
    let rebuild = match parse(request)? {
        Command::Look { job_id } => {
            let found = ctx.app.store.view().find_rebuild(&job_id).await?;
            found.ok_or_else(|| Refusal::not_found(Reason::JobNotFound, "job", [job_id]))?
        }
        Command::Start { from, until } => start(&ctx, from, until).await?,
    };
    Ok(pb::RebuildRollupsResponse { rebuild: Some(to_wire(&rebuild)) })
}

async fn start(ctx: &Ctx, from: Option<Timestamp>, until: Option<Timestamp>) -> Result<Rebuild, Error> {
    let first = match from {
        Some(from) => Some(from),
        None => ctx.app.store.view().first_day().await?,
    };
    // Events of clocks that run ahead may begin tomorrow.
    let until = until.unwrap_or_else(|| Grain::Day.end(Grain::Day.end(ctx.now)));
    let mut tx = ctx.begin().await?;
    let rebuild = tx.insert_rebuild(first.unwrap_or(until).min(until), until).await?;
    ctx.commit(tx).await?;
    Ok(rebuild)
}

fn parse(request: pb::RebuildRollupsRequest) -> Result<Command, Error> {
    let mut faults = Faults::default();
    if !request.job_id.is_empty() {
        if !request.start_date.is_empty() || !request.end_date.is_empty() {
            faults.add("job_id", "can't be set with dates");
        }
        text::required("job_id", &request.job_id, text::LABEL_MAX_BYTES, &mut faults);
        faults.finish()?;
        return Ok(Command::Look { job_id: request.job_id });
    }
    let mut day = |field: &str, text: &str| if text.is_empty() { None } else { day_of(field, text, &mut faults) };
    let from = day("start_date", &request.start_date);
    let last = day("end_date", &request.end_date);
    if let (Some(from), Some(last)) = (from, last)
        && last < from
    {
        faults.add_named("end_date", Reason::RangeReversed, "must not lie before start_date");
    }
    faults.finish()?;
    let until = last.map(|last| Grain::Day.end(last));
    Ok(Command::Start { from, until })
}

fn to_wire(rebuild: &Rebuild) -> pb::RollupRebuild {
    let last = Grain::Day.floor(rebuild.until.plus_seconds(-1));
    pb::RollupRebuild {
        job_id: rebuild.job_id.clone(),
        done: rebuild.done,
        start_date: date_of(rebuild.from),
        end_date: date_of(last),
        next_date: if rebuild.done { String::new() } else { date_of(rebuild.next) },
        rows_compared: rebuild.compared,
        rows_repaired: rebuild.repaired,
        created_at: Some(instant::to_wire(rebuild.created_at)),
        updated_at: Some(instant::to_wire(rebuild.updated_at)),
    }
}
