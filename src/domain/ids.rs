//! Names of things: each kind of id is a type of its own.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The most bytes an id may have.
pub const ID_MAX_BYTES: usize = 256;

/// Text that is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1-256 bytes without control characters and without spaces at either end")]
pub struct ParseIdError;

/// Checks the rule for ids that clients choose: 1–256 bytes, no control
/// characters, no space at either end.
///
/// # Errors
/// [`ParseIdError`] if the text breaks the rule.
pub fn check_id(text: &str) -> Result<(), ParseIdError> {
    let fits = !text.is_empty() && text.len() <= ID_MAX_BYTES;
    let clean = !text.chars().any(char::is_control) && text.trim() == text;
    if fits && clean { Ok(()) } else { Err(ParseIdError) }
}

/// A UUID whose order is the order of making, from the operating system's
/// random numbers.
#[must_use]
pub fn new_uuid() -> Uuid {
    #[expect(clippy::disallowed_methods, reason = "the one place that makes ids")]
    Uuid::now_v7()
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes an id that a client chose.
            ///
            /// # Errors
            /// [`ParseIdError`] if it breaks the rule for ids.
            pub fn parse(text: &str) -> Result<Self, ParseIdError> {
                check_id(text).map(|()| Self(text.into()))
            }

            /// Takes an id that was checked when it was stored.
            #[must_use]
            pub fn stored(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// Makes a new id.
            #[must_use]
            pub fn generate() -> Self {
                Self(new_uuid().to_string().into())
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

text_id! {
    /// Names a user.
    UserId
}

impl UserId {
    /// Whether it is, or looks like, a name of somebody in the audit log who is
    /// no user: the master key, Bursar itself, a key without a user.
    #[must_use]
    pub fn is_reserved(&self) -> bool {
        ["master", "bursar", "cli", "anonymous"].contains(&self.as_str()) || self.as_str().starts_with("key:")
    }
}

text_id! {
    /// Names a team.
    TeamId
}

impl TeamId {
    /// The beginning of ids that Bursar keeps for itself.
    pub const RESERVED_PREFIX: &str = "bursar-";
}

text_id! {
    /// Names an organization.
    OrganizationId
}

text_id! {
    /// Names limits that many keys share.
    BudgetId
}

text_id! {
    /// Names an end user on whose behalf calls are made.
    CustomerId
}

/// Names a key for ever, through every change of its secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(pub Uuid);

impl KeyId {
    /// Makes a new id.
    #[must_use]
    pub fn generate() -> Self {
        Self(new_uuid())
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.hyphenated())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_short_clean_text() {
        for text in ["a", "alice@example.com", "team 7", "ключ", &"x".repeat(256)] {
            assert!(UserId::parse(text).is_ok(), "{text:?}");
        }
        for text in ["", " a", "a ", "a\nb", "a\u{0}", &"x".repeat(257)] {
            assert_eq!(UserId::parse(text), Err(ParseIdError), "{text:?}");
        }
    }
}
