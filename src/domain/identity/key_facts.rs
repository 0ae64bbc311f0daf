//! Who calls: a key, or somebody with a token who is judged like one.

use serde::Serialize;

use crate::domain::account::AccountId;
use crate::domain::clock::Timestamp;
use crate::domain::ids::{BudgetId, KeyId, OrganizationId, TeamId, UserId};
use crate::domain::key::{Key, KeyType};
use crate::domain::key_limits::LimitFacts;
use crate::domain::limit::{Budget, Rates};
use crate::domain::models::{ModelAliases, ModelList};
use crate::domain::rotation::{self, FormerSecret};
use crate::domain::secret::KeyHash;
use crate::domain::tier::{Tier, in_force};

/// Who calls.
#[derive(Clone, Debug, PartialEq)]
pub enum Holder {
    /// A key.
    Key {
        /// Its id.
        id: KeyId,
        /// The hash of its secret.
        hash: KeyHash,
        /// Its account.
        account: AccountId,
    },
    /// Who shows a token of an identity provider: no key, so it has no account
    /// and no limits of its own.
    Token {
        /// The organization that its calls without a team count for, if the token
        /// names one.
        organization_id: Option<OrganizationId>,
    },
}

/// Somebody without a key, whom an identity provider knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Principal {
    /// The user; `None`: the team itself.
    pub user_id: Option<UserId>,
    /// The team for which it calls.
    pub team_id: Option<TeamId>,
    /// The organization that its calls without a team count for, if its token
    /// names one.
    pub organization_id: Option<OrganizationId>,
}

/// Who pays for a call, by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(untagged)]
pub enum Payer {
    /// A key.
    Key(KeyId),
    /// Somebody without one.
    Principal(Principal),
}

/// What judging needs of a key, or of a token that is used like one.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyFacts {
    /// Whose facts these are.
    pub holder: Holder,
    /// What it may be used for.
    pub key_type: KeyType,
    /// Its owner.
    pub user_id: Option<UserId>,
    /// Its team.
    pub team_id: Option<TeamId>,
    /// What it may call.
    pub models: ModelList,
    /// Its aliases.
    pub aliases: ModelAliases,
    /// Its budget, in force: with what its tier adds, like the rest.
    pub budget: Budget,
    /// Its rate limits.
    pub rates: Rates,
    /// Its tier.
    pub budget_id: Option<BudgetId>,
    /// How many changes of tiers had been seen when it was read.
    pub tiers_seen: u64,
    /// What else limits it.
    pub limits: Option<Box<LimitFacts>>,
    /// The RPCs it may call.
    pub allowed_routes: Box<[Box<str>]>,
    /// Added to its usage.
    pub tags: Box<[Box<str>]>,
    /// Whether it is blocked.
    pub blocked: bool,
    /// Why, if that was told.
    pub block_reason: Option<Box<str>>,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
    /// Secrets that were replaced, and are good for a while.
    pub former_secrets: Box<[FormerSecret]>,
}

impl KeyFacts {
    /// The facts of a key and of its tier, if it has one, read after so many
    /// changes of tiers.
    #[must_use]
    pub fn new(key: Key, tier: Option<&Tier>, tiers_seen: u64) -> Self {
        let boxed = |list: Vec<String>| list.into_iter().map(String::into_boxed_str).collect();
        let limits = match tier {
            Some(tier) => tier.limits_of(key.limits),
            None => key.limits,
        };
        Self {
            holder: Holder::Key { id: key.key_id, hash: key.key_hash, account: AccountId::key(key.key_id) },
            key_type: key.key_type,
            user_id: key.user_id,
            team_id: key.team_id,
            models: key.models,
            aliases: key.model_aliases,
            budget: in_force(&key.budget, tier),
            rates: tier.map_or(key.rates, |tier| tier.rates_of(&key.rates)),
            limits: LimitFacts::new(key.key_id, limits),
            budget_id: key.budget_id,
            tiers_seen,
            allowed_routes: boxed(key.allowed_routes),
            tags: boxed(key.tags),
            blocked: key.blocked,
            block_reason: key.block_reason.map(String::into_boxed_str),
            expires_at: key.expires_at,
            former_secrets: key.former_secrets.into(),
        }
    }

    /// The facts of somebody without a key, whose token lets it call these
    /// models.
    #[must_use]
    pub fn of_principal(principal: Principal, models: ModelList) -> Self {
        Self {
            holder: Holder::Token { organization_id: principal.organization_id },
            key_type: KeyType::LlmApi,
            user_id: principal.user_id,
            team_id: principal.team_id,
            models,
            aliases: ModelAliases::default(),
            budget: Budget::default(),
            rates: Rates::NONE,
            budget_id: None,
            tiers_seen: 0,
            limits: None,
            allowed_routes: Box::default(),
            tags: Box::default(),
            blocked: false,
            block_reason: None,
            expires_at: None,
            former_secrets: Box::default(),
        }
    }

    /// The key's id, if it is a key.
    #[must_use]
    pub const fn id(&self) -> Option<KeyId> {
        match self.holder {
            Holder::Key { id, .. } => Some(id),
            Holder::Token { .. } => None,
        }
    }

    /// The hash of the key's secret, if it is a key.
    #[must_use]
    pub const fn hash(&self) -> Option<KeyHash> {
        match self.holder {
            Holder::Key { hash, .. } => Some(hash),
            Holder::Token { .. } => None,
        }
    }

    /// Who pays for its calls.
    #[must_use]
    pub fn payer(&self) -> Payer {
        match &self.holder {
            Holder::Key { id, .. } => Payer::Key(*id),
            Holder::Token { organization_id } => Payer::Principal(Principal {
                user_id: self.user_id.clone(),
                team_id: self.team_id.clone(),
                organization_id: organization_id.clone(),
            }),
        }
    }

    /// Whether a secret with this hash is the key's now.
    #[must_use]
    pub fn accepts(&self, hash: &KeyHash, now: Timestamp) -> bool {
        self.hash().is_some_and(|current| rotation::accepts(&current, &self.former_secrets, hash, now))
    }
}
