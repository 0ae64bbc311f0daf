//! Organizations and their members on the wire.

use super::{etag, instant, metadata, role, spend};
use crate::domain::clock::Timestamp;
use crate::domain::money::Usd;
use crate::domain::organization::OrganizationMember;
use crate::domain::window::Calendar;
use crate::pb;
use crate::store::StoredOrganization;

/// An organization on the wire, without its members.
pub(crate) fn to_wire(stored: &StoredOrganization, calendar: &Calendar, now: Timestamp) -> pb::Organization {
    let organization = &stored.organization;
    pb::Organization {
        max_budget: organization.budget.max.map(|max| max.to_string()),
        soft_budget: organization.budget.soft.map(|soft| soft.to_string()),
        budget_duration: organization.budget.duration.map(|length| length.to_string()),
        tpm_limit: organization.rates.tpm,
        rpm_limit: organization.rates.rpm,
        max_parallel_requests: organization.rates.parallel,
        model_tpm_limit: organization.model_rates.tpm.clone().into_iter().collect(),
        model_rpm_limit: organization.model_rates.rpm.clone().into_iter().collect(),
        metadata: metadata::to_wire_if_any(&organization.metadata),
        blocked: Some(organization.blocked),
        spend: Some(stored.spend.window.to_string()),
        lifetime_spend: stored.spend.lifetime.to_string(),
        budget_resets_at: spend::resets_at(&organization.budget, calendar, now),
        member_count: stored.member_count,
        team_count: stored.team_count,
        key_count: stored.key_count,
        created_at: Some(instant::to_wire(organization.created_at)),
        updated_at: Some(instant::to_wire(organization.updated_at)),
        etag: etag::of(organization.version),
        ..name_to_wire(stored)
    }
}

/// What a plain member sees of an organization: its name, and what it may call.
pub(crate) fn name_to_wire(stored: &StoredOrganization) -> pb::Organization {
    let organization = &stored.organization;
    pb::Organization {
        organization_id: organization.organization_id.to_string(),
        organization_alias: organization.organization_alias.clone(),
        models: organization.models.iter().map(str::to_owned).collect(),
        ..pb::Organization::default()
    }
}

/// A member on the wire, and what it spent.
pub(crate) fn member_to_wire(member: &OrganizationMember, spent: Usd) -> pb::OrganizationMember {
    pb::OrganizationMember {
        user_id: member.user_id.to_string(),
        user_email: member.user_email.as_ref().map(ToString::to_string).unwrap_or_default(),
        role: role::organization_role_to_wire(member.role).into(),
        max_budget_in_organization: member.max_budget_in_organization.map(|max| max.to_string()),
        spend: spent.to_string(),
        added_at: Some(instant::to_wire(member.added_at)),
    }
}
