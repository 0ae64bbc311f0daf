//! `AddTeamModels` and `RemoveTeamModels`: single models of a team's list.

use crate::domain::audit::{Change, ObjectType};
use crate::domain::fault::Refusal;
use crate::domain::ids::TeamId;
use crate::domain::models::{ListOwner, ModelList};
use crate::domain::organization::{Organization, check_team};
use crate::domain::team::{Team, check_admin_change, with_models, without_models};
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::access::{TeamStanding, managed_team};
use crate::services::wire::faults::Faults;
use crate::services::wire::hold::hold_team;
use crate::services::wire::text;

use super::get;
use super::update::organization_of;

/// The most models of one request.
const MODELS_MAX: usize = 500;

/// Adds models.
pub(super) async fn add_team_models(
    ctx: Ctx,
    request: pb::AddTeamModelsRequest,
) -> Result<pb::AddTeamModelsResponse, Error> {
    let (id, added) = parse(&request.team_id, &request.models)?;
    let add = |team: &Team, organization: Option<&Organization>| {
        Ok(with_models(&team.models, organization.map(|organization| &organization.models), &added))
    };
    Ok(pb::AddTeamModelsResponse { team: Some(change(&ctx, &id, add).await?) })
}

/// Removes models.
pub(super) async fn remove_team_models(
    ctx: Ctx,
    request: pb::RemoveTeamModelsRequest,
) -> Result<pb::RemoveTeamModelsResponse, Error> {
    let (id, removed) = parse(&request.team_id, &request.models)?;
    let remove = |team: &Team, _: Option<&Organization>| without_models(&team.models, &removed, request.allow_all);
    Ok(pb::RemoveTeamModelsResponse { team: Some(change(&ctx, &id, remove).await?) })
}

fn parse(id: &str, models: &[String]) -> Result<(TeamId, ModelList), Error> {
    let mut faults = Faults::default();
    let id = text::required_id("team_id", id, TeamId::parse, &mut faults);
    if models.is_empty() || models.len() > MODELS_MAX {
        faults.add("models", format!("must have 1-{MODELS_MAX} entries"));
    }
    let models = ModelList::parse(models, ListOwner::UserOrTeam, "models", &mut faults.0);
    faults.finish()?;
    Ok((id.ok_or_else(|| Error::internal("a team id vanished"))?, models))
}

/// Changes the list of a team, which is locked: of two who add at once none is
/// lost.
async fn change(
    ctx: &Ctx,
    id: &TeamId,
    models: impl FnOnce(&Team, Option<&Organization>) -> Result<ModelList, Refusal>,
) -> Result<pb::Team, Error> {
    let mut tx = ctx.begin().await?;
    hold_team(&mut tx, id, None).await?;
    let (before, standing) = managed_team(ctx, tx.view(), id).await?;
    let organization = match &before.organization_id {
        Some(organization) => Some(organization_of(&mut tx, organization).await?),
        None => None,
    };
    let mut after = before.clone();
    after.models = models(&before, organization.as_ref())?;
    if after.models.iter().count() > crate::domain::models::MODELS_MAX {
        let mut faults = Faults::default();
        let rule = format!("must not give the team more than {} entries", crate::domain::models::MODELS_MAX);
        faults.add("models", rule);
        faults.finish()?;
    }
    if let Some(change) = Change::updated(ObjectType::Team, id, &before, &after)
        && standing == TeamStanding::Admin
    {
        check_admin_change(&before, &after, &change)?;
    }
    if let Some(organization) = &organization {
        check_team(organization, &after, &ctx.app.gate.prices())?;
    }
    tx.update_team(&before, &mut after).await?;
    ctx.commit(tx).await?;
    get::stored_team(ctx, id).await
}
