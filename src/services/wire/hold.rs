//! Holding what a change relies on, in the order of locks: organizations before
//! teams.

use crate::domain::fault::Refusal;
use crate::domain::ids::{OrganizationId, TeamId};
use crate::error::Error;
use crate::store::Tx;

/// Holds one team as [`hold_teams`] does.
///
/// # Errors
/// `ABORTED` if it moved to another organization meanwhile.
pub(crate) async fn hold_team(tx: &mut Tx, id: &TeamId, to: Option<&OrganizationId>) -> Result<(), Error> {
    hold_teams(tx, std::slice::from_ref(id), to).await
}

/// Locks teams, and before them the organizations that they are in and perhaps
/// go to: until the change is made nobody joins or leaves them, gains or loses
/// rights over them, or takes of their limits.
///
/// # Errors
/// `ABORTED` if one moved to another organization meanwhile.
pub(crate) async fn hold_teams(tx: &mut Tx, ids: &[TeamId], to: Option<&OrganizationId>) -> Result<(), Error> {
    let known = tx.view().teams_by_id(ids).await?;
    let from = |id: &TeamId| known.iter().find(|team| team.team_id == *id).map(|team| &team.organization_id);
    let organizations: Vec<OrganizationId> =
        known.iter().filter_map(|team| team.organization_id.as_ref()).chain(to).cloned().collect();
    tx.lock_organizations(&organizations).await?;
    let held = tx.lock_teams(ids).await?;
    match held.iter().find(|team| from(&team.team_id) != Some(&team.organization_id)) {
        Some(moved) => Err(Refusal::stale("team", &moved.team_id).into()),
        None => Ok(()),
    }
}
