//! `RemoveOrganizationMember`: a user leaves an organization and its teams, and
//! its keys there die.

use crate::domain::fault::Refusal;
use crate::domain::ids::OrganizationId;
use crate::domain::organization::OrganizationMember;
use crate::domain::reason::Reason;
use crate::domain::role::TeamRole;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::access::{not_your_organization, visible_organization};
use crate::services::wire::faults::Faults;
use crate::services::wire::people::{Person, itself, member, not_a_member};
use crate::services::wire::text;
use crate::store::Tx;

use super::super::get;
use super::keep_an_admin;

/// Removes a member from an organization.
pub(in crate::services::organizations) async fn remove_organization_member(
    ctx: Ctx,
    request: pb::RemoveOrganizationMemberRequest,
) -> Result<pb::RemoveOrganizationMemberResponse, Error> {
    let mut faults = Faults::default();
    let id = text::required_id("organization_id", &request.organization_id, OrganizationId::parse, &mut faults);
    let person = Person::take("", &request.user_id, &request.user_email, &mut faults);
    faults.finish()?;
    let id = id.ok_or_else(|| Error::internal("an organization id vanished"))?;
    visible_organization(&ctx, ctx.app.store.view(), &id).await?;

    let mut tx = ctx.begin().await?;
    tx.lock_organizations(std::slice::from_ref(&id)).await?;
    let (_, standing) = visible_organization(&ctx, tx.view(), &id).await?;
    let user_id = if standing.manages() {
        member(tx.view(), &person).await?
    } else {
        itself(&ctx, tx.view(), &person).await?.ok_or_else(|| not_your_organization(&id))?
    };
    let leaving = tx.view().find_organization_member(&id, &user_id).await?;
    let leaving = leaving.ok_or_else(|| not_a_member(person.name()))?;
    keep_an_admin(&tx, &leaving, standing).await?;
    if !standing.manages() {
        keep_team_admins(&tx, &leaving).await?;
    }
    let left = tx.remove_organization_member(&leaving).await?;
    ctx.commit(tx).await?;
    // Who has left may see no more than its name.
    let organization = get::shown(&ctx, &id, standing).await?;
    Ok(pb::RemoveOrganizationMemberResponse {
        organization: Some(organization),
        left_team_ids: left.teams.iter().map(ToString::to_string).collect(),
        deleted_key_count: left.keys,
    })
}

/// Who leaves by itself does not leave a team of the organization without an
/// admin.
async fn keep_team_admins(tx: &Tx, leaving: &OrganizationMember) -> Result<(), Error> {
    let view = tx.view();
    for team in view.teams_in_organization(&leaving.organization_id, &leaving.user_id).await? {
        let member = view.find_member(&team, &leaving.user_id).await?;
        let is_admin = member.is_some_and(|member| member.role == TeamRole::Admin);
        if is_admin && view.count_team_admins(&team).await? <= 1 {
            let message =
                format!("you are the last admin of team {:?}; an organization admin may remove you", team.as_str());
            return Err(Refusal::precondition(Reason::LastTeamAdmin, message).about("team", &team).into());
        }
    }
    Ok(())
}
