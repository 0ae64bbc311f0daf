//! `GetUserDailyActivity`: what users used, by day.

use crate::auth::Reach;
use crate::domain::ids::UserId;
use crate::domain::rollup::Dimension;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::reports::activity::{self, asked};
use crate::services::wire::faults::Faults;
use crate::services::wire::page::List;
use crate::services::wire::{access, text};
use crate::store::{Among, EventScope};

/// Shows what users used.
pub(super) async fn get_user_daily_activity(
    ctx: Ctx,
    request: pb::GetUserDailyActivityRequest,
) -> Result<pb::GetUserDailyActivityResponse, Error> {
    let (question, ids) = parse(&ctx, &request)?;
    let visible_to = visible_to(&ctx, &ids).await?;
    let among = Among {
        dimension: Dimension::User,
        ids: ids.iter().map(ToString::to_string).collect(),
        except: Vec::new(),
        of_some: false,
    };
    let found = activity::answer(&ctx, question, pb::SpendDimension::User, among, visible_to).await?;
    Ok(pb::GetUserDailyActivityResponse {
        days: found.days,
        totals: Some(found.totals),
        next_page_token: found.next_page_token,
        total_size: found.total_size,
    })
}

fn parse(ctx: &Ctx, request: &pb::GetUserDailyActivityRequest) -> Result<(activity::Question, Vec<UserId>), Error> {
    let mut faults = Faults::default();
    let without_page = pb::GetUserDailyActivityRequest {
        page_size: 0,
        page_token: String::new(),
        include_total: false,
        ..request.clone()
    };
    let question = activity::take(ctx, &asked!(request), List::new(ctx, &without_page), &mut faults);
    let ids = text::ids("user_ids", &request.user_ids, UserId::parse, &mut faults);
    faults.finish()?;
    Ok((question.ok_or_else(|| Error::internal("a question vanished"))?, ids))
}

/// The usage that the caller may see, if it may ask about all of these users.
async fn visible_to(ctx: &Ctx, ids: &[UserId]) -> Result<EventScope, Error> {
    let Some(caller) = ctx.caller.user_id().filter(|_| !ctx.scope.is_all()) else { return Ok(EventScope::All) };
    let strangers: Vec<&UserId> = ids.iter().filter(|id| *id != caller).collect();
    let known = if ctx.scope.has(Reach::AdminOrganization) {
        ctx.app.store.view().members_administered(caller, &strangers).await?
    } else {
        Vec::new()
    };
    match strangers.into_iter().find(|id| !known.contains(id)) {
        Some(stranger) => Err(access::not_your_user(stranger).into()),
        None => Ok(EventScope::OfUserAndOrganizations(caller.clone())),
    }
}
