//! Teams: what one is, who is in it, and what its admins may change.

#![expect(clippy::disallowed_types, reason = "what serde derives for flatten knows floats; no field is one")]

mod members;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

pub use self::members::{
    AskedLimits, Member, MemberDefaults, MemberLimits, MemberPatch, check_rates, loosens, set_member_duration,
};
use super::audit::{Change, Fields};
use super::clock::Timestamp;
use super::fault::Refusal;
use super::ids::{OrganizationId, TeamId};
use super::limit::{Budget, ModelRates, Rates, is_raised};
use super::models::{ALL_PROXY_MODELS, ModelAliases, ModelList};
use super::money::Usd;
use super::pricing::PriceBook;
use super::reason::Reason;
use super::role::MemberPermission;
use super::throughput::Throughput;
use super::user::User;
use super::window::Length;

/// A group of users who share keys, models and a budget.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Team {
    /// Never changes.
    pub team_id: TeamId,
    /// A free label.
    pub team_alias: Option<String>,
    /// The organization it belongs to.
    pub organization_id: Option<OrganizationId>,
    /// What the team's keys may call.
    pub models: ModelList,
    /// Aliases for keys that have none of their own.
    pub model_aliases: ModelAliases,
    /// The money that all keys together may spend.
    #[serde(flatten)]
    pub budget: Budget,
    /// The calls that all keys together may make.
    #[serde(flatten)]
    pub rates: Rates,
    /// What its organization guarantees of them.
    #[serde(flatten)]
    pub throughput: Throughput,
    /// What it takes of its organization's limits by model.
    #[serde(flatten)]
    pub model_rates: ModelRates,
    /// The limits of members that have none of their own.
    #[serde(flatten)]
    pub member_defaults: MemberDefaults,
    /// How long keys live that members get without a duration.
    pub team_member_key_duration: Option<Length>,
    /// What plain members may do with keys; `None` was never written.
    pub member_permissions: Option<BTreeSet<MemberPermission>>,
    /// Free labels.
    pub tags: Vec<String>,
    /// Free data.
    pub metadata: Fields,
    /// A blocked team's keys are refused.
    pub blocked: bool,
    /// Whether a proxy admin or an organization admin blocked it, so that a team
    /// admin can't unblock it.
    pub blocked_by_admin: bool,
    /// The issuer of `jwt.issuers` whose tokens say who is in the team.
    pub idp_managed_by: Option<String>,
    /// When the team was made.
    pub created_at: Timestamp,
    /// When the team was last changed.
    pub updated_at: Timestamp,
    /// Counts the changes.
    pub version: i64,
}

impl Team {
    /// What plain members may do with the team's keys.
    #[must_use]
    pub fn permissions(&self) -> BTreeSet<MemberPermission> {
        self.member_permissions.clone().unwrap_or_else(|| MemberPermission::DEFAULT.into())
    }
}

/// What new teams get where the request is silent: setting
/// `default_team_params`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TeamDefaults {
    /// The hard budget.
    pub max_budget: Option<Usd>,
    /// The budget's window.
    pub budget_duration: Option<Length>,
    /// Tokens a minute.
    pub tpm_limit: Option<i64>,
    /// Calls a minute.
    pub rpm_limit: Option<i64>,
    /// What plain members may do with keys.
    pub member_permissions: Option<BTreeSet<MemberPermission>>,
    /// The organization.
    pub organization_id: Option<OrganizationId>,
}

impl Team {
    /// A team of nothing but its id.
    #[must_use]
    pub fn new(team_id: TeamId, now: Timestamp) -> Self {
        Self {
            team_id,
            team_alias: None,
            organization_id: None,
            models: ModelList::default(),
            model_aliases: ModelAliases::default(),
            budget: Budget::new(None, None, None, now),
            rates: Rates::default(),
            throughput: Throughput::default(),
            model_rates: ModelRates::default(),
            member_defaults: MemberDefaults { anchor: Timestamp::EPOCH, ..MemberDefaults::default() },
            team_member_key_duration: None,
            member_permissions: None,
            tags: Vec::new(),
            metadata: Fields::new(),
            blocked: false,
            blocked_by_admin: false,
            idp_managed_by: None,
            created_at: now,
            updated_at: now,
            version: 1,
        }
    }
}

