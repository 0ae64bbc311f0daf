//! Passwords: how one looks, and the hash that Bursar keeps of it.

use std::fmt;

use argon2::password_hash::{PasswordHash as Phc, PasswordHasher, PasswordVerifier, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use zeroize::Zeroizing;

const MIN_CHARS: usize = 8;
const MAX_CHARS: usize = 128;

/// The random bytes that go into a hash.
pub const SALT_BYTES: usize = 16;

/// A password as somebody typed it: never stored, never logged.
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

/// Text that can't be a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must have 8-128 characters")]
pub struct ParsePasswordError;

impl Password {
    /// Takes a new password.
    ///
    /// # Errors
    /// [`ParsePasswordError`] if it is too short or too long.
    pub fn chosen(text: &str) -> Result<Self, ParsePasswordError> {
        let fits = (MIN_CHARS..=MAX_CHARS).contains(&text.chars().count());
        if fits { Ok(Self(Zeroizing::new(text.to_owned()))) } else { Err(ParsePasswordError) }
    }

    /// Takes a password that is to be compared; one that nobody can have
    /// chosen is none.
    #[must_use]
    pub fn tried(text: &str) -> Option<Self> {
        Self::chosen(text).ok()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(hidden)")
    }
}

/// The Argon2id hash of a password, as a PHC string. Never shown, never in the
/// audit log.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// The hash of a password; slow by design.
    #[must_use]
    pub fn of(password: &Password, salt: &[u8; SALT_BYTES]) -> Option<Self> {
        let salt = SaltString::encode_b64(salt).ok()?;
        let hash = hasher().hash_password(password.0.as_bytes(), &salt).ok()?;
        Some(Self(hash.to_string()))
    }

    /// Takes a hash that was stored.
    #[must_use]
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    /// The PHC string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the hash of this password; as slow as making it.
    #[must_use]
    pub fn matches(&self, password: &Password) -> bool {
        let parsed = Phc::new(&self.0);
        parsed.is_ok_and(|hash| hasher().verify_password(password.0.as_bytes(), &hash).is_ok())
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(hidden)")
    }
}

/// The parameters that OWASP recommends: 19 MiB, two passes, one lane.
fn hasher() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_has_8_to_128_characters() {
        for (text, fits) in [
            ("", false),
            ("1234567", false),
            ("12345678", true),
            ("пароль12", true),
            (&"x".repeat(128), true),
            (&"x".repeat(129), false),
        ] {
            assert_eq!(Password::chosen(text).is_ok(), fits, "{text}");
        }
    }

    #[test]
    fn a_hash_fits_its_password_only_and_hides_it() {
        let password = Password::chosen("correct horse").expect("a password");
        let hash = PasswordHash::of(&password, &[7; SALT_BYTES]).expect("a hash");
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.as_str());
        assert!(hash.matches(&password));
        assert!(!hash.matches(&Password::chosen("correct house").expect("a password")));
        assert!(!PasswordHash::stored("junk".to_owned()).matches(&password));
        assert_ne!(PasswordHash::of(&password, &[8; SALT_BYTES]), Some(hash.clone()));
        assert!(!format!("{password:?}{hash:?}").contains("horse") && !format!("{hash:?}").contains('$'));
    }
}
