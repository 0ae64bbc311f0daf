//! Members of organizations.

pub(super) mod add;
pub(super) mod remove;
pub(super) mod update;

use crate::domain::fault::Refusal;
use crate::domain::organization::OrganizationMember;
use crate::domain::reason::Reason;
use crate::domain::role::OrganizationRole;
use crate::error::Error;
use crate::services::wire::access::OrganizationStanding;
use crate::store::Tx;

/// The last admin of an organization stays one, unless a proxy admin says
/// otherwise.
async fn keep_an_admin(tx: &Tx, member: &OrganizationMember, standing: OrganizationStanding) -> Result<(), Error> {
    if member.role != OrganizationRole::Admin || standing == OrganizationStanding::ProxyAdmin {
        return Ok(());
    }
    if tx.view().count_organization_admins(&member.organization_id).await? > 1 {
        return Ok(());
    }
    let message = "this is the last admin of the organization; only a proxy admin may remove or demote it";
    let refusal = Refusal::precondition(Reason::LastOrgAdmin, message);
    Err(refusal.about("organization", &member.organization_id).into())
}