impl TeamDefaults {
    /// Fills what a new team leaves out.
    pub fn fill(&self, team: &mut Team, now: Timestamp) {
        let budget = &team.budget;
        let max = budget.max.or(self.max_budget);
        team.budget = Budget::new(max, budget.soft, budget.duration.or(self.budget_duration), now);
        team.rates.tpm = team.rates.tpm.or(self.tpm_limit);
        team.rates.rpm = team.rates.rpm.or(self.rpm_limit);
        if team.member_permissions.is_none() {
            team.member_permissions.clone_from(&self.member_permissions);
        }
        if team.organization_id.is_none() {
            team.organization_id.clone_from(&self.organization_id);
        }
    }
}

/// Fields that a team admin may change freely.
const ADMIN_FIELDS: [&str; 12] = [
    "team_alias",
    "metadata",
    "tags",
    "model_aliases",
    "team_member_budget",
    "team_member_budget_duration",
    "team_member_budget_anchor_at",
    "team_member_rpm_limit",
    "team_member_tpm_limit",
    "team_member_key_duration",
    "member_permissions",
    "soft_budget",
];

/// Fields that a team admin may tighten but not loosen; models it may add as far
/// as the team's organization allows, which whoever writes the team checks.
const NARROWING_FIELDS: [&str; 8] = [
    "models",
    "max_budget",
    "tpm_limit",
    "rpm_limit",
    "tpd_limit",
    "max_parallel_requests",
    "model_tpm_limit",
    "model_rpm_limit",
];

/// Decides whether a team admin may make a change.
///
/// # Errors
/// Names the first field that only a proxy admin may change, or may loosen.
pub fn check_admin_change(before: &Team, after: &Team, change: &Change) -> Result<(), Refusal> {
    let allowed = |field: &&str| ADMIN_FIELDS.contains(field) || NARROWING_FIELDS.contains(field);
    if let Some(field) = change.fields().find(|field| !allowed(field)) {
        let message = format!("a team admin may not change {field}; ask a proxy admin");
        return Err(Refusal::denied(Reason::FieldNotAllowed, message).with("field", field));
    }
    let raised = [
        ("max_budget", is_raised(before.budget.max.as_ref(), after.budget.max.as_ref())),
        ("tpm_limit", is_raised(before.rates.tpm.as_ref(), after.rates.tpm.as_ref())),
        ("rpm_limit", is_raised(before.rates.rpm.as_ref(), after.rates.rpm.as_ref())),
        ("tpd_limit", is_raised(before.rates.tpd.as_ref(), after.rates.tpd.as_ref())),
        ("max_parallel_requests", is_raised(before.rates.parallel.as_ref(), after.rates.parallel.as_ref())),
        ("model_tpm_limit", any_raised(&before.model_rates.tpm, &after.model_rates.tpm)),
        ("model_rpm_limit", any_raised(&before.model_rates.rpm, &after.model_rates.rpm)),
        ("models", before.organization_id.is_none() && widens(&before.models, &after.models)),
    ];
    match raised.into_iter().find(|(_, raised)| *raised) {
        None => Ok(()),
        Some((field, _)) => {
            let message = format!("a team admin may lower {field} but not raise or clear it; ask a proxy admin");
            Err(Refusal::denied(Reason::BudgetRaiseNeedsAdmin, message).with("field", field))
        }
    }
}

/// The models of a team after some were added. A list that was empty, and so
/// allowed every model, goes on allowing what it did: all of them, or all of
/// the organization's.
#[must_use]
pub fn with_models(team: &ModelList, organization: Option<&ModelList>, added: &ModelList) -> ModelList {
    if !team.is_empty() {
        return team.with(added);
    }
    match organization.filter(|models| !models.allows_all()) {
        Some(models) => models.with(added),
        None => ModelList::stored(vec![ALL_PROXY_MODELS.to_owned()]).with(added),
    }
}

