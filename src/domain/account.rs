//! Accounts: the things that money is counted against.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::budget_mode::Mode;
use super::ids::{CustomerId, KeyId, OrganizationId, TeamId, UserId};
use super::limit::{Budget, Dynamic, Rates};
use super::money::Usd;
use super::window::Length;

/// A kind of account, in the order in which the budgets of a call are checked.
/// All kinds behave the same; a new one is a new row here and in the list of
/// accounts that a call touches.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Scope {
    /// One key.
    Key,
    /// One key, in windows of another length.
    KeyWindow,
    /// One key with one model.
    KeyModel,
    /// All keys of a team.
    Team,
    /// All keys of a team with one model: it limits calls, not money.
    TeamModel,
    /// All keys of an organization: of its teams, and personal ones of users
    /// that are at home there, or in no other.
    Organization,
    /// All keys of an organization with one model: it limits calls, not money.
    OrganizationModel,
    /// A user's keys in one organization.
    OrganizationMember,
    /// All calls under one label.
    Tag,
    /// All keys of a user.
    User,
    /// The keys of a user that have no team.
    UserPersonal,
    /// A user's keys with one model: those that its budget binds.
    UserModel,
    /// A user's keys in one team.
    TeamMember,
    /// All calls on behalf of an end user.
    Customer,
    /// All calls on behalf of an end user with one model.
    CustomerModel,
    /// All calls that one provider answered.
    Provider,
    /// All calls of one model.
    Model,
    /// All calls.
    Global,
}

impl Scope {
    /// Those that calls of all keys share. Their accounts are counted once they
    /// have a budget.
    pub const SHARED: [Self; 4] = [Self::Tag, Self::Provider, Self::Model, Self::Global];

    /// Whether calls of all keys share it.
    #[must_use]
    pub fn is_shared(self) -> bool {
        Self::SHARED.contains(&self)
    }

    /// Whether its accounts are those of single keys.
    #[must_use]
    pub const fn is_of_key(self) -> bool {
        matches!(self, Self::Key | Self::KeyWindow | Self::KeyModel)
    }

    /// Whether the words of a denial, which reach whoever holds the key, say how
    /// its accounts stand, and not just which one it is.
    #[must_use]
    pub fn is_told_in_words(self) -> bool {
        !self.is_shared() && !matches!(self, Self::Organization | Self::OrganizationModel)
    }

    /// Whether its accounts are named by two ids, the first of them escaped.
    const fn is_part_of_group(self) -> bool {
        matches!(
            self,
            Self::TeamMember
                | Self::OrganizationMember
                | Self::TeamModel
                | Self::OrganizationModel
                | Self::UserModel
                | Self::CustomerModel
        )
    }

    /// Whether the ids of its objects have two parts.
    #[must_use]
    pub const fn has_two_parts(self) -> bool {
        self.is_part_of_group() || matches!(self, Self::KeyWindow | Self::KeyModel)
    }

    /// The name in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The name for people.
    #[must_use]
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::KeyWindow => "key window",
            Self::KeyModel => "key and model",
            Self::Team => "team",
            Self::User | Self::UserPersonal => "user",
            Self::TeamMember => "team member",
            Self::Organization => "organization",
            Self::OrganizationMember => "organization member",
            Self::TeamModel => "team and model",
            Self::OrganizationModel => "organization and model",
            Self::UserModel => "user and model",
            Self::Customer => "customer",
            Self::CustomerModel => "customer and model",
            Self::Tag => "tag",
            Self::Provider => "provider",
            Self::Model => "model",
            Self::Global => "all keys",
        }
    }
}

/// Names one account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId {
    scope: Scope,
    name: Arc<str>,
}

impl AccountId {
    /// The account of a key.
    #[must_use]
    pub fn key(id: KeyId) -> Self {
        Self { scope: Scope::Key, name: id.to_string().into() }
    }

    /// The account of a key in windows of a length.
    #[must_use]
    pub fn key_window(id: KeyId, length: Length) -> Self {
        Self { scope: Scope::KeyWindow, name: format!("{id}/{length}").into() }
    }

    /// The account of a key with a model.
    #[must_use]
    pub fn key_model(id: KeyId, model: &str) -> Self {
        Self { scope: Scope::KeyModel, name: format!("{id}/{model}").into() }
    }

