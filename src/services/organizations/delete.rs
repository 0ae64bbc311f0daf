//! `DeleteOrganizations`: organizations with their teams, keys and memberships,
//! all or none.

use crate::domain::fault::Refusal;
use crate::domain::ids::OrganizationId;
use crate::domain::organization::Organization;
use crate::domain::reason::Reason;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::faults::Faults;
use crate::services::wire::text;
use crate::store::{Removed, Tx};

/// Deletes organizations.
pub(super) async fn delete_organizations(
    ctx: Ctx,
    request: pb::DeleteOrganizationsRequest,
) -> Result<pb::DeleteOrganizationsResponse, Error> {
    let mut faults = Faults::default();
    let ids = text::ids_to_delete("organization_ids", &request.organization_ids, OrganizationId::parse, &mut faults);
    faults.finish()?;
    let mut tx = ctx.begin().await?;
    let found = tx.lock_organizations(&ids).await?;
    let is_found = |id: &&OrganizationId| found.iter().any(|organization| organization.organization_id == **id);
    let missing: Vec<&OrganizationId> = ids.iter().filter(|id| !is_found(id)).collect();
    if !missing.is_empty() {
        return Err(Refusal::not_found(Reason::OrganizationNotFound, "organization", missing).into());
    }
    let mut deleted = Removed::default();
    for organization in &found {
        if request.require_empty {
            check_empty(&ctx, &tx, organization).await?;
        }
        let Removed { teams, keys } = tx.remove_organization(organization).await?;
        deleted.teams.extend(teams);
        deleted.keys += keys;
    }
    ctx.commit(tx).await?;
    Ok(pb::DeleteOrganizationsResponse {
        deleted_organization_ids: found.iter().map(|found| found.organization_id.to_string()).collect(),
        deleted_team_count: i64::try_from(deleted.teams.len()).unwrap_or(i64::MAX),
        deleted_key_count: deleted.keys,
    })
}

async fn check_empty(ctx: &Ctx, tx: &Tx, organization: &Organization) -> Result<(), Error> {
    let id = &organization.organization_id;
    let stored = tx.view().find_stored_organization(id, ctx.now).await?;
    match stored {
        Some(stored) if stored.team_count > 0 => {
            let message = format!("organization {:?} has {} teams", id.as_str(), stored.team_count);
            let refusal = Refusal::precondition(Reason::OrganizationNotEmpty, message).about("organization", id);
            Err(refusal.with("teams", stored.team_count).with("keys", stored.key_count).into())
        }
        _ => Ok(()),
    }
}
