//! How users come into a team: which of them a request means, who is made for
//! it, and who joins the team's organization with it.

use crate::domain::fault::Refusal;
use crate::domain::ids::OrganizationId;
use crate::domain::reason::Reason;
use crate::domain::role::TeamRole;
use crate::domain::team::{AskedLimits, Team};
use crate::domain::user::User;
use crate::error::Error;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::access::TeamStanding;
use crate::services::wire::faults::Faults;
use crate::services::wire::people::{self, MayMake, Person};
use crate::services::wire::role;
use crate::store::Tx;

/// A member that a request asks for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Asked {
    pub(super) person: Person,
    pub(super) role: TeamRole,
    pub(super) limits: AskedLimits,
}

/// Takes the members of a request.
pub(super) fn take(field: &str, members: &[pb::TeamMember], faults: &mut Faults) -> Vec<Asked> {
    people::take_members(field, members, take_one, faults)
}

/// Takes one member.
pub(super) fn take_one(path: &str, member: &pb::TeamMember, faults: &mut Faults) -> Asked {
    let field = |name: &str| format!("{path}.{name}");
    Asked {
        person: Person::take(path, &member.user_id, &member.user_email, faults),
        role: role::team_role_from_wire(&field("role"), member.role, faults).unwrap_or(TeamRole::User),
        limits: AskedLimits {
            max: faults.money(field("max_budget_in_team"), member.max_budget_in_team.as_ref()),
            duration: faults.length(field("budget_duration"), member.budget_duration.as_ref()),
            rpm: faults.limit(field("rpm_limit"), member.rpm_limit),
            tpm: faults.limit(field("tpm_limit"), member.tpm_limit),
        },
    }
}

/// What may happen for somebody to become a member.
#[derive(Clone, Debug)]
pub(super) struct Admission {
    may_make: MayMake,
    into_organization: bool,
}

impl Admission {
    /// What the caller may let happen.
    ///
    /// # Errors
    /// `PERMISSION_DENIED` if it may not let users into the organization.
    pub(super) fn of(standing: &TeamStanding, team: &Team, into_organization: bool) -> Result<Self, Refusal> {
        if into_organization && !standing.is_above() {
            let message = "only proxy admins and organization admins add members to the organization";
            return Err(Refusal::denied(Reason::FieldNotAllowed, message).with("field", "add_members_to_organization"));
        }
        let may_make = match standing {
            TeamStanding::ProxyAdmin => MayMake::Any,
            TeamStanding::OrganizationAdmin => MayMake::ByEmail(team.organization_id.clone()),
            TeamStanding::Admin => MayMake::ByEmail(None),
            _ => MayMake::Nobody,
        };
        Ok(Self { may_make, into_organization })
    }

    /// Only users that exist, and are where they must be.
    pub(super) const NOTHING: Self = Self { may_make: MayMake::Nobody, into_organization: false };
}

/// The user that a request means, ready to join a team: it exists, and is in
/// the team's organization. Says whether it was made for this. A refusal leaves
/// nothing behind.
///
/// # Errors
/// `NOT_FOUND` if there is none and the caller may not make it;
/// `FAILED_PRECONDITION` if it is not in the team's organization.
pub(super) async fn admit(
    ctx: &Ctx,
    tx: &mut Tx,
    team: &Team,
    asked: &Asked,
    path: &str,
    admission: &Admission,
) -> Result<(User, bool), Error> {
    let found = people::find(tx.view(), &asked.person, path).await?;
    let Some(organization) = &team.organization_id else {
        return match found {
            Some(user) => Ok((user, false)),
            None => people::make(ctx, tx, &asked.person, &admission.may_make).await,
        };
    };
    let is_inside = match &found {
        Some(user) => tx.view().find_organization_member(organization, &user.user_id).await?.is_some(),
        None => false,
    };
    if !is_inside && !admission.into_organization {
        if found.is_none() {
            people::check_may_make(&asked.person, &admission.may_make)?;
        }
        let outside = [asked.person.name()];
        return Err(outside_of(Reason::MemberNotInOrganization, organization, &outside).into());
    }
    let (user, is_new) = match found {
        Some(user) => (user, false),
        None => people::make(ctx, tx, &asked.person, &admission.may_make).await?,
    };
    if !is_inside {
        people::enter_organization(ctx, tx, organization, &user.user_id).await?;
    }
    Ok((user, is_new))
}

/// How many users a refusal names.
const NAMED_MAX: usize = 10;

/// The refusal of users that are not in an organization.
pub(super) fn outside_of(reason: Reason, organization: &OrganizationId, users: &[impl ToString]) -> Refusal {
    let mut names: Vec<String> = users.iter().take(NAMED_MAX).map(ToString::to_string).collect();
    let message = format!(
        "{} of the members are not in organization {:?}: {}; add them first, or set add_members_to_organization",
        users.len(),
        organization.as_str(),
        names.join(", ")
    );
    names.truncate(NAMED_MAX);
    let refusal = Refusal::precondition(reason, message);
    refusal.with("user_ids", names.join(",")).with("organization_id", organization).about("organization", organization)
}