/// The models of a team after some were removed; those that it does not have
/// are no fault. A list without its last model would allow every model.
///
/// # Errors
/// [`Reason::WouldAllowAllModels`], unless `allow_all` asks for that.
pub fn without_models(team: &ModelList, removed: &ModelList, allow_all: bool) -> Result<ModelList, Refusal> {
    let left = team.without(removed);
    if left.is_empty() && !team.is_empty() && !allow_all {
        let message = "without its last model the team could call every model: leave one, write \"no-default-models\", \
                       or set allow_all";
        return Err(Refusal::precondition(Reason::WouldAllowAllModels, message));
    }
    Ok(left)
}

/// Whether the limit of any model is raised or gone.
fn any_raised(before: &BTreeMap<String, i64>, after: &BTreeMap<String, i64>) -> bool {
    before.iter().any(|(model, limit)| is_raised(Some(limit), after.get(model)))
}

/// Whether a list allows more than another.
fn widens(before: &ModelList, after: &ModelList) -> bool {
    !before.is_empty() && (after.is_empty() || !before.beyond(after).is_empty())
}

/// Bounds a team that a user without admin rights makes, by the user's own
/// budget and models and by the limits of the key it uses: what is absent is
/// filled, what is larger is refused. The book knows which models are in which
/// access groups.
///
/// # Errors
/// Names the first limit that is larger than the creator's.
pub fn bound_by_creator(
    team: &mut Team,
    user: &User,
    key: Option<(&ModelList, &Rates)>,
    book: &PriceBook,
) -> Result<(), Refusal> {
    bound("max_budget", &mut team.budget.max, user.budget.max)?;
    if let Some((models, rates)) = key {
        bound("tpm_limit", &mut team.rates.tpm, rates.tpm)?;
        bound("rpm_limit", &mut team.rates.rpm, rates.rpm)?;
        bound("tpd_limit", &mut team.rates.tpd, rates.tpd)?;
        bound_models(team, models, book)?;
    }
    bound_models(team, &user.models, book)
}

fn bound<T: PartialOrd + Copy + ToString>(
    field: &'static str,
    asked: &mut Option<T>,
    own: Option<T>,
) -> Result<(), Refusal> {
    match (&asked, own) {
        (None, own) => *asked = own,
        (Some(value), Some(own)) if *value > own => {
            let message = format!("{field} {} is larger than your own, {}", value.to_string(), own.to_string());
            return Err(Refusal::precondition(Reason::CreatorLimitExceeded, message)
                .with("field", field)
                .with("requested", *value)
                .with("limit", own));
        }
        _ => {}
    }
    Ok(())
}

