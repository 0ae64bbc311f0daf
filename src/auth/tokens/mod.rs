//! Tokens that others give out. Those of identity providers are verified once,
//! then remembered by their hash for as long as they are good and their issuer's
//! keys are the same; any others the installation's own service vouches for, and
//! is believed for as long as it says.

mod aliases;
mod fetch;
mod holder;
mod key_set;
mod keys;

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use jsonwebtoken::{Header, Validation};
use quick_cache::sync::Cache;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use self::fetch::Fetcher;
pub use self::holder::TokenHolder;
use self::keys::IssuerKeys;
use super::authn::CREDENTIAL_MAX_BYTES;
use crate::callout::{CustomAuth, Vouched};
use crate::domain::clock::Timestamp;
use crate::domain::ids::TeamId;
use crate::domain::reason::Reason;
use crate::domain::token::{self, Aliases, CUSTOM_AUTH, Claims, Issuer, Realm, Stated, TokenFault};
use crate::error::Error;
use crate::gate::Gate;
use crate::store::Eviction;

/// For how many seconds what has an alias is believed to have it: aliases change
/// hands.
const NAMED_SECONDS: i64 = 60;

/// How many verified tokens are remembered.
const REMEMBERED: usize = 20_000;

/// Somebody whose token is seen for the first time.
#[derive(Clone, Debug)]
pub struct Newcomer {
    /// Who says who it is, and what becomes of it.
    pub realm: Arc<Realm>,
    /// Who it is.
    pub stated: Arc<Stated>,
}

/// Makes the user of a token, or changes it, where its issuer's settings say so.
pub trait Welcome: Send + Sync {
    /// Welcomes somebody; often there is nothing to do.
    ///
    /// # Errors
    /// [`Error`] if it can't be made or changed.
    fn welcome(&self, newcomer: Newcomer, now: Timestamp) -> BoxFuture<'_, Result<(), Error>>;
}

/// Knows the issuers, and their tokens.
pub struct Tokens {
    gate: Arc<Gate>,
    issuers: Vec<Arc<IssuerKeys>>,
    custom: Option<(CustomAuth, Arc<Realm>)>,
    verified: Cache<[u8; 32], Arc<Verified>>,
}

/// A token that was verified.
struct Verified {
    realm: Arc<Realm>,
    proof: Proof,
    ends_at: Timestamp,
    /// Until when what it names by aliases is believed to be what has them.
    named_until: Option<Timestamp>,
    stated: Arc<Stated>,
}

/// Why a token is believed.
enum Proof {
    /// It is signed by one of these keys, as they were then.
    Signed { keys: Arc<IssuerKeys>, generation: u64 },
    /// Somebody vouches for it.
    Vouched,
}

impl Tokens {
    /// Knows these issuers, and whom a service vouches for.
    ///
    /// # Errors
    /// `INTERNAL` if the machine's certificates can't be read.
    pub fn new(gate: Arc<Gate>, issuers: Vec<Issuer>, custom: Option<CustomAuth>) -> Result<Self, Error> {
        let keys = |issuer| Ok(Arc::new(IssuerKeys::new(issuer, Fetcher::new()?)));
        let issuers = issuers.into_iter().map(keys).collect::<Result<_, Error>>()?;
        let custom = custom.map(|custom| (custom, Arc::new(Realm::of_known(CUSTOM_AUTH))));
        Ok(Self { gate, issuers, custom, verified: Cache::new(REMEMBERED) })
    }

    /// Whether a text may be a token at all: it is not too long, and has the three
    /// parts of a JWT, or there is a service to ask about any other.
    pub fn may_be_one(&self, text: &str) -> bool {
        text.len() <= CREDENTIAL_MAX_BYTES && (is_jwt(text) || self.custom.is_some())
    }

    /// Who a token stands for, when it calls a model or none. `wanted`: the team
    /// that was asked for.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if it is not good, `PERMISSION_DENIED` if its holder may
    /// not come in, `UNAVAILABLE` if that can't be found out.
    pub async fn holder(
        &self,
        token: &str,
        wanted: Option<&TeamId>,
        model: Option<&str>,
        (host, now): (&dyn Welcome, Timestamp),
    ) -> Result<TokenHolder, Error> {
        let hash: [u8; 32] = Sha256::digest(token).into();
        let known = self.verified.get(&hash).filter(|known| known.is_proven(now));
        if let Some(known) = known
            && self.is_there(&known).await?
        {
            return if now < known.ends_at {
                self.resolve(&known, wanted, model, now).await
            } else {
                Err(refused(TokenFault::Expired))
            };
        }
        // Boxed, because it seldom happens and would make every call large.
        let verified = Arc::new(Box::pin(self.verify(token, now)).await?);
        if verified.realm.changes_users() || !self.is_there(&verified).await? {
            let newcomer = Newcomer { realm: Arc::clone(&verified.realm), stated: Arc::clone(&verified.stated) };
            host.welcome(newcomer, now).await?;
            // Another instance may have made them just now.
            let user = verified.stated.user_id.iter().cloned().map(Eviction::User);
            let teams = verified.stated.teams.all().filter(|_| verified.realm.creates_teams);
            let teams = teams.cloned().map(Eviction::Team);
            let organization = verified.realm.organization_to_make(&verified.stated);
            let organization = organization.cloned().map(Eviction::Organization);
            self.gate.directory().evict(&user.chain(teams).chain(organization).collect::<Vec<_>>());
        }
        self.verified.insert(hash, Arc::clone(&verified));
        self.resolve(&verified, wanted, model, now).await
    }

