//! Secrets: how a key's secret looks, and the hash that Bursar keeps of it.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// What every secret begins with.
pub const SECRET_PREFIX: &str = "sk-";

/// The bytes that make a generated secret.
pub const SECRET_RANDOM_BYTES: usize = 32;

const OWN_SECRET_MIN: usize = 16;
const OWN_SECRET_MAX: usize = 256;

/// The secret of a key: shown once, never stored, never logged.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The secret made of random bytes.
    #[must_use]
    pub fn from_random(bytes: &[u8; SECRET_RANDOM_BYTES]) -> Self {
        Self(Zeroizing::new(format!("{SECRET_PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))))
    }

    /// Takes a secret that somebody chose: `sk-`, 16–256 printable ASCII
    /// characters, no spaces.
    ///
    /// # Errors
    /// [`ParseSecretError`] if it breaks the rule.
    pub fn chosen(text: &str) -> Result<Self, ParseSecretError> {
        let length = (OWN_SECRET_MIN..=OWN_SECRET_MAX).contains(&text.len());
        let graphic = text.bytes().all(|byte| byte.is_ascii_graphic());
        if length && graphic && text.starts_with(SECRET_PREFIX) {
            Ok(Self(Zeroizing::new(text.to_owned())))
        } else {
            Err(ParseSecretError)
        }
    }

    /// The secret itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// What may be shown of it: its last four characters.
    #[must_use]
    pub fn name(&self) -> String {
        Self::shown(&self.0)
    }

    /// What may be shown of any secret.
    #[must_use]
    pub fn shown(text: &str) -> String {
        let tail: String = text.chars().rev().take(4).collect();
        format!("{SECRET_PREFIX}...{}", tail.chars().rev().collect::<String>())
    }

    /// Its hash.
    #[must_use]
    pub fn hash(&self) -> KeyHash {
        KeyHash::of(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({})", self.name())
    }
}

/// Text that can't be the secret of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must begin with \"sk-\" and have 16-256 printable ASCII characters without spaces")]
pub struct ParseSecretError;

/// SHA-256 of a secret: how a key is found. Not a credential.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// The hash of a secret.
    #[must_use]
    pub fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret.as_bytes()).into())
    }

    /// Its bytes.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether two hashes are equal, in a time that does not depend on where
    /// they differ.
    #[must_use]
    pub fn equals_in_constant_time(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// Finds the hash that a request's `key` field means: that of a secret, or
    /// the one that is written out.
    ///
    /// # Errors
    /// [`ParseKeyError`] if the text is neither.
    pub fn of_key_field(text: &str) -> Result<Self, ParseKeyError> {
        if text.starts_with(SECRET_PREFIX) { Ok(Self::of(text)) } else { text.parse() }
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // In one piece: it is shown in every answer to a gateway.
        let mut text = [0; 64];
        hex::encode_to_slice(self.0, &mut text).map_err(|_| fmt::Error)?;
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyHash({self})")
    }
}

/// Text that is neither a secret nor the hash of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a secret that begins with \"sk-\", or its SHA-256 as 64 lower-case hex digits")]
pub struct ParseKeyError;

impl FromStr for KeyHash {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, ParseKeyError> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let mut hash = [0; 32];
        if text.len() != 2 * hash.len() {
            return Err(ParseKeyError);
        }
        for (byte, pair) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let high = digit(pair[0]).ok_or(ParseKeyError)?;
            let low = digit(pair[1]).ok_or(ParseKeyError)?;
            *byte = high << 4 | low;
        }
        Ok(Self(hash))
    }
}

impl From<KeyHash> for String {
    fn from(hash: KeyHash) -> Self {
        hash.to_string()
    }
}

impl TryFrom<String> for KeyHash {
    type Error = ParseKeyError;

    fn try_from(text: String) -> Result<Self, ParseKeyError> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_only_its_tail() {
        let secret = Secret::from_random(&[7; SECRET_RANDOM_BYTES]);
        assert_eq!(secret.reveal().len(), 46);
        assert_eq!(secret.name(), format!("sk-...{}", &secret.reveal()[42..]));
        assert!(!format!("{secret:?}").contains(secret.reveal()));
    }

    #[test]
    fn a_hash_prints_and_parses_as_lower_case_hex() {
        let hash = KeyHash::of("sk-1234567890123456");
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert_eq!(KeyHash::of_key_field("sk-1234567890123456"), Ok(hash));
        assert_eq!(KeyHash::of("abc").to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        for text in ["", "abc", &hash.to_string().to_uppercase(), &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(text.parse::<KeyHash>(), Err(ParseKeyError), "{text:?}");
        }
    }

    #[test]
    fn chosen_secrets_are_long_and_plain() {
        assert!(Secret::chosen("sk-1234567890123").is_ok());
        for text in ["sk-123456789012", "pk-1234567890123456", "sk-123456 90123456", &format!("sk-{}", "x".repeat(254))]
        {
            assert_eq!(Secret::chosen(text).err(), Some(ParseSecretError), "{text:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_key_field_is_a_secret_or_a_hash(text in "(sk-)?[0-9a-fA-F]{60,68}|\\PC{0,70}") {
            let is_hash = text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
            let expected = text.starts_with(SECRET_PREFIX) || is_hash;
            proptest::prop_assert_eq!(KeyHash::of_key_field(&text).is_ok(), expected);
        }
    }
}
