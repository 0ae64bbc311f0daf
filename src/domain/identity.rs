//! Identities: what must be known of a key, its owner and its team to judge a
//! call. Small, so that many fit into memory.

mod key_facts;
mod model_accounts;

use std::sync::Arc;

pub use self::key_facts::{Holder, KeyFacts, Payer, Principal};
pub use self::model_accounts::ModelAccounts;
use super::account::{AccountId, Line};
use super::customer::CustomerFacts;
use super::ids::{OrganizationId, TeamId, UserId};
use super::limit::{Budget, Dynamic, Rates};
use super::models::{ModelAliases, ModelList};
use super::money::Usd;
use super::organization::{Organization, OrganizationMember, member_budget};
use super::role::{OrganizationRole, Role, TeamRole};
use super::team::{Member, MemberDefaults, MemberLimits, Team};
use super::user::{SessionEpoch, User};

/// The highest roles that a user has in any team and in any organization.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ranks {
    /// In any team; `None`: it is in none.
    pub team: Option<TeamRole>,
    /// In any organization; `None`: it is in none.
    pub organization: Option<OrganizationRole>,
}

/// What judging needs of a user.
#[derive(Clone, Debug, PartialEq)]
pub struct UserFacts {
    /// The user.
    pub user_id: UserId,
    /// The role.
    pub role: Role,
    /// Whether the user is blocked.
    pub blocked: bool,
    /// What its keys without a team may call.
    pub models: ModelList,
    /// Its budget.
    pub budget: Budget,
    /// Its rate limits.
    pub rates: Rates,
    /// Sessions of another epoch are over.
    pub session_epoch: SessionEpoch,
    /// What its memberships add to its role.
    pub ranks: Ranks,
    /// The organization of its keys without a team: its home; without one, the
    /// one it is in, if it is in no other.
    pub organization_id: Option<OrganizationId>,
    /// The account of all its keys.
    pub account: AccountId,
    /// The account of its keys without a team.
    pub personal_account: AccountId,
    /// Its accounts with single models.
    pub model_accounts: ModelAccounts,
}

impl UserFacts {
    /// The facts of a user, with what its memberships say.
    #[must_use]
    pub fn new(user: User, ranks: Ranks, organization_id: Option<OrganizationId>) -> Self {
        Self {
            account: AccountId::user(&user.user_id),
            personal_account: AccountId::user_personal(&user.user_id),
            model_accounts: ModelAccounts::of_user(&user),
            user_id: user.user_id,
            role: user.user_role,
            blocked: user.blocked,
            models: user.models,
            budget: user.budget,
            rates: user.rates,
            session_epoch: user.session_epoch,
            ranks,
            organization_id,
        }
    }
}

/// What judging needs of a team.
#[derive(Clone, Debug, PartialEq)]
pub struct TeamFacts {
    /// The team.
    pub team_id: TeamId,
    /// The organization it belongs to.
    pub organization_id: Option<OrganizationId>,
    /// Whether it is blocked.
    pub blocked: bool,
    /// What its keys may call.
    pub models: ModelList,
    /// Its aliases.
    pub aliases: ModelAliases,
    /// Its budget.
    pub budget: Budget,
    /// Its rate limits.
    pub rates: Rates,
    /// Those of them, and of its models, that hold only in bad times.
    pub dynamic: Dynamic,
    /// Those of single models.
    pub group_models: ModelAccounts,
    /// The limits of members without their own.
    pub member_defaults: MemberDefaults,
    /// Its account.
    pub account: AccountId,
}

impl From<Team> for TeamFacts {
    fn from(team: Team) -> Self {
        Self {
            account: AccountId::team(&team.team_id),
            group_models: ModelAccounts::of_team(&team),
            team_id: team.team_id,
            organization_id: team.organization_id,
            blocked: team.blocked,
            models: team.models,
            aliases: team.model_aliases,
            budget: team.budget,
            rates: team.rates,
            dynamic: team.throughput.dynamic(),
            member_defaults: team.member_defaults,
        }
    }
}

