//! Decisions: may this key call this model? Everything that needs no counter.

mod checks;

use strum::{EnumString, IntoStaticStr, VariantArray};

pub use self::checks::{Checked, Finding, Judged, caller_checks, model_checks};

use super::account::Scope;
use super::identity::Identity;
use super::models::ModelList;

/// Why a call is denied, in the order of the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
#[expect(missing_docs, reason = "gateway_service.proto documents each under the same name")]
pub enum DenyReason {
    KeyUnknown,
    KeyBlocked,
    KeyExpired,
    UserDeactivated,
    UserNotInTeam,
    TeamBlocked,
    CustomerBlocked,
    CallNotAllowed,
    RequiredParamMissing,
    ModelUnknown,
    PriceUnknown,
    ModelNotAllowed,
    BudgetExceeded,
    RateLimited,
}

/// A denial, with words for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Why.
    pub reason: DenyReason,
    /// Whose limit or list it was.
    pub scope: Option<Scope>,
    /// In words.
    pub message: String,
}

impl Denial {
    /// A denial that no limit is the reason of.
    pub fn new(reason: DenyReason, message: impl Into<String>) -> Self {
        Self { reason, scope: None, message: message.into() }
    }

    /// No live key has this secret.
    #[must_use]
    pub fn unknown_key() -> Self {
        Self::new(DenyReason::KeyUnknown, "no such key")
    }
}

/// Checks who calls; says nothing about models and budgets.
///
/// # Errors
/// The first check that fails.
pub fn check_caller(call: &Judged<'_>) -> Result<(), Denial> {
    caller_checks(call).try_for_each(Checked::verdict)
}

/// Parameters that a call must have: settings `enforced_params` and
/// `service_account_settings.enforced_params`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequiredParams {
    /// Of every call.
    pub of_all: Vec<String>,
    /// Of calls of service accounts: keys of a team that are nobody's.
    pub of_service_accounts: Vec<String>,
}

impl RequiredParams {
    /// Those of a call.
    fn of<'a>(&'a self, identity: &Identity) -> impl Iterator<Item = &'a str> + use<'a> {
        let is_service = identity.key.user_id.is_none() && identity.key.team_id.is_some();
        let more: &[String] = if is_service { &self.of_service_accounts } else { &[] };
        self.of_all.iter().chain(more).map(String::as_str)
    }
}

/// The model that is called when a name is asked for: the key's alias, else the
/// team's, else the name itself. One hop.
pub fn resolve_model<'a>(identity: &'a Identity, asked: &'a str) -> &'a str {
    let team = || identity.team.as_ref().and_then(|team| team.aliases.resolve(asked));
    identity.key.aliases.resolve(asked).or_else(team).unwrap_or(asked)
}

/// What the price table says about a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PriceState {
    /// It is not in the table.
    Unknown,
    /// It is, without a price.
    Unpriced,
    /// Its every price is 0: budgets do not apply.
    Zero,
    /// It has a price.
    Priced,
}

/// Which models are denied for want of a price.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PriceRules {
    /// Setting `deny_unknown_models`.
    pub deny_unknown_models: bool,
    /// Setting `deny_unpriced_models`.
    pub deny_unpriced_models: bool,
}

/// A model that is asked for.
#[derive(Clone, Copy, Debug)]
pub struct AskedModel<'a> {
    /// Its name, aliases resolved.
    pub name: &'a str,
    /// Its access groups.
    pub groups: &'a [Box<str>],
    /// What the price table says about it.
    pub price: PriceState,
}

/// The lists that all must let a key call a model.
pub fn model_lists(identity: &Identity) -> impl Iterator<Item = (Scope, &ModelList)> {
    let personal = identity.key.team_id.is_none();
    let team = identity.team.as_ref().map(|team| (Scope::Team, &team.models));
    let user = identity.user.as_ref().filter(|_| personal).map(|user| (Scope::User, &user.models));
    let organization = identity.affiliation.as_ref();
    let organization = organization.map(|affiliation| (Scope::Organization, &affiliation.organization.models));
    let customer = identity.customer.as_ref().map(|customer| (Scope::Customer, &customer.models));
    [Some((Scope::Key, &identity.key.models)), team, user, organization, customer].into_iter().flatten()
}

