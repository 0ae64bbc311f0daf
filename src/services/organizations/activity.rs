//! `GetOrganizationDailyActivity`: what organizations used, by day.

use crate::domain::fault::Refusal;
use crate::domain::ids::OrganizationId;
use crate::domain::reason::Reason;
use crate::domain::rollup::Dimension;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::reports::activity::{self, asked};
use crate::services::wire::faults::Faults;
use crate::services::wire::page::List;
use crate::services::wire::text;
use crate::store::{Among, EventScope};

/// A valid request.
struct Command {
    question: activity::Question,
    ids: Vec<OrganizationId>,
    except: Vec<OrganizationId>,
}

/// Shows what organizations used.
pub(super) async fn get_organization_daily_activity(
    ctx: Ctx,
    request: pb::GetOrganizationDailyActivityRequest,
) -> Result<pb::GetOrganizationDailyActivityResponse, Error> {
    let Command { question, ids, except } = parse(&ctx, &request)?;
    let visible_to = visible_to(&ctx, &ids).await?;
    let among = Among {
        dimension: Dimension::Organization,
        ids: ids.iter().map(ToString::to_string).collect(),
        except: except.iter().map(ToString::to_string).collect(),
        of_some: true,
    };
    let found = activity::answer(&ctx, question, pb::SpendDimension::Organization, among, visible_to).await?;
    Ok(pb::GetOrganizationDailyActivityResponse {
        days: found.days,
        totals: Some(found.totals),
        next_page_token: found.next_page_token,
        total_size: found.total_size,
    })
}

fn parse(ctx: &Ctx, request: &pb::GetOrganizationDailyActivityRequest) -> Result<Command, Error> {
    let mut faults = Faults::default();
    let without_page = pb::GetOrganizationDailyActivityRequest {
        page_size: 0,
        page_token: String::new(),
        include_total: false,
        ..request.clone()
    };
    let question = activity::take(ctx, &asked!(request), List::new(ctx, &without_page), &mut faults);
    let ids = text::ids("organization_ids", &request.organization_ids, OrganizationId::parse, &mut faults);
    let except =
        text::ids("exclude_organization_ids", &request.exclude_organization_ids, OrganizationId::parse, &mut faults);
    faults.finish()?;
    Ok(Command { question: question.ok_or_else(|| Error::internal("a question vanished"))?, ids, except })
}

/// The usage that the caller may see, if it administers all of these
/// organizations.
async fn visible_to(ctx: &Ctx, ids: &[OrganizationId]) -> Result<EventScope, Error> {
    let Some(admin) = ctx.caller.user_id().filter(|_| !ctx.scope.is_all()) else { return Ok(EventScope::All) };
    let administered = ctx.app.store.view().organizations_administered(admin).await?;
    match ids.iter().find(|id| !administered.contains(id)) {
        Some(foreign) => Err(Refusal::not_found(Reason::OrganizationNotFound, "organization", [foreign]).into()),
        None => Ok(EventScope::InOrganizationsOf(admin.clone())),
    }
}
