//! `UpdateOrganizationMember`: a member's role or budget.

use crate::domain::fault::Refusal;
use crate::domain::ids::OrganizationId;
use crate::domain::organization::OrganizationMember;
use crate::domain::patch::Patch;
use crate::domain::reason::Reason;
use crate::domain::role::OrganizationRole;
use crate::domain::user::User;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::access::{OrganizationStanding, managed_organization};
use crate::services::wire::faults::Faults;
use crate::services::wire::mask::Mask;
use crate::services::wire::people::{member, not_a_member};
use crate::services::wire::{organization, text};

use super::super::fields::take_member;
use super::super::get::member_spend;
use super::keep_an_admin;

/// Changes a member of an organization.
pub(in crate::services::organizations) async fn update_organization_member(
    ctx: Ctx,
    request: pb::UpdateOrganizationMemberRequest,
) -> Result<pb::UpdateOrganizationMemberResponse, Error> {
    let mut faults = Faults::default();
    let id = text::required_id("organization_id", &request.organization_id, OrganizationId::parse, &mut faults);
    let nobody = pb::OrganizationMember::default();
    let sent = request.member.as_ref().unwrap_or(&nobody);
    let asked = take_member("member", sent, &mut faults);
    let mask = Mask::new(request.update_mask.as_ref(), &["role", "max_budget_in_organization"], &mut faults);
    faults.finish()?;
    let id = id.ok_or_else(|| Error::internal("an organization id vanished"))?;
    managed_organization(&ctx, ctx.app.store.view(), &id).await?;

    let mut tx = ctx.begin().await?;
    tx.lock_organizations(std::slice::from_ref(&id)).await?;
    let (of, standing) = managed_organization(&ctx, tx.view(), &id).await?;
    let user_id = member(tx.view(), &asked.person).await?;
    let before = tx.view().find_organization_member(&id, &user_id).await?;
    let before = before.ok_or_else(|| not_a_member(asked.person.name()))?;
    let user = tx.view().find_user(&user_id).await?.ok_or_else(|| Error::internal("a member without a user"))?;
    let mut after = before.clone();
    // Without a role it is a plain member.
    let role = mask.field("role", (sent.role != 0).then_some(asked.role));
    match role {
        Patch::Keep => {}
        Patch::Clear => after.role = OrganizationRole::InternalUser,
        Patch::Set(role) => after.role = role,
    }
    mask.field("max_budget_in_organization", asked.max).apply(&mut after.max_budget_in_organization);
    check_rights(&ctx, &before, &after, &user, standing)?;
    after.check(&of, user.user_role)?;
    if after.role != before.role {
        keep_an_admin(&tx, &before, standing).await?;
    }
    tx.update_organization_member(&before, &after).await?;
    ctx.commit(tx).await?;
    after.user_email = user.user_email;
    let spends = member_spend(&ctx, &of, std::slice::from_ref(&after)).await?;
    let spend = spends.get(&user_id).copied().unwrap_or_default();
    Ok(pb::UpdateOrganizationMemberResponse { member: Some(organization::member_to_wire(&after, spend)) })
}

/// What only proxy admins change: who has rights over the whole installation,
/// and an admin's own budget.
fn check_rights(
    ctx: &Ctx,
    before: &OrganizationMember,
    after: &OrganizationMember,
    user: &User,
    standing: OrganizationStanding,
) -> Result<(), Refusal> {
    if standing == OrganizationStanding::ProxyAdmin {
        return Ok(());
    }
    let field = if user.user_role.is_admin() {
        "role"
    } else if ctx.caller.is_user(&user.user_id) && before.max_budget_in_organization != after.max_budget_in_organization
    {
        "max_budget_in_organization"
    } else {
        return Ok(());
    };
    let message = format!("only a proxy admin may change {field} of user {:?} here", user.user_id.as_str());
    Err(Refusal::denied(Reason::FieldNotAllowed, message).with("field", field).about("user", &user.user_id))
}