    /// The account of a team.
    #[must_use]
    pub fn team(id: &TeamId) -> Self {
        Self { scope: Scope::Team, name: id.as_str().into() }
    }

    /// The account of all keys of a user.
    #[must_use]
    pub fn user(id: &UserId) -> Self {
        Self { scope: Scope::User, name: id.as_str().into() }
    }

    /// The account of a user's keys without a team.
    #[must_use]
    pub fn user_personal(id: &UserId) -> Self {
        Self { scope: Scope::UserPersonal, name: id.as_str().into() }
    }

    /// The account of a user in a team.
    #[must_use]
    pub fn team_member(team: &TeamId, user: &UserId) -> Self {
        Self { scope: Scope::TeamMember, name: part_name(team.as_str(), user) }
    }

    /// The account of an organization.
    #[must_use]
    pub fn organization(id: &OrganizationId) -> Self {
        Self { scope: Scope::Organization, name: id.as_str().into() }
    }

    /// The account of a user in an organization.
    #[must_use]
    pub fn organization_member(organization: &OrganizationId, user: &UserId) -> Self {
        Self { scope: Scope::OrganizationMember, name: part_name(organization.as_str(), user) }
    }

    /// The account of a team with a model.
    #[must_use]
    pub fn team_model(team: &TeamId, model: &str) -> Self {
        Self { scope: Scope::TeamModel, name: part_name(team.as_str(), model) }
    }

    /// The account of an organization with a model.
    #[must_use]
    pub fn organization_model(organization: &OrganizationId, model: &str) -> Self {
        Self { scope: Scope::OrganizationModel, name: part_name(organization.as_str(), model) }
    }

    /// The account of a user with a model.
    #[must_use]
    pub fn user_model(user: &UserId, model: &str) -> Self {
        Self { scope: Scope::UserModel, name: part_name(user.as_str(), model) }
    }

    /// The account of an end user with a model.
    #[must_use]
    pub fn customer_model(customer: &CustomerId, model: &str) -> Self {
        Self { scope: Scope::CustomerModel, name: part_name(customer.as_str(), model) }
    }

    /// The account of an end user.
    #[must_use]
    pub fn customer(id: &CustomerId) -> Self {
        Self { scope: Scope::Customer, name: id.as_str().into() }
    }

    /// The account of all calls.
    #[must_use]
    pub fn everything() -> Self {
        Self { scope: Scope::Global, name: Arc::from("") }
    }

    /// Takes an account as it was stored.
    #[must_use]
    pub fn stored(scope: Scope, name: impl Into<Arc<str>>) -> Self {
        Self { scope, name: name.into() }
    }

    /// The accounts that an id of an object may mean: both parts of it may hold the
    /// character that separates them.
    #[must_use]
    pub fn of_object_id(scope: Scope, id: &str) -> Vec<Self> {
        if !scope.is_part_of_group() {
            return vec![Self::stored(scope, id)];
        }
        let parts = id.match_indices('/').map(|(at, _)| part_name(&id[..at], &id[at + 1..]));
        parts.map(|name| Self { scope, name }).collect()
    }

    /// Its kind.
    #[must_use]
    pub const fn scope(&self) -> Scope {
        self.scope
    }

    /// Its name in the store, unique within its kind.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The object that it is a part of, and which part: a duration or a model.
    #[must_use]
    pub fn part_of_object(&self) -> Option<(String, &str)> {
        let is_part =
            matches!(self.scope, Scope::KeyWindow | Scope::KeyModel | Scope::UserModel | Scope::CustomerModel);
        let (owner, part) = self.name.split_once('/').filter(|_| is_part)?;
        Some((unescaped(owner), part))
    }

    /// Its object in the audit log: of what calls of all keys share with its
    /// kind, such as `provider/openai`.
    #[must_use]
    pub fn audit_id(&self) -> String {
        if self.scope.is_shared() { format!("{}/{}", self.scope.as_str(), self.name) } else { self.object_id() }
    }

    /// The account with an [`AccountId::audit_id`] that calls of all keys share.
    #[must_use]
    pub fn of_audit_id(id: &str) -> Option<Self> {
        let (scope, name) = id.split_once('/')?;
        let scope = scope.parse::<Scope>().ok().filter(|scope| scope.is_shared())?;
        Some(Self::stored(scope, name))
    }

