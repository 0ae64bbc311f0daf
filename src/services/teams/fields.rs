//! The fields of a team in requests.

use std::collections::BTreeSet;

use crate::domain::clock::Timestamp;
use crate::domain::ids::{OrganizationId, TeamId};
use crate::domain::limit::{Budget, ModelRates, Rates};
use crate::domain::models::{ListOwner, ModelAliases, ModelList};
use crate::domain::role::MemberPermission;
use crate::domain::team::{MemberDefaults, Team};
use crate::pb;
use crate::services::wire::faults::Faults;
use crate::services::wire::{metadata, role, text, throughput};

/// Takes the values of a team; what is absent is empty. The team's id is
/// checked by itself.
pub(super) fn take(team: &pb::Team, team_id: TeamId, now: Timestamp, faults: &mut Faults) -> Team {
    let duration = faults.length("team.budget_duration", team.budget_duration.as_ref());
    let member_duration = faults.length("team.team_member_budget_duration", team.team_member_budget_duration.as_ref());
    let max = faults.money("team.max_budget", team.max_budget.as_ref());
    let soft = faults.money("team.soft_budget", team.soft_budget.as_ref());
    let taken = Team {
        team_id,
        team_alias: text::label("team.team_alias", team.team_alias.as_ref(), faults),
        organization_id: organization_id(team.organization_id.as_ref(), faults),
        models: ModelList::parse(&team.models, ListOwner::UserOrTeam, "team.models", &mut faults.0),
        model_aliases: ModelAliases::parse(&team.model_aliases, "team.model_aliases", &mut faults.0),
        budget: Budget::new(max, soft, duration, now),
        rates: Rates {
            tpd: faults.limit("team.tpd_limit", team.tpd_limit),
            ..faults.rates("team.", team.tpm_limit, team.rpm_limit, team.max_parallel_requests)
        },
        throughput: throughput::take("team.", team.tpm_limit_type, team.rpm_limit_type, faults),
        model_rates: ModelRates {
            tpm: faults.limits_by_model("team.model_tpm_limit", &team.model_tpm_limit),
            rpm: faults.limits_by_model("team.model_rpm_limit", &team.model_rpm_limit),
        },
        member_defaults: MemberDefaults {
            max: faults.money("team.team_member_budget", team.team_member_budget.as_ref()),
            duration: member_duration,
            anchor: if member_duration.is_some() { now } else { Timestamp::EPOCH },
            rpm: faults.limit("team.team_member_rpm_limit", team.team_member_rpm_limit),
            tpm: faults.limit("team.team_member_tpm_limit", team.team_member_tpm_limit),
        },
        team_member_key_duration: faults
            .length("team.team_member_key_duration", team.team_member_key_duration.as_ref()),
        member_permissions: permissions("team.", &team.member_permissions, faults),
        tags: text::tags("team.tags", &team.tags, faults),
        metadata: metadata::take("team.metadata", team.metadata.as_ref(), metadata::METADATA_MAX_BYTES, faults),
        blocked: team.blocked.unwrap_or(false),
        blocked_by_admin: team.blocked.unwrap_or(false),
        idp_managed_by: text::label("team.idp_managed_by", team.idp_managed_by.as_ref(), faults),
        created_at: now,
        updated_at: now,
        version: 1,
    };
    taken.budget.check_new("team.", &mut faults.0);
    taken
}

/// Takes the organization of a team; empty is none.
fn organization_id(id: Option<&String>, faults: &mut Faults) -> Option<OrganizationId> {
    let id = id.filter(|id| !id.is_empty())?;
    faults.take("team.organization_id", OrganizationId::parse(id))
}

/// Takes what members may do; an empty list is absent.
pub(super) fn permissions(prefix: &str, list: &[i32], faults: &mut Faults) -> Option<BTreeSet<MemberPermission>> {
    let mut taken = BTreeSet::new();
    for (index, number) in list.iter().enumerate() {
        let field = format!("{prefix}member_permissions[{index}]");
        match role::permission_from_wire(&field, *number, faults) {
            Some(permission) => {
                taken.insert(permission);
            }
            None if *number == 0 => faults.add(field, "must be named"),
            None => {}
        }
    }
    (!list.is_empty()).then_some(taken)
}

/// Takes the id of a new team: not one that Bursar keeps for itself.
pub(super) fn new_team_id(id: &str, faults: &mut Faults) -> Option<TeamId> {
    if id.is_empty() {
        return Some(TeamId::generate());
    }
    if id.starts_with(TeamId::RESERVED_PREFIX) {
        faults.add("team.team_id", format!("must not begin with {:?}, which is reserved", TeamId::RESERVED_PREFIX));
    }
    faults.take("team.team_id", TeamId::parse(id))
}
