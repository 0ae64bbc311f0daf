//! The fields of a user in requests.

use crate::domain::clock::Timestamp;
use crate::domain::ids::{OrganizationId, ParseIdError, TeamId};
use crate::domain::limit::Budget;
use crate::domain::models::{ListOwner, ModelList};
use crate::domain::user::{Email, NewUser};
use crate::pb;
use crate::services::wire::faults::Faults;
use crate::services::wire::{key_limits, metadata, role, text};

/// Takes a user that is to be made.
pub(super) fn take_new(user: &pb::User, faults: &mut Faults) -> NewUser {
    let new = NewUser {
        user_id: text::user_id("user.user_id", &user.user_id, faults),
        user_email: email("user.user_email", user.user_email.as_ref(), faults),
        user_alias: text::label("user.user_alias", user.user_alias.as_ref(), faults),
        user_role: role::role_from_wire("user.user_role", user.user_role, faults),
        models: ModelList::parse(&user.models, ListOwner::UserOrTeam, "user.models", &mut faults.0),
        max_budget: faults.money("user.max_budget", user.max_budget.as_ref()),
        soft_budget: faults.money("user.soft_budget", user.soft_budget.as_ref()),
        budget_duration: faults.length("user.budget_duration", user.budget_duration.as_ref()),
        rates: faults.rates("user.", user.tpm_limit, user.rpm_limit, user.max_parallel_requests),
        model_limits: key_limits::models("user.model_max_budget", &user.model_max_budget, faults),
        metadata: metadata::take("user.metadata", user.metadata.as_ref(), metadata::METADATA_MAX_BYTES, faults),
        blocked: user.blocked.unwrap_or(false),
        team_ids: memberships("user.team_ids", &user.team_ids, TeamId::parse, faults),
        home_organization_id: home(user.home_organization_id.as_ref(), faults),
    };
    Budget::new(new.max_budget, new.soft_budget, None, Timestamp::EPOCH).check_new("user.", &mut faults.0);
    new
}

/// Takes the home of a user; empty is none.
pub(super) fn home(id: Option<&String>, faults: &mut Faults) -> Option<OrganizationId> {
    let id = id.filter(|id| !id.is_empty())?;
    faults.take("user.home_organization_id", OrganizationId::parse(id))
}

/// Takes an e-mail address; empty is none.
pub(super) fn email(field: &str, address: Option<&String>, faults: &mut Faults) -> Option<Email> {
    let address = address.filter(|address| !address.is_empty())?;
    faults.take(field, Email::parse(address))
}

/// The most teams, and organizations, that a new user joins.
const MEMBERSHIPS_MAX: usize = 100;

/// Takes the teams or organizations that a new user joins: repeats count once.
pub(super) fn memberships<T: PartialEq>(
    field: &str,
    ids: &[String],
    parse: impl Fn(&str) -> Result<T, ParseIdError>,
    faults: &mut Faults,
) -> Vec<T> {
    if ids.len() > MEMBERSHIPS_MAX {
        faults.add(field, format!("must have at most {MEMBERSHIPS_MAX} entries"));
    }
    let mut taken = Vec::with_capacity(ids.len().min(MEMBERSHIPS_MAX));
    for (index, id) in ids.iter().take(MEMBERSHIPS_MAX).enumerate() {
        if let Some(id) = text::required_id(&format!("{field}[{index}]"), id, &parse, faults)
            && !taken.contains(&id)
        {
            taken.push(id);
        }
    }
    taken
}
