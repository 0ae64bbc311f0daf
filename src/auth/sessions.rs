//! Sessions: what people get for a password, a JWT that Bursar signs with a key
//! of its own. No row is kept of one: it ends with its expiry, with its signing
//! key, or with the epoch of its user.

use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

use crate::domain::audit::Author;
use crate::domain::clock::Timestamp;
use crate::domain::ids::{UserId, new_uuid};
use crate::domain::reason::Reason;
use crate::domain::token::OWN_ISSUER as ISSUER;
use crate::domain::user::SessionEpoch;
use crate::error::Error;
use crate::store::{SessionKey, Store, StoreError};

/// How long the keys are used before they are looked up again, in seconds: so
/// long may a key that another server removed still verify.
const KEYS_SECONDS: i64 = 1;

/// What a session says.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    /// The epoch of the user in which it began.
    sid: String,
    iat: i64,
    exp: i64,
}

/// Who issued a token.
#[derive(Deserialize)]
struct Issued {
    iss: String,
}

/// A session that was verified; its user is still to be asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// Whose it is.
    pub user_id: UserId,
    /// The epoch in which it began.
    pub epoch: SessionEpoch,
}

/// The keys as they were read.
struct Keys {
    /// Of all keys, the newest first.
    pairs: Vec<(String, EncodingKey, DecodingKey)>,
    read_at: Timestamp,
}

/// Signs and verifies sessions.
pub struct Sessions {
    store: Store,
    ttl_seconds: i64,
    keys: ArcSwap<Keys>,
}

impl Sessions {
    /// Reads the keys; makes the first one.
    ///
    /// # Errors
    /// [`Error`] if the database fails, or there are no random numbers.
    pub async fn start(store: Store, ttl_seconds: i64, now: Timestamp) -> Result<Self, Error> {
        if store.view().session_keys().await?.is_empty() {
            let author = Author::bursar("start");
            let mut tx = store.begin(author, now).await?;
            tx.insert_session_key(&new_key(now)?).await?;
            // Nothing of it is in memory yet.
            let _ = tx.commit().await?;
        }
        let keys = ArcSwap::from_pointee(read(&store, now).await?);
        Ok(Self { store, ttl_seconds, keys })
    }

    /// A session of a user from now on, and when it ends.
    ///
    /// # Errors
    /// [`Error`] if the database fails.
    pub async fn mint(&self, user: &UserId, epoch: SessionEpoch, now: Timestamp) -> Result<(String, Timestamp), Error> {
        let keys = self.current(now).await?;
        let (kid, key, _) = keys.pairs.first().ok_or_else(|| Error::internal("no key signs sessions"))?;
        let issued = now.micros().div_euclid(1_000_000);
        let claims = Claims {
            iss: ISSUER.to_owned(),
            sub: user.to_string(),
            sid: epoch.to_string(),
            iat: issued,
            exp: issued + self.ttl_seconds,
        };
        let header = Header { kid: Some(kid.clone()), ..Header::new(Algorithm::EdDSA) };
        let token = jsonwebtoken::encode(&header, &claims, key).map_err(Error::internal)?;
        Ok((token, Timestamp::from_micros(claims.exp * 1_000_000)))
    }

    /// Whether a token says of itself that it is a session.
    pub fn issued(token: &str) -> bool {
        let claims = jsonwebtoken::dangerous::insecure_decode_claims::<Issued>(token);
        claims.is_ok_and(|claims| claims.iss == ISSUER)
    }

    /// The session that a token is.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if it is none that Bursar signed, or it is over.
    pub async fn verify(&self, token: &str, now: Timestamp) -> Result<Session, Error> {
        let invalid = || refused(Reason::TokenInvalid, "the token is no session of this server");
        let header = jsonwebtoken::decode_header(token).map_err(|_| invalid())?;
        let kid = header.kid.ok_or_else(invalid)?;
        let keys = self.current(now).await?;
        let (_, _, key) = keys.pairs.iter().find(|(known, ..)| *known == kid).ok_or_else(invalid)?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "iss", "sub"]);
        // Compared with the clock that everything else is compared with.
        validation.validate_exp = false;
        validation.validate_aud = false;
        let claims = jsonwebtoken::decode::<Claims>(token, key, &validation).map_err(|_| invalid())?.claims;
        if claims.exp.saturating_mul(1_000_000) <= now.micros() {
            return Err(refused(Reason::TokenExpired, "the session has expired: sign in again"));
        }
        let epoch = claims.sid.parse().map_err(|_| invalid())?;
        Ok(Session { user_id: UserId::stored(claims.sub), epoch })
    }

    /// The keys, not older than a moment.
    async fn current(&self, now: Timestamp) -> Result<Arc<Keys>, Error> {
        let known = self.keys.load_full();
        let age = now.micros_since(known.read_at);
        if (0..KEYS_SECONDS * 1_000_000).contains(&age) {
            return Ok(known);
        }
        let fresh = Arc::new(read(&self.store, now).await?);
        self.keys.store(Arc::clone(&fresh));
        Ok(fresh)
    }
}

/// The refusal of a session that its user ended, by a new password or role.
pub(super) fn ended() -> Error {
    refused(Reason::TokenInvalid, "the session has ended: sign in again")
}

fn refused(reason: Reason, message: &'static str) -> Error {
    Error::Unauthenticated { reason, message, metadata: Vec::new() }
}

async fn read(store: &Store, now: Timestamp) -> Result<Keys, StoreError> {
    let stored = store.view().session_keys().await?;
    let pairs = stored.into_iter().map(|key| {
        let broken = || StoreError::Broken(format!("session key {} is malformed", key.kid));
        let document = STANDARD.decode(&key.secret).map_err(|_| broken())?;
        let pair = Ed25519KeyPair::from_pkcs8(&document).map_err(|_| broken())?;
        let decoding = DecodingKey::from_ed_der(pair.public_key().as_ref());
        Ok((key.kid, EncodingKey::from_ed_der(&document), decoding))
    });
    Ok(Keys { pairs: pairs.collect::<Result<_, StoreError>>()?, read_at: now })
}

/// A new key that signs sessions.
///
/// # Errors
/// `INTERNAL` if the operating system has no random numbers.
pub fn new_key(now: Timestamp) -> Result<SessionKey, Error> {
    let random = aws_lc_rs::rand::SystemRandom::new();
    let document = Ed25519KeyPair::generate_pkcs8(&random).map_err(|_| Error::internal("no key could be made"))?;
    Ok(SessionKey { kid: new_uuid().to_string(), secret: STANDARD.encode(document.as_ref()), created_at: now })
}
