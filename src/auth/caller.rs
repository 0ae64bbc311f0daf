//! Callers: who sent a request.

use std::sync::Arc;

use super::tokens::TokenHolder;
use crate::domain::fault::Refusal;
use crate::domain::identity::{Identity, KeyFacts, UserFacts};
use crate::domain::ids::{KeyId, TeamId, UserId};
use crate::domain::key::KeyType;
use crate::domain::reason::Reason;
use crate::domain::role::Role;
use crate::domain::secret::KeyHash;
use crate::domain::ticket;

/// What a caller showed.
#[derive(Clone, Debug)]
pub enum Credential {
    /// The master key.
    Master,
    /// A virtual key.
    Key(Box<Identity>),
    /// A session of a user.
    Session(Arc<UserFacts>),
    /// A token of an identity provider.
    Token(Box<TokenHolder>),
    /// The certificate of a gateway, which has this name.
    Gateway(Arc<str>),
    /// Nothing, and nothing is needed.
    Nothing,
}

/// Who sent a request.
#[derive(Clone, Debug)]
pub struct Caller {
    /// What it showed.
    pub credential: Credential,
    /// The hash of the secret of its key, which may be a former one.
    pub shown: Option<KeyHash>,
    /// The user on whose behalf an admin says to act.
    pub on_behalf_of: Option<String>,
    /// The team for which a token is used: the caller's own, or that of a client
    /// on whose behalf it asks.
    pub wanted_team: Option<TeamId>,
}

impl Caller {
    /// Nobody in particular.
    pub const fn nobody() -> Self {
        Self { credential: Credential::Nothing, shown: None, on_behalf_of: None, wanted_team: None }
    }

    /// The key it used, unless that is the master key.
    pub fn key(&self) -> Option<&Arc<KeyFacts>> {
        self.identity().map(|identity| &identity.key)
    }

    /// Whether it used a secret that its key has no more, and that is good for a
    /// while.
    pub fn shows_former_secret(&self) -> bool {
        self.key().zip(self.shown).is_some_and(|(key, shown)| key.hash() != Some(shown))
    }

    /// Who its key is, unless that is the master key.
    pub const fn identity(&self) -> Option<&Identity> {
        match &self.credential {
            Credential::Key(identity) => Some(identity),
            _ => None,
        }
    }

    /// The token that it showed, if that is of an identity provider.
    pub const fn token(&self) -> Option<&TokenHolder> {
        match &self.credential {
            Credential::Token(holder) => Some(holder),
            _ => None,
        }
    }

    /// Its user, if it has one.
    pub fn user(&self) -> Option<&Arc<UserFacts>> {
        match &self.credential {
            Credential::Key(identity) => identity.user.as_ref(),
            Credential::Session(user) => Some(user),
            Credential::Token(holder) => holder.user(),
            Credential::Master | Credential::Gateway(_) | Credential::Nothing => None,
        }
    }

    /// Its user's id, if it has one.
    pub fn user_id(&self) -> Option<&UserId> {
        self.user().map(|user| &user.user_id)
    }

    /// The team of a key or token without a user: it acts for its team.
    pub fn team_of_its_own(&self) -> Option<&TeamId> {
        match &self.credential {
            Credential::Token(holder) => holder.team_of_its_own(),
            _ => self.key().filter(|key| key.user_id.is_none()).and_then(|key| key.team_id.as_ref()),
        }
    }

    /// Whether it may do everything.
    pub fn is_proxy_admin(&self) -> bool {
        match &self.credential {
            Credential::Master => true,
            Credential::Token(holder) if holder.is_admin() => true,
            _ => !self.only_calls_models() && self.user().is_some_and(|user| user.role == Role::ProxyAdmin),
        }
    }

    /// Whether it has a key that calls models, and has no other rights.
    pub fn only_calls_models(&self) -> bool {
        self.key().is_some_and(|key| key.key_type == KeyType::LlmApi)
    }

    /// Whether it is a sidecar's credential.
    pub fn is_gateway(&self) -> bool {
        let has_certificate = matches!(self.credential, Credential::Gateway(_));
        has_certificate || self.key().is_some_and(|key| key.key_type == KeyType::Gateway)
    }

    /// Whether its requests are limited in number: not those of gateways, which
    /// ask and report for others, nor those of the master key.
    pub fn is_limited(&self) -> bool {
        !self.is_gateway() && !matches!(self.credential, Credential::Master)
    }

    /// Whether this is its user.
    pub fn is_user(&self, id: &UserId) -> bool {
        self.user_id() == Some(id)
    }

    /// Its name in the audit log, and in usage events.
    pub fn name(&self) -> String {
        match (&self.credential, self.user_id()) {
            (Credential::Master, _) => "master".to_owned(),
            (_, Some(user)) => user.to_string(),
            (Credential::Token(holder), None) => holder.name(),
            (Credential::Gateway(name), None) => format!("gateway:{name}"),
            (Credential::Key(_) | Credential::Session(_) | Credential::Nothing, None) => {
                self.key_id().map_or_else(|| "anonymous".to_owned(), |id| format!("key:{id}"))
            }
        }
    }

    /// The id of its key.
    pub fn key_id(&self) -> Option<KeyId> {
        self.key().and_then(|key| key.id())
    }

    /// Its name inside tickets.
    pub fn ticket_tag(&self) -> u64 {
        match &self.credential {
            Credential::Token(holder) => holder.ticket_tag(),
            Credential::Gateway(name) => ticket::gateway_tag(name),
            _ => ticket::caller_tag(self.key_id()),
        }
    }

    /// The refusal of an RPC, or of a part of it, for want of a role. Says which
    /// roles `needed` names would have been let through.
    pub fn role_refused(&self, rpc: &str, needed: &str, message: impl Into<String>) -> Refusal {
        let role = self.user().map_or("none", |user| user.role.into());
        Refusal::denied(Reason::RoleNotAllowed, message).with("rpc", rpc).with("role", role).with("needed", needed)
    }
}
