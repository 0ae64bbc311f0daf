//! `GetTeamMemberPermissions` and `UpdateTeamMemberPermissions`: what plain
//! members may do with the keys of their team.

use std::collections::BTreeSet;

use strum::VariantArray;

use crate::domain::ids::TeamId;
use crate::domain::role::MemberPermission;
use crate::domain::team::Team;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::access::{managed_team, visible_team};
use crate::services::wire::faults::Faults;
use crate::services::wire::hold::hold_teams;
use crate::services::wire::role::permission_to_wire;
use crate::services::wire::text;

use super::fields;

/// Reads the permissions.
pub(super) async fn get_team_member_permissions(
    ctx: Ctx,
    request: pb::GetTeamMemberPermissionsRequest,
) -> Result<pb::GetTeamMemberPermissionsResponse, Error> {
    let mut faults = Faults::default();
    let id = text::required_id("team_id", &request.team_id, TeamId::parse, &mut faults);
    faults.finish()?;
    let id = id.ok_or_else(|| Error::internal("a team id vanished"))?;
    let (team, _) = visible_team(&ctx, ctx.app.store.view(), &id).await?;
    Ok(pb::GetTeamMemberPermissionsResponse {
        member_permissions: to_wire(&team.permissions()),
        available_permissions: to_wire(&MemberPermission::VARIANTS.iter().copied().collect()),
    })
}

/// Writes them.
pub(super) async fn update_team_member_permissions(
    ctx: Ctx,
    request: pb::UpdateTeamMemberPermissionsRequest,
) -> Result<pb::UpdateTeamMemberPermissionsResponse, Error> {
    let mut faults = Faults::default();
    let mut ids = text::ids("team_ids", &request.team_ids, TeamId::parse, &mut faults);
    if ids.is_empty() {
        ids.extend(text::required_id("team_id", &request.team_id, TeamId::parse, &mut faults));
    } else if !request.team_id.is_empty() {
        faults.add("team_ids", "must not be set together with team_id");
    }
    let asked = fields::permissions("", &request.member_permissions, &mut faults).unwrap_or_default();
    faults.finish()?;
    let mut tx = ctx.begin().await?;
    hold_teams(&mut tx, &ids, None).await?;
    let mut of_all: Option<BTreeSet<MemberPermission>> = None;
    for id in &ids {
        let (before, _) = managed_team(&ctx, tx.view(), id).await?;
        let kept = if request.append { before.permissions() } else { BTreeSet::new() };
        let written = &asked | &kept;
        of_all = Some(of_all.map_or_else(|| written.clone(), |so_far| &so_far & &written));
        let mut after = Team { member_permissions: Some(written), ..before.clone() };
        tx.update_team(&before, &mut after).await?;
    }
    ctx.commit(tx).await?;
    Ok(pb::UpdateTeamMemberPermissionsResponse { member_permissions: to_wire(&of_all.unwrap_or_default()) })
}

fn to_wire(permissions: &BTreeSet<MemberPermission>) -> Vec<i32> {
    permissions.iter().map(|permission| permission_to_wire(*permission).into()).collect()
}