/// What judging needs of a user in a team.
#[derive(Clone, Debug, PartialEq)]
pub struct MemberFacts {
    /// The role.
    pub role: TeamRole,
    /// Limits of its own.
    pub own_limits: Option<MemberLimits>,
    /// Its account.
    pub account: AccountId,
}

impl From<Member> for MemberFacts {
    fn from(member: Member) -> Self {
        Self {
            account: AccountId::team_member(&member.team_id, &member.user_id),
            role: member.role,
            own_limits: member.own_limits,
        }
    }
}

/// A membership with the limits that hold for it now.
#[derive(Clone, Debug)]
pub struct Membership {
    /// The membership.
    pub facts: Arc<MemberFacts>,
    /// Its budget: its own, else the team's default.
    pub budget: Budget,
    /// Its rate limits, likewise.
    pub rates: Rates,
}

impl Membership {
    /// The membership, with its limits worked out.
    #[must_use]
    pub fn new(facts: Arc<MemberFacts>, team: &TeamFacts) -> Self {
        let limits = facts.own_limits.clone().unwrap_or_else(|| team.member_defaults.clone().into());
        let (budget, rates) = limits.effective(&team.budget);
        Self { facts, budget, rates }
    }
}

/// What judging needs of an organization.
#[derive(Clone, Debug, PartialEq)]
pub struct OrganizationFacts {
    /// The organization.
    pub organization_id: OrganizationId,
    /// Whether it is blocked.
    pub blocked: bool,
    /// What its keys may call.
    pub models: ModelList,
    /// Its budget.
    pub budget: Budget,
    /// Its rate limits.
    pub rates: Rates,
    /// Those of single models.
    pub group_models: ModelAccounts,
    /// Its account.
    pub account: AccountId,
}

impl From<Organization> for OrganizationFacts {
    fn from(organization: Organization) -> Self {
        Self {
            account: AccountId::organization(&organization.organization_id),
            group_models: ModelAccounts::of_organization(&organization),
            organization_id: organization.organization_id,
            blocked: organization.blocked,
            models: organization.models,
            budget: organization.budget,
            rates: organization.rates,
        }
    }
}

/// What judging needs of a user in an organization.
#[derive(Clone, Debug, PartialEq)]
pub struct OrganizationMemberFacts {
    /// What its keys may spend in one window of the organization.
    pub max: Option<Usd>,
    /// Its account.
    pub account: AccountId,
}

impl From<OrganizationMember> for OrganizationMemberFacts {
    fn from(member: OrganizationMember) -> Self {
        Self {
            account: AccountId::organization_member(&member.organization_id, &member.user_id),
            max: member.max_budget_in_organization,
        }
    }
}

/// The organization that a key's calls count for, and the owner's place in it.
#[derive(Clone, Debug)]
pub struct Affiliation {
    /// The organization.
    pub organization: Arc<OrganizationFacts>,
    /// The owner's account in it, and its budget in the organization's windows.
    pub member: Option<(Arc<OrganizationMemberFacts>, Budget)>,
}

impl Affiliation {
    /// The affiliation, with the member's limits worked out.
    #[must_use]
    pub fn new(organization: Arc<OrganizationFacts>, member: Option<Arc<OrganizationMemberFacts>>) -> Self {
        let member = member.map(|facts| {
            let budget = member_budget(facts.max, &organization.budget);
            (facts, budget)
        });
        Self { organization, member }
    }
}

/// A key with its owner, its team, its organization, and the owner's place in
/// them.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The key.
    pub key: Arc<KeyFacts>,
    /// Its budget, if that is larger now.
    pub raised_budget: Option<Box<Budget>>,
    /// Its owner.
    pub user: Option<Arc<UserFacts>>,
    /// Its team.
    pub team: Option<Arc<TeamFacts>>,
    /// The owner's membership in the team.
    pub membership: Option<Membership>,
    /// The organization.
    pub affiliation: Option<Affiliation>,
    /// The end user on whose behalf it calls.
    pub customer: Option<Arc<CustomerFacts>>,
}

