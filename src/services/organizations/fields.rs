//! The fields of an organization and of its members in requests.

use std::collections::BTreeMap;

use crate::domain::clock::Timestamp;
use crate::domain::ids::{OrganizationId, UserId};
use crate::domain::limit::{Budget, ModelRates};
use crate::domain::models::{ListOwner, ModelList};
use crate::domain::money::Usd;
use crate::domain::organization::{Organization, OrganizationMember};
use crate::domain::role::OrganizationRole;
use crate::pb;
use crate::services::wire::faults::Faults;
use crate::services::wire::people::{self, Person};
use crate::services::wire::{metadata, role, text};

/// Takes the values of an organization; what is absent is empty. Its id and
/// its alias are checked by themselves.
pub(super) fn take(
    sent: &pb::Organization,
    organization_id: OrganizationId,
    now: Timestamp,
    faults: &mut Faults,
) -> Organization {
    let duration = faults.length("organization.budget_duration", sent.budget_duration.as_ref());
    let max = faults.money("organization.max_budget", sent.max_budget.as_ref());
    let soft = faults.money("organization.soft_budget", sent.soft_budget.as_ref());
    let taken = Organization {
        organization_id,
        organization_alias: sent.organization_alias.clone(),
        models: ModelList::parse(&sent.models, ListOwner::UserOrTeam, "organization.models", &mut faults.0),
        budget: Budget::new(max, soft, duration, now),
        rates: faults.rates("organization.", sent.tpm_limit, sent.rpm_limit, sent.max_parallel_requests),
        model_rates: model_rates("organization.", &sent.model_tpm_limit, &sent.model_rpm_limit, faults),
        metadata: metadata::take("organization.metadata", sent.metadata.as_ref(), metadata::METADATA_MAX_BYTES, faults),
        blocked: sent.blocked.unwrap_or(false),
        created_at: now,
        updated_at: now,
        version: 1,
    };
    text::check("organization.organization_alias", &taken.organization_alias, text::LABEL_MAX_BYTES, faults);
    taken.budget.check_new("organization.", &mut faults.0);
    taken
}

fn model_rates(
    prefix: &str,
    tpm: &BTreeMap<String, i64>,
    rpm: &BTreeMap<String, i64>,
    faults: &mut Faults,
) -> ModelRates {
    ModelRates {
        tpm: faults.limits_by_model(&format!("{prefix}model_tpm_limit"), tpm),
        rpm: faults.limits_by_model(&format!("{prefix}model_rpm_limit"), rpm),
    }
}

/// A member that a request asks for.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) person: Person,
    pub(super) role: OrganizationRole,
    pub(super) max: Option<Usd>,
}

impl Asked {
    /// The membership that it leads to.
    pub(super) fn member(&self, organization: &Organization, user_id: UserId, now: Timestamp) -> OrganizationMember {
        OrganizationMember {
            organization_id: organization.organization_id.clone(),
            user_id,
            user_email: None,
            role: self.role,
            max_budget_in_organization: self.max,
            added_at: now,
        }
    }
}

/// Takes the members of a request. The same user twice is a fault.
pub(super) fn take_members(field: &str, members: &[pb::OrganizationMember], faults: &mut Faults) -> Vec<Asked> {
    let asked = people::take_members(field, members, take_member, faults);
    people::check_repeats(field, asked.iter().map(|asked| &asked.person), faults);
    asked
}

/// Takes one member.
pub(super) fn take_member(path: &str, member: &pb::OrganizationMember, faults: &mut Faults) -> Asked {
    let field = |name: &str| format!("{path}.{name}");
    let role = role::organization_role_from_wire(&field("role"), member.role, faults);
    Asked {
        person: Person::take(path, &member.user_id, &member.user_email, faults),
        role: role.unwrap_or(OrganizationRole::InternalUser),
        max: faults.money(field("max_budget_in_organization"), member.max_budget_in_organization.as_ref()),
    }
}
