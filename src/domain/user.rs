//! Users: what one is, how a new one gets its values, who may change which.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use uuid::Uuid;

use super::audit::Fields;
use super::clock::Timestamp;
use super::ids::{OrganizationId, TeamId, UserId, new_uuid};
use super::limit::{Budget, Rates};
use super::model_limit::{ModelLimits, following};
use super::models::ModelList;
use super::money::Usd;
use super::password::PasswordHash;
use super::patch::Patch;
use super::role::Role;
use super::window::{Calendar, Length};

/// A person, or a program that stands for one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct User {
    /// Never changes.
    pub user_id: UserId,
    /// Unique without regard to case.
    pub user_email: Option<Email>,
    /// A free label.
    pub user_alias: Option<String>,
    /// The role in the whole installation.
    pub user_role: Role,
    /// What keys without a team may call.
    pub models: ModelList,
    /// The money that keys without a team may spend.
    #[serde(flatten)]
    pub budget: Budget,
    /// The calls that all keys may make.
    #[serde(flatten)]
    pub rates: Rates,
    /// What the keys that its budget binds may do with single models.
    #[serde(rename = "model_max_budget", skip_serializing_if = "ModelLimits::is_empty")]
    pub model_limits: ModelLimits,
    /// Free data.
    pub metadata: Fields,
    /// A blocked user's keys are refused.
    pub blocked: bool,
    /// The organization whose admins manage the user; one that it is in.
    pub home_organization_id: Option<OrganizationId>,
    /// The hash of the password, if there is one. Never in the audit log.
    #[serde(skip)]
    pub password: Option<PasswordHash>,
    /// When the password was set.
    pub password_set_at: Option<Timestamp>,
    /// Sessions of another epoch are over.
    #[serde(skip)]
    pub session_epoch: SessionEpoch,
    /// When the user was made.
    pub created_at: Timestamp,
    /// When the user was last changed.
    pub updated_at: Timestamp,
    /// Counts the changes.
    pub version: i64,
}

impl User {
    /// Sets the role; every session is over. Who becomes an internal user gets
    /// what a new one would.
    pub fn set_role(&mut self, role: Role, defaults: &UserDefaults, calendar: &Calendar, now: Timestamp) {
        self.user_role = role;
        self.session_epoch = SessionEpoch::begin();
        if !role.is_internal() {
            return;
        }
        self.budget.max = self.budget.max.or(defaults.max_internal_user_budget);
        if let (None, Some(length)) = (self.budget.duration, defaults.internal_user_budget_duration) {
            self.budget.set_duration(Patch::Set(length), calendar, now);
        }
    }

    /// Sets the password, or takes it away; every session is over.
    pub fn set_password(&mut self, password: Option<PasswordHash>, now: Timestamp) {
        self.password_set_at = password.is_some().then_some(now);
        self.password = password;
        self.session_epoch = SessionEpoch::begin();
    }
}

/// The time in which a user's sessions are good: it ends with a new password
/// or role, and with the user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionEpoch(Uuid);

impl SessionEpoch {
    /// A new one.
    #[must_use]
    pub fn begin() -> Self {
        Self(new_uuid())
    }
}

impl FromStr for SessionEpoch {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, uuid::Error> {
        text.parse().map(Self)
    }
}

impl fmt::Display for SessionEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.hyphenated())
    }
}

/// An e-mail address, as it was given; compared in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Email(String);

/// Text that is not an e-mail address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be an e-mail address: at most 320 bytes, one \"@\" with text on both sides, no spaces")]
pub struct ParseEmailError;

impl Email {
    /// Takes an address; space around it is dropped.
    ///
    /// # Errors
    /// [`ParseEmailError`] if it is none.
    pub fn parse(text: &str) -> Result<Self, ParseEmailError> {
        let text = text.trim();
        let plain =
            |part: &str| !part.is_empty() && !part.chars().any(|c| c.is_whitespace() || c.is_control() || c == '@');
        let address = text.split_once('@').is_some_and(|(local, domain)| plain(local) && plain(domain));
        if address && text.len() <= 320 { Ok(Self(text.to_owned())) } else { Err(ParseEmailError) }
    }