fn bound_models(team: &mut Team, own: &ModelList, book: &PriceBook) -> Result<(), Refusal> {
    if own.is_empty() {
        return Ok(());
    }
    if team.models.is_empty() {
        team.models = own.clone();
    }
    match own.beyond_in(&team.models, book).as_slice() {
        [] => Ok(()),
        beyond => {
            let message = format!("models {} are not among your own", beyond.join(", "));
            Err(Refusal::precondition(Reason::CreatorLimitExceeded, message)
                .with("field", "models")
                .with("requested", beyond.join(",")))
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::domain::audit::ObjectType;

    pub(in crate::domain) fn team() -> Team {
        Team::new(TeamId::stored("t"), Timestamp::EPOCH)
    }

    fn models(names: &[&str]) -> ModelList {
        ModelList::stored(names.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn added_models_narrow_nothing_and_removed_ones_widen_nothing() {
        let added = models(&["x", "a"]);
        assert_eq!(with_models(&models(&["a"]), None, &added), models(&["a", "x"]));
        assert_eq!(with_models(&models(&[]), None, &added), models(&["all-proxy-models", "x", "a"]));
        assert_eq!(with_models(&models(&[]), Some(&models(&["o"])), &added), models(&["o", "x", "a"]));
        assert_eq!(with_models(&models(&[]), Some(&models(&[])), &added), models(&["all-proxy-models", "x", "a"]));
        let without = |team: &[&str], removed: &[&str], all| {
            without_models(&models(team), &models(removed), all).map_err(|refusal| refusal.reason)
        };
        assert_eq!(without(&["a", "b"], &["b", "z"], false), Ok(models(&["a"])));
        assert_eq!(without(&["a"], &["a"], false), Err(Reason::WouldAllowAllModels));
        assert_eq!(without(&["a"], &["a"], true), Ok(models(&[])));
        assert_eq!(without(&[], &["a"], false), Ok(models(&[])), "nothing is removed");
    }

    fn verdict(change: impl Fn(&mut Team), before: &Team) -> Option<Reason> {
        let mut after = before.clone();
        change(&mut after);
        let change = Change::updated(ObjectType::Team, "t", before, &after)?;
        check_admin_change(before, &after, &change).err().map(|refusal| refusal.reason)
    }

    #[test]
    fn a_team_admin_lowers_and_labels_but_does_not_raise() {
        let mut limited = team();
        limited.budget.max = Some(Usd::from_nanos(100));
        limited.rates.rpm = Some(10);
        limited.models = models(&["a", "b/*"]);
        let raise = Some(Reason::BudgetRaiseNeedsAdmin);
        assert_eq!(verdict(|team| team.team_alias = Some("x".into()), &limited), None);
        assert_eq!(verdict(|team| team.member_defaults.rpm = Some(1), &limited), None);
        assert_eq!(verdict(|team| team.budget.max = Some(Usd::from_nanos(99)), &limited), None);
        assert_eq!(verdict(|team| team.budget.max = Some(Usd::from_nanos(101)), &limited), raise);
        assert_eq!(verdict(|team| team.budget.max = None, &limited), raise);
        assert_eq!(verdict(|team| team.rates.rpm = None, &limited), raise);
        assert_eq!(verdict(|team| team.rates.tpm = Some(5), &limited), None, "a first limit narrows");
        let of_model = |limit: i64| BTreeMap::from([("m".to_owned(), limit)]);
        limited.model_rates.rpm = of_model(5);
        assert_eq!(verdict(|team| team.model_rates.rpm.extend([("m".to_owned(), 4)]), &limited), None);
        assert_eq!(verdict(|team| team.model_rates.rpm.extend([("n".to_owned(), 9)]), &limited), None);
        assert_eq!(verdict(|team| team.model_rates.tpm.extend([("m".to_owned(), 9)]), &limited), None);
        assert_eq!(verdict(|team| team.model_rates.rpm.extend([("m".to_owned(), 6)]), &limited), raise);
        assert_eq!(verdict(|team| team.model_rates.rpm.clear(), &limited), raise);
        limited.model_rates.tpm = of_model(5);
        assert_eq!(verdict(|team| team.model_rates.tpm.clear(), &limited), raise);
        assert_eq!(verdict(|team| team.models = models(&["b/c"]), &limited), None);
        assert_eq!(verdict(|team| team.models = models(&["c"]), &limited), raise);
        assert_eq!(verdict(|team| team.models = models(&[]), &limited), raise);
        let inside = Team { organization_id: Some(OrganizationId::stored("o")), ..limited.clone() };
        assert_eq!(verdict(|team| team.models = models(&["c"]), &inside), None, "its organization is asked");
        assert_eq!(verdict(|team| team.blocked = true, &limited), Some(Reason::FieldNotAllowed));
        assert_eq!(
            verdict(|team| team.budget.duration = Some("1d".parse().expect("a length")), &limited),
            Some(Reason::FieldNotAllowed),
            "a shorter window is a larger budget"
        );
    }
}