/// Checks the resolved model against the price table and every list.
///
/// # Errors
/// The first check that fails.
pub fn check_model(identity: &Identity, model: &AskedModel<'_>, rules: PriceRules) -> Result<(), Denial> {
    model_checks(identity, model, rules).try_for_each(Checked::verdict)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::account::AccountId;
    use crate::domain::clock::Timestamp;
    use crate::domain::identity::{
        Affiliation, Holder, KeyFacts, MemberFacts, Membership, ModelAccounts, Models, OrganizationFacts,
        OrganizationMemberFacts, Principal, Ranks, TeamFacts, UserFacts,
    };
    use crate::domain::ids::{KeyId, OrganizationId, TeamId, UserId};
    use crate::domain::key::KeyType;
    use crate::domain::limit::{Budget, Dynamic, Rates};
    use crate::domain::models::{ModelAliases, ModelList};
    use crate::domain::money::Usd;
    use crate::domain::role::{Role, TeamRole};
    use crate::domain::secret::KeyHash;
    use crate::domain::team::MemberDefaults;
    use crate::domain::user::SessionEpoch;

    const NOW: Timestamp = Timestamp::from_micros(1_000);

    fn check(identity: &Identity, now: Timestamp) -> Result<(), Denial> {
        check_caller(&Judged { identity, params: &[], required: &RequiredParams::default(), now })
    }

    fn asked(price: PriceState) -> AskedModel<'static> {
        AskedModel { name: "m", groups: &[], price }
    }

    fn list(names: &[&str]) -> ModelList {
        ModelList::stored(names.iter().map(ToString::to_string).collect())
    }

    fn aliases(name: &str, target: &str) -> ModelAliases {
        ModelAliases::parse([(&name.to_owned(), &target.to_owned())], "", &mut Vec::new())
    }

    fn key() -> KeyFacts {
        let id = KeyId::generate();
        KeyFacts {
            holder: Holder::Key { id, hash: KeyHash::of("sk-x"), account: AccountId::key(id) },
            key_type: KeyType::Default,
            ..token()
        }
    }

    fn token() -> KeyFacts {
        let (user_id, team_id) = (Some(UserId::stored("u")), Some(TeamId::stored("t")));
        KeyFacts::of_principal(Principal { user_id, team_id, organization_id: None }, ModelList::default())
    }

    fn user() -> UserFacts {
        let user_id = UserId::stored("u");
        UserFacts {
            account: AccountId::user(&user_id),
            model_accounts: ModelAccounts::default(),
            personal_account: AccountId::user_personal(&user_id),
            user_id,
            role: Role::InternalUser,
            blocked: false,
            models: ModelList::default(),
            budget: Budget::default(),
            rates: Rates::default(),
            session_epoch: SessionEpoch::default(),
            ranks: Ranks { team: Some(TeamRole::User), organization: None },
            organization_id: None,
        }
    }

    fn team() -> TeamFacts {
        let team_id = TeamId::stored("t");
        TeamFacts {
            account: AccountId::team(&team_id),
            team_id,
            organization_id: None,
            blocked: false,
            models: ModelList::default(),
            aliases: ModelAliases::default(),
            budget: Budget::default(),
            rates: Rates::default(),
            dynamic: Dynamic::NONE,
            group_models: ModelAccounts::default(),
            member_defaults: MemberDefaults::default(),
        }
    }

    fn identity(key: KeyFacts, user: UserFacts, team: TeamFacts, member: bool) -> Identity {
        let in_team = key.team_id.is_some();
        let facts = MemberFacts {
            role: TeamRole::User,
            own_limits: None,
            account: AccountId::team_member(&team.team_id, &user.user_id),
        };
        let membership = (member && in_team).then(|| Membership::new(Arc::new(facts), &team));
        Identity {
            user: key.user_id.is_some().then(|| Arc::new(user)),
            team: in_team.then(|| Arc::new(team)),
            raised_budget: None,
            key: Arc::new(key),
            membership,
            affiliation: None,
            customer: None,
        }
    }

    fn affiliated(identity: Identity, organization: OrganizationFacts, member_max: Option<i64>) -> Identity {
        let facts = OrganizationMemberFacts {
            max: member_max.map(Usd::from_nanos),
            account: AccountId::organization_member(&organization.organization_id, &UserId::stored("u")),
        };
        Identity { affiliation: Some(Affiliation::new(Arc::new(organization), Some(Arc::new(facts)))), ..identity }
    }

    fn organization() -> OrganizationFacts {
        let organization_id = OrganizationId::stored("o");
        OrganizationFacts {
            account: AccountId::organization(&organization_id),
            organization_id,
            blocked: false,
            models: ModelList::default(),
            budget: Budget::new(None, None, Some("1d".parse().expect("a length")), NOW),
            rates: Rates::default(),
            group_models: ModelAccounts::default(),
        }
    }

    /// Each row fails its own check and all later ones: the earliest is told.
    #[test]
    fn the_first_failing_check_is_the_reason() {
        let everything_wrong = || {
            let mut key = key();
            key.blocked = true;
            key.expires_at = Some(NOW);
            key.key_type = KeyType::Management;
            let (mut user, mut team) = (user(), team());
            user.blocked = true;
            team.blocked = true;
            (key, user, team, false)
        };
        let reason =
            |(key, user, team, member)| check(&identity(key, user, team, member), NOW).map_err(|denial| denial.reason);
        let mut case = everything_wrong();
        assert_eq!(reason(case.clone()), Err(DenyReason::KeyBlocked));
        case.0.blocked = false;
        assert_eq!(reason(case.clone()), Err(DenyReason::KeyExpired));
        case.0.expires_at = Some(Timestamp::from_micros(1_001));
        assert_eq!(reason(case.clone()), Err(DenyReason::UserDeactivated));
        case.1.blocked = false;
        assert_eq!(reason(case.clone()), Err(DenyReason::UserNotInTeam));
        case.3 = true;
        assert_eq!(reason(case.clone()), Err(DenyReason::TeamBlocked));
        case.2.blocked = false;
        assert_eq!(reason(case.clone()), Err(DenyReason::CallNotAllowed));
        case.0.key_type = KeyType::LlmApi;
        assert_eq!(reason(case.clone()), Ok(()));
        case.0.allowed_routes = ["bursar.v1.KeyService/*".into()].into();
        assert_eq!(reason(case.clone()), Err(DenyReason::CallNotAllowed));
        case.0.allowed_routes = ["bursar.v1.Gateway*".into()].into();
        assert_eq!(reason(case), Ok(()));
    }

    #[test]
    fn a_call_must_have_the_parameters_that_are_required_of_it() {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let required = RequiredParams { of_all: names(&["user"]), of_service_accounts: names(&["metadata.run"]) };
        let person = identity(key(), user(), team(), true);
        let service = Identity { key: Arc::new(KeyFacts { user_id: None, ..key() }), user: None, ..person.clone() };
        let missing = |identity: &Identity, params: &[&str]| {
            let call = Judged { identity, params: &names(params), required: &required, now: NOW };
            check_caller(&call).map_err(|denial| (denial.reason, denial.message))
        };
        let lacks = |what: &str| Err((DenyReason::RequiredParamMissing, format!("the call lacks {what}")));
        assert_eq!(missing(&person, &["user"]), Ok(()));
        assert_eq!(missing(&person, &[]), lacks("user"));
        assert_eq!(missing(&service, &["user"]), lacks("metadata.run"));
        assert_eq!(missing(&service, &["metadata.run", "user"]), Ok(()));
        assert_eq!(check(&person, NOW), Ok(()), "nothing is required");
    }

    #[test]
    fn aliases_are_resolved_once_the_keys_first() {
        let mut key = key();
        let mut team = team();
        team.aliases = aliases("gpt", "team-gpt");
        let resolved = |key: &KeyFacts, team: &TeamFacts, asked: &str| {
            resolve_model(&identity(key.clone(), user(), team.clone(), true), asked).to_owned()
        };
        assert_eq!(resolved(&key, &team, "gpt"), "team-gpt");
        key.aliases = aliases("gpt", "key-gpt");
        assert_eq!(resolved(&key, &team, "gpt"), "key-gpt");
        team.aliases = aliases("key-gpt", "chained");
        assert_eq!(resolved(&key, &team, "gpt"), "key-gpt");
        assert_eq!(resolved(&key, &team, "other"), "other");
    }

    #[test]
    fn every_list_must_hold_the_model() {
        let scope = |key_models: &[&str], team_models: &[&str], user_models: &[&str], in_team: bool| {
            let (mut key, mut user, mut team) = (key(), user(), team());
            key.models = list(key_models);
            team.models = list(team_models);
            user.models = list(user_models);
            key.team_id = key.team_id.filter(|_| in_team);
            let identity = identity(key, user, team, true);
            check_model(&identity, &asked(PriceState::Priced), PriceRules::default()).map_err(|denial| denial.scope)
        };
        assert_eq!(scope(&[], &[], &[], true), Ok(()));
        assert_eq!(scope(&["x"], &["x"], &["x"], true), Err(Some(Scope::Key)));
        assert_eq!(scope(&["m"], &["x"], &["x"], true), Err(Some(Scope::Team)));
        assert_eq!(scope(&["m"], &["m"], &["x"], true), Ok(()), "the user's list is for keys without a team");
        assert_eq!(scope(&["m"], &[], &["x"], false), Err(Some(Scope::User)));
        assert_eq!(scope(&["all-team-models"], &["m"], &[], true), Ok(()));
    }

    #[test]
    fn an_organization_binds_its_keys() {
        let calls = || identity(key(), user(), team(), true);
        let blocked = affiliated(calls(), OrganizationFacts { blocked: true, ..organization() }, None);
        let denial = check(&blocked, NOW).expect_err("denied");
        assert_eq!((denial.reason, denial.scope), (DenyReason::TeamBlocked, Some(Scope::Organization)));
        let narrow = affiliated(calls(), OrganizationFacts { models: list(&["x"]), ..organization() }, None);
        let denial = check_model(&narrow, &asked(PriceState::Priced), PriceRules::default()).expect_err("denied");
        assert_eq!((denial.reason, denial.scope), (DenyReason::ModelNotAllowed, Some(Scope::Organization)));
        let limited = affiliated(calls(), organization(), Some(7));
        let lines = limited.lines(Models::All, false);
        let member = lines.iter().find(|line| line.account.scope() == Scope::OrganizationMember).expect("a line");
        assert_eq!(member.budget.max, Some(Usd::from_nanos(7)));
        assert_eq!(member.budget.duration, organization().budget.duration, "in the organization's windows");
        assert!(lines.iter().any(|line| line.account.scope() == Scope::Organization && line.budget_binds));
    }

    #[test]
    fn models_without_a_price_are_denied_only_by_setting() {
        let identity = identity(key(), user(), team(), true);
        let check = |price, deny_unknown_models, deny_unpriced_models| {
            let rules = PriceRules { deny_unknown_models, deny_unpriced_models };
            check_model(&identity, &asked(price), rules).map_err(|denial| denial.reason)
        };
        assert_eq!(check(PriceState::Unknown, false, false), Ok(()));
        assert_eq!(check(PriceState::Unknown, true, true), Err(DenyReason::ModelUnknown));
        assert_eq!(check(PriceState::Unknown, false, true), Err(DenyReason::PriceUnknown));
        assert_eq!(check(PriceState::Unpriced, true, false), Ok(()));
        assert_eq!(check(PriceState::Unpriced, true, true), Err(DenyReason::PriceUnknown));
        assert_eq!(check(PriceState::Zero, true, true), Ok(()));
    }

    #[test]
    fn a_users_budget_binds_its_own_keys_or_by_setting_all() {
        let binding = |in_team: bool, setting: bool| {
            let mut key = key();
            key.team_id = key.team_id.filter(|_| in_team);
            let identity = identity(key, user(), team(), true);
            let lines = identity.lines(Models::All, setting);
            assert!(lines.is_sorted_by_key(|line| line.account.scope()), "in the order of the checks");
            lines.iter().filter(|line| line.budget_binds).map(|line| line.account.scope()).collect::<Vec<_>>()
        };
        assert_eq!(binding(false, false), [Scope::Key, Scope::UserPersonal]);
        assert_eq!(binding(false, true), [Scope::Key, Scope::User]);
        assert_eq!(binding(true, false), [Scope::Key, Scope::Team, Scope::TeamMember]);
        assert_eq!(binding(true, true), [Scope::Key, Scope::Team, Scope::User, Scope::TeamMember]);
    }
}