    /// Whether there is nobody, no team and no organization to be made.
    async fn is_there(&self, token: &Verified) -> Result<bool, Error> {
        let directory = self.gate.directory();
        if let Some(id) = &token.stated.user_id
            && directory.user(id).await?.is_none()
        {
            return Ok(false);
        }
        for id in token.realm.teams_to_make(&token.stated) {
            if directory.team(id).await?.is_none() {
                return Ok(false);
            }
        }
        match token.realm.organization_to_make(&token.stated) {
            Some(id) => Ok(directory.organization(id).await?.is_some()),
            None => Ok(true),
        }
    }

    async fn verify(&self, token: &str, now: Timestamp) -> Result<Verified, Error> {
        match &self.custom {
            Some((custom, realm)) if !is_jwt(token) => vouched(custom, realm, token, now).await,
            _ => self.signed(token, now).await,
        }
    }

    async fn signed(&self, token: &str, now: Timestamp) -> Result<Verified, Error> {
        let header = jsonwebtoken::decode_header(token).map_err(|_| refused(NO_TOKEN))?;
        let claimed: Map<String, Value> =
            jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(|_| refused(NO_TOKEN))?;
        let name = claimed.get("iss").and_then(Value::as_str);
        let keys = self.issuers.iter().find(|keys| name == Some(&keys.issuer.realm.name)).ok_or_else(issuer_unknown)?;
        let issuer = Arc::clone(&keys.issuer);
        if !issuer.algorithms.contains(&header.alg) || header.crit.is_some() {
            return Err(refused(BAD_ALGORITHM));
        }
        let set = keys.with_key(&header, now).await?;
        let key = set.find(&header).ok_or_else(|| refused(NO_KEY))?;
        let verified = jsonwebtoken::decode::<Map<String, Value>>(token, key, &signature_only(&header));
        let claims = Claims(verified.map_err(|_| refused(BAD_SIGNATURE))?.claims);
        let ends_at = token::check(&claims, &issuer, now).map_err(refused)?;
        let mut stated = Stated::read(&claims, &issuer).map_err(refused)?;
        let named_until = (stated.aliases != Aliases::default()).then(|| now.plus_seconds(NAMED_SECONDS));
        aliases::find(self.gate.directory(), &mut stated).await?;
        let proof = Proof::Signed { keys: Arc::clone(keys), generation: set.generation };
        Ok(Verified { realm: Arc::clone(&issuer.realm), proof, ends_at, named_until, stated: Arc::new(stated) })
    }
}

async fn vouched(custom: &CustomAuth, realm: &Arc<Realm>, credential: &str, now: Timestamp) -> Result<Verified, Error> {
    let Vouched { stated, seconds } = custom.vouch(credential, now).await?;
    let ends_at = now.plus_seconds(seconds);
    let proof = Proof::Vouched;
    Ok(Verified { realm: Arc::clone(realm), proof, ends_at, named_until: None, stated: Arc::new(stated) })
}

impl Verified {
    /// Whether what was found out once still counts: the keys are those of its
    /// issuer, or the time is not over for which somebody vouched.
    fn is_proven(&self, now: Timestamp) -> bool {
        if self.named_until.is_some_and(|until| until <= now) {
            return false;
        }
        match &self.proof {
            Proof::Signed { keys, generation } => keys.usable(now).is_some_and(|keys| keys.generation == *generation),
            Proof::Vouched => now < self.ends_at,
        }
    }
}

/// Whether a text has the three parts of a JWT.
fn is_jwt(text: &str) -> bool {
    text.split('.').count() == 3
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("realm", &self.realm.name)
            .field("stated", &self.stated)
            .finish_non_exhaustive()
    }
}

const NO_TOKEN: TokenFault = TokenFault::Invalid("the credential is no JWT");
const BAD_ALGORITHM: TokenFault = TokenFault::Invalid("the token is signed by an algorithm that is not accepted");
const NO_KEY: TokenFault = TokenFault::Invalid("the token names no key of its issuer that fits");
const BAD_SIGNATURE: TokenFault = TokenFault::Invalid("the signature of the token is wrong");

/// Checks the signature: the claims are compared with the clock that everything
/// else is compared with.
fn signature_only(header: &Header) -> Validation {
    let mut validation = Validation::new(header.alg);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation
}

/// The refusal of a token that was good when it was shown.
pub(super) fn ended() -> Error {
    refused(TokenFault::Expired)
}

fn issuer_unknown() -> Error {
    let message = "the token's issuer is none whose tokens are accepted";
    Error::Unauthenticated { reason: Reason::IssuerUnknown, message, metadata: Vec::new() }
}

fn refused(fault: TokenFault) -> Error {
    let (reason, message) = match fault {
        TokenFault::Invalid(message) => (Reason::TokenInvalid, message),
        TokenFault::Expired => (Reason::TokenExpired, "the token has expired: get a new one"),
        TokenFault::Audience => (Reason::AudienceMismatch, "the token was made for another audience"),
        TokenFault::Refused(refusal) => return refusal.into(),
    };
    Error::Unauthenticated { reason, message, metadata: Vec::new() }
}
