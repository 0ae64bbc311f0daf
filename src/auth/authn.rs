//! Authentication: from a bearer to a caller.

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName};

use super::caller::{Caller, Credential};
use super::peer::Peer;
use super::policy::rule_of;
use super::sessions::{self, Sessions};
use super::tokens::{self, TokenHolder, Tokens, Welcome};
use crate::domain::clock::Timestamp;
use crate::domain::fault::{Refusal, Violation};
use crate::domain::identity::{Identity, UserFacts};
use crate::domain::ids::{TeamId, check_id};
use crate::domain::key::is_expired;
use crate::domain::reason::Reason;
use crate::domain::secret::{KeyHash, SECRET_PREFIX};
use crate::error::Error;
use crate::gate::{Directory, Gate};

/// Names the user on whose behalf an admin acts.
const CHANGED_BY: &str = "bursar-changed-by";

/// Names the team for which a token is used.
const TEAM: &str = "bursar-team-id";

/// The longest credential that is looked at.
pub(super) const CREDENTIAL_MAX_BYTES: usize = 16 * 1024;

/// The hashes of the master keys that are accepted.
#[derive(Clone, Debug)]
pub struct MasterKeys(pub Vec<KeyHash>);

impl MasterKeys {
    /// Whether a hash is that of a master key; every one is compared.
    pub fn accepts(&self, hash: &KeyHash) -> bool {
        self.0.iter().fold(false, |found, master| found | master.equals_in_constant_time(hash))
    }
}

/// Knows the credentials.
pub struct Authenticator {
    gate: Arc<Gate>,
    masters: MasterKeys,
    sessions: Arc<Sessions>,
    tokens: Arc<Tokens>,
    host: Box<dyn Welcome>,
    /// Where credentials stand, if not only in `authorization`.
    name: Option<HeaderName>,
}

impl Authenticator {
    /// Knows the master keys, the sessions and the tokens of identity providers,
    /// whose users the host welcomes; asks the gate about all keys. Credentials
    /// stand in the metadata of this name, if one is given; else, and without it,
    /// in `authorization`.
    pub fn new(
        gate: Arc<Gate>,
        masters: MasterKeys,
        sessions: Arc<Sessions>,
        tokens: Arc<Tokens>,
        host: Box<dyn Welcome>,
        name: Option<HeaderName>,
    ) -> Self {
        Self { gate, masters, sessions, tokens, host, name }
    }

    /// Finds out who sent a request: by its credential, without one by the
    /// certificate of its connection.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` without a good credential, `PERMISSION_DENIED` for one
    /// that is blocked, `UNAVAILABLE` if it can't be looked up.
    pub async fn caller(&self, headers: &HeaderMap, peer: Option<&Peer>, now: Timestamp) -> Result<Caller, Error> {
        let wanted_team = wanted_team(headers)?;
        let gateway = peer.and_then(|peer| peer.gateway.as_ref()).filter(|_| !self.has_credential(headers));
        if let Some(name) = gateway {
            let credential = Credential::Gateway(Arc::clone(name));
            return Ok(Caller { credential, shown: None, on_behalf_of: None, wanted_team });
        }
        let (credential, shown) = match bearer(headers, self.name.as_ref())? {
            Bearer::Secret(secret) => {
                let hash = KeyHash::of(secret);
                (self.secret(&hash, now).await?, Some(hash))
            }
            Bearer::Token(token) if Sessions::issued(token) => (Box::pin(self.session(token, now)).await?, None),
            Bearer::Token(token) if self.tokens.may_be_one(token) => {
                (self.token(token, wanted_team.as_ref(), now).await?, None)
            }
            Bearer::Token(_) => return Err(malformed()),
        };
        let mut caller = Caller { credential, shown, on_behalf_of: None, wanted_team };
        caller.on_behalf_of = on_behalf_of(headers, &caller)?;
        Ok(caller)
    }

