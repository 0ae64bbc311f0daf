//! Teams and their members on the wire.

use super::{etag, instant, metadata, role, spend, throughput};
use crate::domain::clock::Timestamp;
use crate::domain::money::Usd;
use crate::domain::team::{Member, Team};
use crate::domain::window::Calendar;
use crate::pb;
use crate::store::{DeletedTeam, Spend, StoredTeam};

/// A team on the wire, without its members.
pub(crate) fn to_wire(stored: &StoredTeam, calendar: &Calendar, now: Timestamp) -> pb::Team {
    let team = &stored.team;
    pb::Team {
        team_id: team.team_id.to_string(),
        team_alias: team.team_alias.clone(),
        organization_id: team.organization_id.as_ref().map(ToString::to_string),
        members: Vec::new(),
        models: team.models.iter().map(str::to_owned).collect(),
        model_aliases: team.model_aliases.iter().map(|(name, to)| (name.to_owned(), to.to_owned())).collect(),
        max_budget: team.budget.max.map(|max| max.to_string()),
        soft_budget: team.budget.soft.map(|soft| soft.to_string()),
        budget_duration: team.budget.duration.map(|length| length.to_string()),
        tpm_limit: team.rates.tpm,
        rpm_limit: team.rates.rpm,
        max_parallel_requests: team.rates.parallel,
        tpd_limit: team.rates.tpd,
        tpm_limit_type: throughput::to_wire(team.throughput.tpm_limit_type),
        rpm_limit_type: throughput::to_wire(team.throughput.rpm_limit_type),
        model_tpm_limit: team.model_rates.tpm.clone().into_iter().collect(),
        model_rpm_limit: team.model_rates.rpm.clone().into_iter().collect(),
        team_member_budget: team.member_defaults.max.map(|max| max.to_string()),
        team_member_budget_duration: team.member_defaults.duration.map(|length| length.to_string()),
        team_member_rpm_limit: team.member_defaults.rpm,
        team_member_tpm_limit: team.member_defaults.tpm,
        team_member_key_duration: team.team_member_key_duration.map(|length| length.to_string()),
        member_permissions: team
            .permissions()
            .into_iter()
            .map(|permission| role::permission_to_wire(permission).into())
            .collect(),
        tags: team.tags.clone(),
        metadata: metadata::to_wire_if_any(&team.metadata),
        blocked: Some(team.blocked),
        idp_managed_by: team.idp_managed_by.clone(),
        spend: Some(stored.spend.window.to_string()),
        lifetime_spend: stored.spend.lifetime.to_string(),
        budget_resets_at: spend::resets_at(&team.budget, calendar, now),
        member_count: stored.member_count,
        key_count: stored.key_count,
        created_at: Some(instant::to_wire(team.created_at)),
        updated_at: Some(instant::to_wire(team.updated_at)),
        deleted_at: None,
        etag: etag::of(team.version),
    }
}

/// A deleted team on the wire, with the members it had.
pub(crate) fn deleted_to_wire(deleted: DeletedTeam, calendar: &Calendar, now: Timestamp) -> pb::Team {
    let DeletedTeam { team, members, deleted_at } = deleted;
    let member_count = i64::try_from(members.len()).unwrap_or(i64::MAX);
    let members = members.iter().map(|member| member_to_wire(member, &team, Usd::ZERO, calendar, now)).collect();
    let stored = StoredTeam { team, spend: Spend::default(), member_count, key_count: 0 };
    pb::Team { members, deleted_at: Some(instant::to_wire(deleted_at)), ..to_wire(&stored, calendar, now) }
}

/// A member on the wire: its own limits, and what it spent.
pub(crate) fn member_to_wire(
    member: &Member,
    team: &Team,
    spent: Usd,
    calendar: &Calendar,
    now: Timestamp,
) -> pb::TeamMember {
    let own = member.own_limits.as_ref();
    let (effective, _) = effective(member, team);
    pb::TeamMember {
        user_id: member.user_id.to_string(),
        user_email: member.user_email.as_ref().map(ToString::to_string).unwrap_or_default(),
        role: role::team_role_to_wire(member.role).into(),
        max_budget_in_team: own.and_then(|own| own.max).map(|max| max.to_string()),
        budget_duration: own.and_then(|own| own.duration).map(|length| length.to_string()),
        tpm_limit: own.and_then(|own| own.tpm),
        rpm_limit: own.and_then(|own| own.rpm),
        spend: spent.to_string(),
        budget_resets_at: spend::resets_at(&effective, calendar, now),
        added_at: Some(instant::to_wire(member.added_at)),
    }
}

/// The limits that hold for a member.
pub(crate) fn effective(member: &Member, team: &Team) -> (crate::domain::limit::Budget, crate::domain::limit::Rates) {
    let limits = member.own_limits.clone().unwrap_or_else(|| team.member_defaults.clone().into());
    limits.effective(&team.budget)
}
