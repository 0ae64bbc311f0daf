//! Organizations: what one is, who is in it, what its admins may change, and
//! what its teams may have of its limits.

#![expect(clippy::disallowed_types, reason = "what serde derives for flatten knows floats; no field is one")]

mod teams;

use serde::{Deserialize, Serialize};

pub use self::teams::{check_move, check_team};
use super::audit::{Change, Fields};
use super::clock::Timestamp;
use super::fault::Refusal;
use super::ids::{OrganizationId, UserId};
use super::limit::{Budget, ModelRates, Rates};
use super::models::ModelList;
use super::money::Usd;
use super::reason::Reason;
use super::role::{OrganizationRole, Role};
use super::user::Email;

/// A part of a company: teams and people under one budget.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Organization {
    /// Never changes.
    pub organization_id: OrganizationId,
    /// A label; not unique.
    pub organization_alias: String,
    /// What its teams' keys may call.
    pub models: ModelList,
    /// The money that all its keys together may spend.
    #[serde(flatten)]
    pub budget: Budget,
    /// The calls that all its keys together may make.
    #[serde(flatten)]
    pub rates: Rates,
    /// What guaranteed teams may share out, by model.
    #[serde(flatten)]
    pub model_rates: ModelRates,
    /// Free data.
    pub metadata: Fields,
    /// A blocked organization's keys are refused.
    pub blocked: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Counts the changes.
    pub version: i64,
}

impl Organization {
    /// One without limits, which goes by its id.
    #[must_use]
    pub fn new(organization_id: OrganizationId, now: Timestamp) -> Self {
        Self {
            organization_alias: organization_id.to_string(),
            organization_id,
            models: ModelList::default(),
            budget: Budget::new(None, None, None, now),
            rates: Rates::NONE,
            model_rates: ModelRates::default(),
            metadata: Fields::new(),
            blocked: false,
            created_at: now,
            updated_at: now,
            version: 1,
        }
    }
}

/// A user in an organization.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OrganizationMember {
    /// The organization.
    pub organization_id: OrganizationId,
    /// The user.
    pub user_id: UserId,
    /// The user's address, for display.
    #[serde(skip)]
    pub user_email: Option<Email>,
    /// The role in the organization.
    pub role: OrganizationRole,
    /// What the user's keys may spend in one window of the organization.
    pub max_budget_in_organization: Option<Usd>,
    /// When the user joined.
    pub added_at: Timestamp,
}

impl OrganizationMember {
    /// The member's budget: it follows the organization's windows.
    #[must_use]
    pub const fn budget(&self, organization: &Budget) -> Budget {
        member_budget(self.max_budget_in_organization, organization)
    }

    /// Checks the membership that a request leads to, of a user with this role.
    ///
    /// # Errors
    /// Names the rule that it breaks.
    pub fn check(&self, organization: &Organization, user_role: Role) -> Result<(), Refusal> {
        if self.role == OrganizationRole::Admin && user_role == Role::InternalUserViewer {
            let message = format!("user {:?} may only look, and so can't administer", self.user_id.as_str());
            return Err(Refusal::precondition(Reason::ViewerCannotAdminister, message).about("user", &self.user_id));
        }
        match (self.max_budget_in_organization, organization.budget.max) {
            (Some(asked), Some(limit)) if asked > limit => {
                let message = format!("max_budget_in_organization {asked} is larger than the organization's, {limit}");
                let refusal = Refusal::precondition(Reason::MemberBudgetExceedsOrg, message);
                Err(refusal.with("requested", asked).with("limit", limit))
            }
            _ => Ok(()),
        }
    }
}

/// The budget of a member with this maximum, in the organization's windows.
#[must_use]
pub const fn member_budget(max: Option<Usd>, organization: &Budget) -> Budget {
    Budget { max, soft: None, ..*organization }
}

/// The fields that an organization's own admins may change.
const ADMIN_FIELDS: [&str; 2] = ["organization_alias", "metadata"];

/// Decides whether an organization admin may make a change: it must not raise
/// its own limits.
///
/// # Errors
/// Names the first field that only a proxy admin may change.
pub fn check_admin_change(change: &Change) -> Result<(), Refusal> {
    match change.fields().find(|field| !ADMIN_FIELDS.contains(field)) {
        None => Ok(()),
        Some(field) => {
            let message = format!("an organization admin may not change {field}; ask a proxy admin");
            Err(Refusal::denied(Reason::FieldNotAllowed, message).with("field", field))
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::domain::audit::ObjectType;

    pub(in crate::domain) fn organization() -> Organization {
        Organization {
            organization_id: OrganizationId::stored("o"),
            organization_alias: "O".to_owned(),
            models: ModelList::default(),
            budget: Budget::default(),
            rates: Rates::default(),
            model_rates: ModelRates::default(),
            metadata: Fields::new(),
            blocked: false,
            created_at: Timestamp::EPOCH,
            updated_at: Timestamp::EPOCH,
            version: 1,
        }
    }

    fn member(role: OrganizationRole, max: Option<i64>) -> OrganizationMember {
        OrganizationMember {
            organization_id: OrganizationId::stored("o"),
            user_id: UserId::stored("u"),
            user_email: None,
            role,
            max_budget_in_organization: max.map(Usd::from_nanos),
            added_at: Timestamp::EPOCH,
        }
    }

    #[test]
    fn an_organization_admin_labels_and_changes_no_limit() {
        let before = organization();
        let verdict = |change: fn(&mut Organization)| {
            let mut after = before.clone();
            change(&mut after);
            let change = Change::updated(ObjectType::Organization, "o", &before, &after).expect("a change");
            check_admin_change(&change).map_err(|refusal| refusal.reason)
        };
        assert_eq!(verdict(|o| o.organization_alias = "P".to_owned()), Ok(()));
        for change in [
            (|o| o.budget.max = Some(Usd::ZERO)) as fn(&mut Organization),
            |o| o.rates.tpm = Some(0),
            |o| o.blocked = true,
            |o| o.models = ModelList::stored(vec!["m".to_owned()]),
        ] {
            assert_eq!(verdict(change), Err(Reason::FieldNotAllowed));
        }
    }

    #[test]
    fn a_membership_keeps_the_rules_of_role_and_budget() {
        use OrganizationRole::{Admin, InternalUser};
        let mut limited = organization();
        limited.budget.max = Some(Usd::from_nanos(10));
        for (role, max, user_role, reason) in [
            (Admin, None, Role::InternalUser, None),
            (Admin, None, Role::InternalUserViewer, Some(Reason::ViewerCannotAdminister)),
            (InternalUser, Some(10), Role::InternalUserViewer, None),
            (InternalUser, Some(11), Role::InternalUser, Some(Reason::MemberBudgetExceedsOrg)),
        ] {
            let verdict = member(role, max).check(&limited, user_role).err().map(|refusal| refusal.reason);
            assert_eq!(verdict, reason, "{role:?} {max:?} {user_role:?}");
        }
        assert!(member(InternalUser, Some(11)).check(&organization(), Role::InternalUser).is_ok());
    }
}