    fn has_credential(&self, headers: &HeaderMap) -> bool {
        headers.contains_key(AUTHORIZATION) || self.name.as_ref().is_some_and(|name| headers.contains_key(name))
    }

    async fn secret(&self, hash: &KeyHash, now: Timestamp) -> Result<Credential, Error> {
        if self.masters.accepts(hash) {
            return Ok(Credential::Master);
        }
        Ok(Credential::Key(Box::new(self.key(hash, now).await?)))
    }

    async fn session(&self, token: &str, now: Timestamp) -> Result<Credential, Error> {
        let session = self.sessions.verify(token, now).await?;
        let user = self.gate.directory().user(&session.user_id).await?;
        let user = user.filter(|user| user.session_epoch == session.epoch).ok_or_else(sessions::ended)?;
        check_user(&user)?;
        Ok(Credential::Session(user))
    }

    async fn token(&self, token: &str, wanted: Option<&TeamId>, now: Timestamp) -> Result<Credential, Error> {
        let holder = self.tokens.holder(token, wanted, None, (&*self.host, now)).await?;
        check_holder(&holder)?;
        Ok(Credential::Token(Box::new(holder)))
    }

    async fn key(&self, hash: &KeyHash, now: Timestamp) -> Result<Identity, Error> {
        let directory = self.gate.directory();
        let found = match directory.known(hash, now) {
            Some(identity) => Some(identity),
            // Boxed, because it seldom happens and would make every call large.
            None => Box::pin(directory.find(hash, now)).await?,
        };
        let identity = found.ok_or_else(key_unknown)?;
        check_state(&identity, now)?;
        Ok(identity)
    }
}

/// Whether somebody who was admitted to an RPC would be admitted again: for
/// whoever stays long.
///
/// # Errors
/// As for admitting it.
pub async fn recheck(caller: &Caller, rpc: &str, directory: &Directory, now: Timestamp) -> Result<(), Error> {
    let credential = match &caller.credential {
        Credential::Master | Credential::Gateway(_) | Credential::Nothing => return Ok(()),
        Credential::Key(known) => {
            // By the secret that it used: that one may have ended.
            let hash = caller.shown.or_else(|| known.key.hash()).ok_or_else(key_unknown)?;
            let identity = directory.find(&hash, now).await?.ok_or_else(key_unknown)?;
            check_state(&identity, now)?;
            Credential::Key(Box::new(identity))
        }
        Credential::Session(known) => {
            let user = directory.user(&known.user_id).await?;
            let user = user.filter(|user| user.session_epoch == known.session_epoch && !user.blocked);
            Credential::Session(user.ok_or_else(sessions::ended)?)
        }
        Credential::Token(holder) => {
            if holder.ends_at() <= now {
                return Err(tokens::ended());
            }
            let mut holder = holder.clone();
            if let Some(known) = holder.user() {
                let user = directory.user(&known.user_id).await?.ok_or_else(tokens::ended)?;
                holder.become_user(user);
            }
            if let Some(id) = holder.team_of_its_own() {
                let team = directory.team(id).await?.ok_or_else(tokens::ended)?;
                holder.become_team(team);
            }
            check_holder(&holder)?;
            Credential::Token(holder)
        }
    };
    let caller = Caller { credential, ..caller.clone() };
    rule_of(rpc).map_or(Ok(()), |rule| rule.admit(&caller).map(drop).map_err(Into::into))
}

/// Who signs in is not blocked.
fn check_user(user: &UserFacts) -> Result<(), Refusal> {
    if user.blocked { Err(Refusal::denied(Reason::UserDeactivated, "the user is blocked")) } else { Ok(()) }
}

/// Who shows a token is not blocked: its user, or the team that it is itself.
fn check_holder(holder: &TokenHolder) -> Result<(), Refusal> {
    if let Some(user) = holder.user() {
        return check_user(user);
    }
    let team = holder.identity.as_ref().and_then(|identity| identity.team.as_ref());
    if team.is_some_and(|team| team.blocked) {
        return Err(Refusal::denied(Reason::TeamBlocked, "the team of the credential is blocked"));
    }
    Ok(())
}