    /// Takes an address that was checked when it was stored.
    #[must_use]
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    /// The address as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form that is compared.
    #[must_use]
    pub fn folded(&self) -> String {
        self.0.to_lowercase()
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A user that is to be made; what is absent takes a default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NewUser {
    /// Absent: generated.
    pub user_id: Option<UserId>,
    /// The address.
    pub user_email: Option<Email>,
    /// The label.
    pub user_alias: Option<String>,
    /// The role.
    pub user_role: Option<Role>,
    /// The models; empty counts as absent.
    pub models: ModelList,
    /// The hard budget.
    pub max_budget: Option<Usd>,
    /// The soft budget.
    pub soft_budget: Option<Usd>,
    /// The budget's window.
    pub budget_duration: Option<Length>,
    /// The rate limits.
    pub rates: Rates,
    /// Limits of single models, whose windows begin now.
    pub model_limits: ModelLimits,
    /// Free data.
    pub metadata: Fields,
    /// Made blocked.
    pub blocked: bool,
    /// The teams to join.
    pub team_ids: Vec<TeamId>,
    /// The organization whose admins manage the user.
    pub home_organization_id: Option<OrganizationId>,
}

/// What new users get where the request is silent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UserDefaults {
    /// Setting `default_internal_user_params.user_role`.
    pub user_role: Option<Role>,
    /// Setting `default_internal_user_params.max_budget`.
    pub max_budget: Option<Usd>,
    /// Setting `default_internal_user_params.budget_duration`.
    pub budget_duration: Option<Length>,
    /// Setting `default_internal_user_params.models`.
    pub models: ModelList,
    /// Setting `default_internal_user_params.teams`.
    pub team_ids: Vec<TeamId>,
    /// Setting `max_internal_user_budget`: for internal users without any
    /// budget.
    pub max_internal_user_budget: Option<Usd>,
    /// Setting `internal_user_budget_duration`, likewise.
    pub internal_user_budget_duration: Option<Length>,
}

impl UserDefaults {
    /// The role of a user that comes with somebody else's request.
    #[must_use]
    pub fn implicit_role(&self) -> Role {
        self.user_role.unwrap_or(Role::InternalUser)
    }
}

impl NewUser {
    /// The user with every default filled in, and the teams to join.
    ///
    /// Order: the request, then `default_internal_user_params` (not for proxy
    /// admins), then the internal-user budget for the internal roles. A user
    /// that came with somebody else's request is an internal user by default.
    #[must_use]
    pub fn complete(self, defaults: &UserDefaults, fallback_role: Role, now: Timestamp) -> (User, Vec<TeamId>) {
        let takes_defaults = self.user_role != Some(Role::ProxyAdmin);
        let or_default = |given: bool| takes_defaults && !given;
        let user_role = self.user_role.or(defaults.user_role).unwrap_or(fallback_role);
        let mut max = self.max_budget;
        let mut duration = self.budget_duration;
        if or_default(max.is_some()) {
            max = defaults.max_budget;
        }
        if or_default(duration.is_some()) {
            duration = defaults.budget_duration;
        }
        if user_role.is_internal() {
            max = max.or(defaults.max_internal_user_budget);
            duration = duration.or(defaults.internal_user_budget_duration);
        }
        let models = if or_default(!self.models.is_empty()) { defaults.models.clone() } else { self.models };
        let team_ids = if or_default(!self.team_ids.is_empty()) { defaults.team_ids.clone() } else { self.team_ids };
        let user = User {
            user_id: self.user_id.unwrap_or_else(UserId::generate),
            user_email: self.user_email,
            user_alias: self.user_alias,
            user_role,
            models,
            budget: Budget::new(max, self.soft_budget, duration, now),
            rates: self.rates,
            model_limits: following(self.model_limits, &ModelLimits::new(), now),
            metadata: self.metadata,
            blocked: self.blocked,
            home_organization_id: self.home_organization_id,
            password: None,
            password_set_at: None,
            session_epoch: SessionEpoch::begin(),
            created_at: now,
            updated_at: now,
            version: 1,
        };
        (user, team_ids)
    }
}

/// The fields of a user that the admins of its home organization may change.
pub const HOME_ADMIN_FIELDS: [&str; 12] = [
    "user_alias",
    "models",
    "max_budget",
    "soft_budget",
    "budget_duration",
    "budget_anchor_at",
    "tpm_limit",
    "rpm_limit",
    "max_parallel_requests",
    "model_max_budget",
    "metadata",
    "blocked",
];

/// The fields of itself that every user may change.
pub const SELF_FIELDS: [&str; 2] = ["user_alias", "password_set_at"];

#[cfg(test)]
mod tests {
    use super::*;

    fn usd(text: &str) -> Option<Usd> {
        text.parse().ok()
    }

    #[test]
    fn an_address_has_one_at_with_text_on_both_sides() {
        assert_eq!(Email::parse(" A@b.c ").map(|email| email.folded()), Ok("a@b.c".to_owned()));
        for text in ["", "a", "@", "a@", "@b", "a@b@c", "a b@c", "a@b\n.c", &format!("{}@b", "x".repeat(320))] {
            assert_eq!(Email::parse(text), Err(ParseEmailError), "{text:?}");
        }
    }

    #[test]
    fn defaults_fill_what_the_request_leaves_out() {
        let defaults = UserDefaults {
            user_role: Some(Role::InternalUser),
            max_budget: usd("10"),
            max_internal_user_budget: usd("5"),
            internal_user_budget_duration: Some("30d".parse().expect("a length")),
            ..UserDefaults::default()
        };
        let bare = UserDefaults { max_budget: None, user_role: None, ..defaults.clone() };
        for (role, asked, defaults, expected_role, expected_max) in [
            (None, None, &defaults, Role::InternalUser, usd("10")),
            (None, usd("0"), &defaults, Role::InternalUser, usd("0")),
            (Some(Role::ProxyAdmin), None, &defaults, Role::ProxyAdmin, None),
            (Some(Role::ProxyAdminViewer), None, &defaults, Role::ProxyAdminViewer, usd("10")),
            (None, None, &bare, Role::InternalUserViewer, usd("5")),
            (Some(Role::InternalUser), None, &bare, Role::InternalUser, usd("5")),
            (Some(Role::ProxyAdminViewer), None, &bare, Role::ProxyAdminViewer, None),
        ] {
            let new = NewUser { user_role: role, max_budget: asked, ..NewUser::default() };
            let (user, _) = new.complete(defaults, Role::InternalUserViewer, Timestamp::EPOCH);
            assert_eq!((user.user_role, user.budget.max), (expected_role, expected_max), "{role:?} {asked:?}");
        }
    }
}