/// The models that accounts are looked for by.
#[derive(Clone, Copy, Debug)]
pub enum Models<'a> {
    /// The one that is called.
    Called(&'a str),
    /// The one that was used, or else, by the name under which it was asked for.
    Used {
        /// What answered.
        model: &'a str,
        /// What was asked for.
        group: &'a str,
    },
    /// All that somebody has limits of.
    All,
    /// None.
    None,
}

/// The organization that calls with these count for: that of the team; without
/// one, that of the token, else of the owner.
#[must_use]
pub fn organization_of<'a>(
    key: &'a KeyFacts,
    user: Option<&'a UserFacts>,
    team: Option<&'a TeamFacts>,
) -> Option<&'a OrganizationId> {
    match (team, &key.holder) {
        (Some(team), _) => team.organization_id.as_ref(),
        // What its team was in is no more to be known, and its owner's does not pay.
        (None, _) if key.team_id.is_some() => None,
        (None, Holder::Token { organization_id: Some(id) }) => Some(id),
        (None, _) => user.and_then(|user| user.organization_id.as_ref()),
    }
}

impl Identity {
    /// Whether it is the key of a team that is no more: nobody's.
    #[must_use]
    pub fn team_is_gone(&self) -> bool {
        self.key.team_id.is_some() && self.team.is_none()
    }

    /// The organization that its calls count for.
    #[must_use]
    pub fn organization_id(&self) -> Option<&OrganizationId> {
        self.affiliation.as_ref().map(|affiliation| &affiliation.organization.organization_id)
    }

    /// The accounts that a call of this key touches, in the order in which
    /// their budgets are checked.
    ///
    /// A user's budget binds keys without a team, compared with what those
    /// spent; with `user_budget_on_team_keys` it binds every key, compared
    /// with what all of them spent. A user's rates bind every key; its limits of
    /// models, those that its budget binds. Of the models that somebody has limits
    /// of, the one that is called counts. The end user's limits bind whoever calls
    /// on its behalf.
    #[must_use]
    pub fn lines(&self, models: Models<'_>, user_budget_on_team_keys: bool) -> Vec<Line<'_>> {
        // With room for the budgets that all keys share.
        let mut lines = Vec::with_capacity(12);
        let line = |account, budget, rates, budget_binds, rates_bind| Line {
            budget_binds,
            rates_bind,
            ..Line::new(account, budget, rates)
        };
        let budget = self.raised_budget.as_deref().unwrap_or(&self.key.budget);
        if let Holder::Key { account, .. } = &self.key.holder {
            let relaxed = self.key.limits.as_ref().map_or(Dynamic::NONE, |limits| limits.dynamic);
            lines.push(Line { relaxed, ..Line::new(account, budget, &self.key.rates) });
        }
        if let Some(limits) = &self.key.limits {
            for (account, budget) in &limits.windows {
                lines.push(line(account, budget, &Rates::NONE, true, false));
            }
            lines.extend(limits.models.lines(models).map(|line| Line { relaxed: limits.dynamic, ..line }));
        }
        if let Some(team) = &self.team {
            let whole = Line::new(&team.account, &team.budget, &team.rates);
            lines.push(Line { relaxed: team.dynamic, ..whole });
            lines.extend(team.group_models.lines(models).map(|line| Line { relaxed: team.dynamic, ..line }));
        }
        if let Some(Affiliation { organization, member }) = &self.affiliation {
            lines.push(line(&organization.account, &organization.budget, &organization.rates, true, true));
            lines.extend(organization.group_models.lines(models));
            if let Some((member, budget)) = member {
                lines.push(line(&member.account, budget, &Rates::NONE, true, false));
            }
        }
        if let Some(user) = &self.user {
            lines.push(line(&user.account, &user.budget, &user.rates, user_budget_on_team_keys, true));
            if self.key.team_id.is_none() {
                lines.push(line(&user.personal_account, &user.budget, &user.rates, !user_budget_on_team_keys, false));
            }
            if user_budget_on_team_keys || self.key.team_id.is_none() {
                lines.extend(user.model_accounts.lines(models));
            }
        }
        if let Some(member) = &self.membership {
            lines.push(line(&member.facts.account, &member.budget, &member.rates, true, true));
        }
        lines.extend(self.customer.iter().flat_map(|customer| customer.lines(models)));
        lines
    }
}