    /// The id of the object that it belongs to: `team_id/user_id` or
    /// `organization_id/user_id` for a member, likewise for something else with a
    /// model, `key_id/duration` or `key_id/model` for a part of a key.
    #[must_use]
    pub fn object_id(&self) -> String {
        let is_escaped = |(group, _): &(&str, &str)| self.scope.is_part_of_group() && group.contains('%');
        match self.name.split_once('/').filter(is_escaped) {
            Some((group, part)) => format!("{}/{part}", unescaped(group)),
            None => self.name.to_string(),
        }
    }
}

/// The name of a member of a group, or of a group with a model. The separator is
/// escaped in the group, so that no two pairs share a name.
fn part_name(group: &str, part: impl fmt::Display) -> Arc<str> {
    format!("{}/{part}", group.replace('%', "%25").replace('/', "%2F")).into()
}

fn unescaped(group: &str) -> String {
    group.replace("%2F", "/").replace("%25", "%")
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.scope == Scope::Global {
            return f.write_str(self.scope.in_words());
        }
        write!(f, "{} {:?}", self.scope.in_words(), self.object_id())
    }
}

/// An account that a call touches, with the limits that go with it.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// The account.
    pub account: &'a AccountId,
    /// Its windows and, if `budget_binds`, the limit that the call must keep.
    pub budget: &'a Budget,
    /// The limits that the call must keep if `rates_bind`.
    pub rates: &'a Rates,
    /// Whether the budget can deny the call. Spend is counted in any case.
    pub budget_binds: bool,
    /// Whether the rates can deny the call.
    pub rates_bind: bool,
    /// How the budget is applied.
    pub mode: Mode,
    /// What the call is thought to cost at most, as the budget sees it.
    pub estimate: Usd,
    /// The rates that are counted, and do not hold now.
    pub relaxed: Dynamic,
}

impl<'a> Line<'a> {
    /// An account of a call of which nothing is known yet but that it is made;
    /// budget and rates bind.
    #[must_use]
    pub const fn new(account: &'a AccountId, budget: &'a Budget, rates: &'a Rates) -> Self {
        Line {
            account,
            budget,
            rates,
            budget_binds: true,
            rates_bind: true,
            mode: Mode::ENFORCED,
            estimate: Usd::ZERO,
            relaxed: Dynamic::NONE,
        }
    }

    /// An account with a budget that binds, and no limits on its calls.
    #[must_use]
    pub const fn of_money(account: &'a AccountId, budget: &'a Budget) -> Self {
        Line { rates_bind: false, ..Self::new(account, budget, &Rates::NONE) }
    }

    /// An account with limits on its calls that bind, and no budget.
    #[must_use]
    pub const fn of_rates(account: &'a AccountId, rates: &'a Rates) -> Self {
        Line { budget_binds: false, ..Self::new(account, &Budget::NONE, rates) }
    }

    /// What may be spent in the window before calls are denied; `None` is
    /// unlimited.
    #[must_use]
    pub fn hard_max(&self) -> Option<Usd> {
        self.budget.max.filter(|_| !self.mode.shadow)
    }

    /// Whether a reservation must be held here: there is a limit that binds.
    #[must_use]
    pub const fn limits_money(&self) -> bool {
        self.budget_binds && self.budget.max.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_is_known_by_its_audit_id() {
        for account in [AccountId::stored(Scope::Model, "a/b"), AccountId::stored(Scope::Global, "")] {
            assert_eq!(AccountId::of_audit_id(&account.audit_id()), Some(account));
        }
        assert_eq!(AccountId::of_audit_id("team/red"), None);
    }

    #[test]
    fn no_two_members_share_an_account() {
        let member = |team: &str, user: &str| AccountId::team_member(&TeamId::stored(team), &UserId::stored(user));
        assert_ne!(member("a/b", "c"), member("a", "b/c"));
        assert_ne!(member("a%2Fb", "c"), member("a/b", "c"));
        for (team, user) in [("a", "b"), ("a/b", "c"), ("a%2Fb", "c/d"), ("%", "%25")] {
            let account = member(team, user);
            assert_eq!(account.object_id(), format!("{team}/{user}"));
            assert!(AccountId::of_object_id(Scope::TeamMember, &account.object_id()).contains(&account));
        }
    }
}