fn key_unknown() -> Error {
    Error::Unauthenticated { reason: Reason::KeyUnknown, message: "no live key has this secret", metadata: Vec::new() }
}

/// A key may be a credential only while it, its owner and its team are in
/// order. Budgets never stop a management call.
fn check_state(identity: &Identity, now: Timestamp) -> Result<(), Error> {
    if identity.key.blocked {
        let why = identity.key.block_reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        return Err(Refusal::denied(Reason::KeyBlocked, format!("the credential is blocked{why}")).into());
    }
    if let Some(expiry) = identity.key.expires_at.filter(|_| is_expired(identity.key.expires_at, now)) {
        return Err(Error::Unauthenticated {
            reason: Reason::KeyExpired,
            message: "the credential has expired",
            metadata: vec![("expired_at", expiry.to_string())],
        });
    }
    if identity.user.as_ref().is_some_and(|user| user.blocked) {
        return Err(Refusal::denied(Reason::UserDeactivated, "the owner of the credential is blocked").into());
    }
    if identity.team_is_gone() {
        return Err(key_unknown());
    }
    if identity.team.as_ref().is_some_and(|team| team.blocked) {
        return Err(Refusal::denied(Reason::TeamBlocked, "the team of the credential is blocked").into());
    }
    // A personal key stays a credential: its owner may have to unblock.
    let in_team = identity.key.team_id.is_some();
    if in_team && identity.affiliation.as_ref().is_some_and(|affiliation| affiliation.organization.blocked) {
        let message = "the organization of the credential is blocked";
        return Err(Refusal::denied(Reason::OrganizationBlocked, message).into());
    }
    Ok(())
}

/// What a credential looks like.
enum Bearer<'a> {
    /// A key.
    Secret(&'a str),
    /// Anything else: a session, or what somebody else gave out.
    Token(&'a str),
}

/// What stands in `authorization: Bearer …`; or in metadata of a name of its own,
/// which is looked at first, and where the scheme may be left out.
fn bearer<'a>(headers: &'a HeaderMap, own: Option<&HeaderName>) -> Result<Bearer<'a>, Error> {
    let own = own.filter(|name| headers.contains_key(*name));
    let mut values = headers.get_all(own.unwrap_or(&AUTHORIZATION)).iter();
    let Some(value) = values.next() else {
        let message = "no credential: send metadata \"authorization: Bearer <key, session or JWT>\"";
        return Err(Error::Unauthenticated { reason: Reason::CredentialMissing, message, metadata: Vec::new() });
    };
    if values.next().is_some() || value.len() > CREDENTIAL_MAX_BYTES {
        return Err(malformed());
    }
    let text = value.to_str().map_err(|_| malformed())?;
    let bare = own.map(|_| ("bearer", text));
    let (scheme, secret) = text.split_once(' ').or(bare).ok_or_else(malformed)?;
    let secret = secret.trim();
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(malformed());
    }
    match secret {
        "" => Err(malformed()),
        secret if secret.starts_with(SECRET_PREFIX) => Ok(Bearer::Secret(secret)),
        token => Ok(Bearer::Token(token)),
    }
}

fn malformed() -> Error {
    let message = "the credential must be one \"Bearer sk-…\", a session or a JWT";
    Error::Unauthenticated { reason: Reason::CredentialMalformed, message, metadata: Vec::new() }
}

/// The team for which a token is used, if it is in several.
fn wanted_team(headers: &HeaderMap) -> Result<Option<TeamId>, Error> {
    let Some(value) = headers.get(TEAM) else { return Ok(None) };
    let parsed = value.to_str().ok().and_then(|text| TeamId::parse(text).ok());
    parsed.map(Some).ok_or_else(|| Error::invalid(Violation::new(TEAM, "must be the id of a team")))
}

