//! Members of teams: who is in one, and what each may spend and call there.

#![expect(clippy::disallowed_types, reason = "what serde derives for flatten knows floats; no field is one")]

use serde::{Deserialize, Serialize};

use crate::domain::clock::Timestamp;
use crate::domain::fault::Refusal;
use crate::domain::ids::{TeamId, UserId};
use crate::domain::limit::{Budget, Rates, is_raised};
use crate::domain::money::Usd;
use crate::domain::patch::Patch;
use crate::domain::reason::Reason;
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
        let budget = Budget { max: self.max, duration, anchor, ..Budget::default() };
        (budget, Rates { tpm: self.tpm, rpm: self.rpm, ..Rates::NONE })
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
    let mut budget = Budget { duration: defaults.duration, anchor: defaults.anchor, ..Budget::default() };
    budget.set_duration(patch, calendar, now);
    (defaults.duration, defaults.anchor) = (budget.duration, budget.anchor);
}

/// What a request says about a member.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemberPatch {
    /// The role; cleared it is that of a plain member.
    pub role: Patch<TeamRole>,
    /// The money in one window.
    pub max: Patch<Usd>,
    /// The window.
    pub duration: Patch<Length>,
    /// Calls a minute.
    pub rpm: Patch<i64>,
    /// Tokens a minute.
    pub tpm: Patch<i64>,
}

impl MemberPatch {
    /// The member after the change. The first limit of its own brings the rest
    /// of the team's defaults along; without the last one it follows them
    /// again.
    #[must_use]
    pub fn apply(self, member: &Member, defaults: &MemberDefaults, calendar: &Calendar, now: Timestamp) -> Member {
        let mut after = member.clone();
        match self.role {
            Patch::Keep => {}
            Patch::Clear => after.role = TeamRole::User,
            Patch::Set(role) => after.role = role,
        }
        let sets = [self.max.is_set(), self.duration.is_set(), self.rpm.is_set(), self.tpm.is_set()];
        if member.own_limits.is_none() && !sets.contains(&true) {
            // What it does not have can't be cleared.
            return after;
        }
        let mut limits = member.own_limits.clone().unwrap_or_else(|| defaults.clone().into());
        self.max.apply(&mut limits.max);
        self.rpm.apply(&mut limits.rpm);
        self.tpm.apply(&mut limits.tpm);
        let mut window = Budget { duration: limits.duration, anchor: limits.anchor, ..Budget::default() };
        window.set_duration(self.duration, calendar, now);
        (limits.duration, limits.anchor) = (window.duration, window.anchor);
        let has_any = limits.max.is_some() || limits.duration.is_some() || limits.rpm.is_some() || limits.tpm.is_some();
        after.own_limits = has_any.then_some(limits);
        after
    }
}

/// Whether one set of limits allows more than another in any of them. A window
/// of another length may: it begins anew.
#[must_use]
pub fn loosens(before: &(Budget, Rates), after: &(Budget, Rates)) -> bool {
    let ((budget, rates), (new_budget, new_rates)) = (before, after);
    is_raised(budget.max.as_ref(), new_budget.max.as_ref())
        || budget.duration != new_budget.duration
        || is_raised(rates.rpm.as_ref(), new_rates.rpm.as_ref())
        || is_raised(rates.tpm.as_ref(), new_rates.tpm.as_ref())
}

/// Checks that a member's own rates are not above those of its team.
///
/// # Errors
/// Names the limit that is.
pub fn check_rates(limits: &MemberLimits, team: &Rates) -> Result<(), Refusal> {
    for (field, asked, limit) in [("tpm_limit", limits.tpm, team.tpm), ("rpm_limit", limits.rpm, team.rpm)] {
        if let (Some(asked), Some(limit)) = (asked, limit)
            && asked > limit
        {
            let message = format!("{field} {asked} is larger than the team's, {limit}");
            let refusal = Refusal::precondition(Reason::LimitAboveTeam, message);
            return Err(refusal.with("field", field).with("requested", asked).with("limit", limit));
        }
    }
    Ok(())
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

    fn member(own_limits: Option<MemberLimits>) -> Member {
        Member {
            team_id: TeamId::stored("t"),
            user_id: UserId::stored("u"),
            user_email: None,
            role: TeamRole::Admin,
            own_limits,
            added_at: Timestamp::EPOCH,
        }
    }

    #[test]
    fn a_change_of_a_member_touches_what_it_names() {
        let usd = |nanos| Some(Usd::from_nanos(nanos));
        let defaults = MemberDefaults { max: usd(5), rpm: Some(3), ..MemberDefaults::default() };
        let own = |max, rpm| MemberLimits { max, rpm, ..MemberLimits::default() };
        let max = |patch| MemberPatch { max: patch, ..MemberPatch::default() };
        let demoted = MemberPatch { role: Patch::Set(TeamRole::User), ..MemberPatch::default() };
        for (before, patch, role, after) in [
            (Some(own(usd(9), None)), demoted.clone(), TeamRole::User, Some(own(usd(9), None))),
            (None, demoted, TeamRole::User, None),
            (None, MemberPatch { role: Patch::Clear, ..MemberPatch::default() }, TeamRole::User, None),
            (None, max(Patch::Set(Usd::ZERO)), TeamRole::Admin, Some(own(usd(0), Some(3)))),
            (None, max(Patch::Clear), TeamRole::Admin, None),
            (Some(own(usd(9), Some(1))), max(Patch::Clear), TeamRole::Admin, Some(own(None, Some(1)))),
            (Some(own(usd(9), None)), max(Patch::Clear), TeamRole::Admin, None),
        ] {
            let changed = patch.apply(&member(before), &defaults, &Calendar::UTC, Timestamp::EPOCH);
            assert_eq!((changed.role, changed.own_limits), (role, after));
        }
    }

    #[test]
    fn more_in_any_limit_is_looser() {
        let limits = |max: Option<i64>, rpm| {
            let budget = Budget { max: max.map(Usd::from_nanos), ..Budget::default() };
            (budget, Rates { rpm, ..Rates::default() })
        };
        assert!(!loosens(&limits(Some(5), Some(5)), &limits(Some(5), Some(4))));
        assert!(!loosens(&limits(None, None), &limits(Some(5), Some(5))));
        assert!(loosens(&limits(Some(5), None), &limits(Some(6), None)));
        assert!(loosens(&limits(Some(5), Some(5)), &limits(Some(4), None)));
    }

    #[test]
    fn a_members_rates_are_within_the_teams() {
        let team = Rates { tpm: Some(10), ..Rates::NONE };
        let own = |tpm, rpm| MemberLimits { rpm, tpm, ..MemberLimits::default() };
        assert!(check_rates(&own(Some(10), Some(99)), &team).is_ok());
        assert!(check_rates(&own(Some(11), None), &team).is_err());
    }
}
