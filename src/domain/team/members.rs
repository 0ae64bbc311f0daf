//! Members of teams: who is in one, and what each may spend and call there.

#![expect(clippy::disallowed_types, reason = "what serde derives for flatten knows floats; no field is one")]

use serde::{Deserialize, Serialize};

use crate::domain::clock::Timestamp;
use crate::domain::ids::{TeamId, UserId};
use crate::domain::limit::{Budget, Rates};
use crate::domain::money::Usd;
use crate::domain::patch::Patch;
use crate::domain::role::TeamRole;
use crate::domain::user::Email;
use crate::domain::window::{Calendar, Length};

/// The limits of every member without limits of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberDefaults {
    /// The money in one window.
    #[serde(rename = "team_member_budget")]
    pub max: Option<Usd>,
    /// The window; absent: the team's.
    #[serde(rename = "team_member_budget_duration")]
    pub duration: Option<Length>,
    /// When the duration was set.
    #[serde(rename = "team_member_budget_anchor_at")]
    pub anchor: Timestamp,
    /// Calls a minute.
    #[serde(rename = "team_member_rpm_limit")]
    pub rpm: Option<i64>,
    /// Tokens a minute.
    #[serde(rename = "team_member_tpm_limit")]
    pub tpm: Option<i64>,
}

/// A user in a team.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// The team.
    pub team_id: TeamId,
    /// The user.
    pub user_id: UserId,
    /// The user's address, for display.
    #[serde(skip)]
    pub user_email: Option<Email>,
    /// The role in the team.
    pub role: TeamRole,
    /// Limits of its own; `None`: the team's member defaults, also when they
    /// change.
    #[serde(flatten)]
    pub own_limits: Option<MemberLimits>,
    /// When the user joined.
    pub added_at: Timestamp,
}

/// What one member may spend and call in one team.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberLimits {
    /// The money in one window.
    #[serde(rename = "max_budget_in_team")]
    pub max: Option<Usd>,
    /// The window; absent: the team's.
    #[serde(rename = "budget_duration")]
    pub duration: Option<Length>,
    /// When the duration was set.
    #[serde(rename = "budget_anchor_at")]
    pub anchor: Timestamp,
    /// Calls a minute.
    #[serde(rename = "rpm_limit")]
    pub rpm: Option<i64>,
    /// Tokens a minute.
    #[serde(rename = "tpm_limit")]
    pub tpm: Option<i64>,
}

impl From<MemberDefaults> for MemberLimits {
    fn from(defaults: MemberDefaults) -> Self {
        let MemberDefaults { max, duration, anchor, rpm, tpm } = defaults;
        Self { max, duration, anchor, rpm, tpm }
    }
}

impl MemberLimits {
    /// The limits as the ledger takes them. Without a duration the member
    /// follows the windows of the team.
    #[must_use]
    pub fn effective(&self, team: &Budget) -> (Budget, Rates) {
        let (duration, anchor) = match self.duration {
            Some(duration) => (Some(duration), self.anchor),
            None => (team.duration, team.anchor),
        };
        let budget = Budget { max: self.max, soft: None, duration, anchor };
        (budget, Rates { tpm: self.tpm, rpm: self.rpm, parallel: None })
    }
}

/// What a request says about the limits of a member that is to be added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AskedLimits {
    /// The money in one window.
    pub max: Option<Usd>,
    /// The window.
    pub duration: Option<Length>,
    /// Calls a minute.
    pub rpm: Option<i64>,
    /// Tokens a minute.
    pub tpm: Option<i64>,
}

impl AskedLimits {
    /// The member's own limits: none if none were asked for; else what was
    /// asked for, the rest copied from the team's defaults.
    #[must_use]
    pub fn complete(&self, defaults: &MemberDefaults, now: Timestamp) -> Option<MemberLimits> {
        if *self == Self::default() {
            return None;
        }
        Some(MemberLimits {
            max: self.max.or(defaults.max),
            duration: self.duration.or(defaults.duration),
            anchor: if self.duration.is_some() { now } else { defaults.anchor },
            rpm: self.rpm.or(defaults.rpm),
            tpm: self.tpm.or(defaults.tpm),
        })
    }
}

/// Changes the window of the member defaults, as [`Budget::set_duration`].
pub fn set_member_duration(defaults: &mut MemberDefaults, patch: Patch<Length>, calendar: &Calendar, now: Timestamp) {
    let mut budget = Budget { max: None, soft: None, duration: defaults.duration, anchor: defaults.anchor };
    budget.set_duration(patch, calendar, now);
    (defaults.duration, defaults.anchor) = (budget.duration, budget.anchor);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_members_own_limits_keep_the_rest_of_the_defaults() {
        let defaults = MemberDefaults { max: Some(Usd::from_nanos(5)), rpm: Some(3), ..MemberDefaults::default() };
        assert_eq!(AskedLimits::default().complete(&defaults, Timestamp::EPOCH), None);
        let asked = AskedLimits { max: Some(Usd::from_nanos(9)), ..AskedLimits::default() };
        let own = asked.complete(&defaults, Timestamp::EPOCH).expect("own limits");
        assert_eq!((own.max, own.rpm), (Some(Usd::from_nanos(9)), Some(3)));
    }

    #[test]
    fn a_member_without_a_duration_follows_the_team() {
        let team = Budget::new(None, None, Some("1d".parse().expect("a length")), Timestamp::from_micros(7));
        let (budget, _) = MemberLimits::default().effective(&team);
        assert_eq!((budget.duration, budget.anchor), (team.duration, team.anchor));
    }
}
