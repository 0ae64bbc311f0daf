//! Key sets: the public keys of an issuer, as they were read.

use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Header};
use serde::Deserialize;
use serde_json::Value;

use crate::domain::clock::Timestamp;

/// For how long keys are used without being read again.
const FRESH_SECONDS: i64 = 600;
/// For how long they are used if they can't be read again.
const USABLE_SECONDS: i64 = 3_600;

/// A JSON Web Key Set (RFC 7517, 5). Keys of unknown kinds are left out, as
/// that says.
#[derive(Deserialize)]
pub(super) struct Document {
    keys: Vec<Value>,
}

/// A key that verifies.
struct PublicKey {
    id: Option<String>,
    /// The only signature it is for, if it says so.
    algorithm: Option<Algorithm>,
    key: DecodingKey,
}

/// The keys of an issuer.
pub(super) struct KeySet {
    keys: Vec<PublicKey>,
    document: Vec<Value>,
    read_at: Timestamp,
    /// Counts the times that the keys were others than before.
    pub(super) generation: u64,
}

impl KeySet {
    /// The keys of a document that was read now, after those that were known.
    pub(super) fn read(document: Document, before: Option<&Self>, now: Timestamp) -> Self {
        let keys = document.keys.iter().filter_map(public_key).collect();
        let generation = match before {
            Some(before) if before.document == document.keys => before.generation,
            Some(before) => before.generation + 1,
            None => 0,
        };
        Self { keys, document: document.keys, read_at: now, generation }
    }

    /// Whether there is no reason yet to read them again.
    pub(super) fn is_fresh(&self, now: Timestamp) -> bool {
        self.is_younger(FRESH_SECONDS, now)
    }

    /// Whether they may be used, in want of newer ones.
    pub(super) fn is_usable(&self, now: Timestamp) -> bool {
        self.is_younger(USABLE_SECONDS, now)
    }

    fn is_younger(&self, seconds: i64, now: Timestamp) -> bool {
        now.micros_since(self.read_at) < seconds * 1_000_000
    }

    /// The key that a token names; the only one, if it names none.
    pub(super) fn find(&self, header: &Header) -> Option<&DecodingKey> {
        let found = match (&header.kid, self.keys.as_slice()) {
            (Some(id), keys) => keys.iter().find(|key| key.id.as_ref() == Some(id)),
            (None, [only]) => Some(only),
            (None, _) => None,
        };
        let fits = |key: &&PublicKey| {
            key.key.family() == header.alg.family() && key.algorithm.is_none_or(|algorithm| algorithm == header.alg)
        };
        found.filter(fits).map(|found| &found.key)
    }
}

fn public_key(value: &Value) -> Option<PublicKey> {
    let key = Jwk::deserialize(value).ok()?;
    if key.common.public_key_use.as_ref().is_some_and(|of| *of != PublicKeyUse::Signature) {
        return None;
    }
    let algorithm = match &key.common.key_algorithm {
        Some(algorithm) => Some(algorithm.to_string().parse().ok()?),
        None => None,
    };
    let decoding = DecodingKey::from_jwk(&key).ok()?;
    Some(PublicKey { id: key.common.key_id, algorithm, key: decoding })
}