fn on_behalf_of(headers: &HeaderMap, caller: &Caller) -> Result<Option<String>, Error> {
    let Some(value) = headers.get(CHANGED_BY) else { return Ok(None) };
    if !caller.is_proxy_admin() {
        let message = "only proxy admins may send bursar-changed-by";
        return Err(Refusal::denied(Reason::OnBehalfOfNotAllowed, message).into());
    }
    match value.to_str().map(|text| (text, check_id(text))) {
        Ok((text, Ok(()))) => Ok(Some(text.to_owned())),
        Ok((_, Err(error))) => Err(Error::invalid(Violation::new(CHANGED_BY, error))),
        Err(_) => Err(Error::invalid(Violation::new(CHANGED_BY, "must be ASCII"))),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn headers(values: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            if let Ok(value) = HeaderValue::from_bytes(value) {
                headers.append(AUTHORIZATION, value);
            }
        }
        headers
    }

    fn shape(values: &[&[u8]]) -> Option<char> {
        match bearer(&headers(values), None) {
            Ok(Bearer::Secret(_)) => Some('s'),
            Ok(Bearer::Token(_)) => Some('t'),
            Err(_) => None,
        }
    }

    #[test]
    fn one_bearer_that_looks_like_a_credential() {
        let long = format!("Bearer sk-{}", "x".repeat(CREDENTIAL_MAX_BYTES));
        let cases: [(&[&[u8]], Option<char>); 11] = [
            (&[b"Bearer sk-a"], Some('s')),
            (&[b"bEARER  sk-a "], Some('s')),
            (&[b"Bearer a.b.c"], Some('t')),
            (&[b"Bearer a.b"], Some('t')),
            (&[b"Bearer  "], None),
            (&[b"Basic sk-a"], None),
            (&[b"sk-a"], None),
            (&[b"Bearer sk-a", b"Bearer sk-a"], None),
            (&[b"Bearer \xff"], None),
            (&[long.as_bytes()], None),
            (&[], None),
        ];
        for (values, expected) in cases {
            assert_eq!(shape(values), expected, "{values:?}");
        }
    }

    #[test]
    fn metadata_of_its_own_name_wins_with_or_without_a_scheme() {
        let own = HeaderName::from_static("x-key");
        for (value, secret) in [
            (Some("sk-own"), Some("sk-own")),
            (Some("Bearer sk-own"), Some("sk-own")),
            (Some("Basic sk-own"), None),
            (Some(""), None),
            (None, Some("sk-a")),
        ] {
            let mut headers = headers(&[b"Bearer sk-a"]);
            if let Some(value) = value {
                headers.insert(own.clone(), HeaderValue::from_static(value));
            }
            match bearer(&headers, Some(&own)) {
                Ok(Bearer::Secret(found)) => assert_eq!(Some(found), secret, "{value:?}"),
                Ok(Bearer::Token(token)) => panic!("{token} is a secret"),
                Err(_) => assert_eq!(None, secret, "{value:?}"),
            }
            assert!(matches!(bearer(&headers, None), Ok(Bearer::Secret("sk-a"))), "without the setting");
        }
    }

    proptest! {
        #[test]
        fn whatever_stands_there_is_split_or_refused(value in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = bearer(&headers(&[&value]), None);
        }

        #[test]
        fn a_credential_is_what_follows_the_scheme(text in "[!-~]{0,40}") {
            let value = format!("Bearer {text}");
            let headers = headers(&[value.as_bytes()]);
            match bearer(&headers, None) {
                Ok(Bearer::Secret(secret)) => prop_assert!(secret == text && text.starts_with(SECRET_PREFIX)),
                Ok(Bearer::Token(token)) => prop_assert!(token == text && !text.starts_with(SECRET_PREFIX)),
                Err(_) => prop_assert!(text.is_empty()),
            }
        }
    }
}
