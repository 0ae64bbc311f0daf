//! Keys: what one is, what state it is in, and how its values are bounded.

#![expect(clippy::disallowed_types, reason = "what serde derives for flatten knows floats; no field is one")]

use serde::{Deserialize, Serialize};

use super::audit::Fields;
use super::clock::Timestamp;
use super::ids::{BudgetId, KeyId, TeamId, UserId};
use super::key_limits::KeyLimits;
use super::limit::{Budget, Rates};
use super::models::{ModelAliases, ModelList};
use super::rotation::{FormerSecret, Rotation};
use super::secret::KeyHash;
use strum::{EnumString, IntoStaticStr, VariantArray};

/// A virtual key. Its secret is not here: Bursar keeps only the hash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Key {
    /// Never changes.
    pub key_id: KeyId,
    /// SHA-256 of the secret.
    pub key_hash: KeyHash,
    /// What may be shown of the secret.
    pub key_name: String,
    /// What the key may be used for.
    pub key_type: KeyType,
    /// A label, unique among live keys.
    pub key_alias: Option<String>,
    /// The owner.
    pub user_id: Option<UserId>,
    /// The team.
    pub team_id: Option<TeamId>,
    /// The name of a service account.
    pub service_account_id: Option<String>,
    /// What the key may call.
    pub models: ModelList,
    /// Aliases, before the team's.
    pub model_aliases: ModelAliases,
    /// The money the key may spend.
    #[serde(flatten)]
    pub budget: Budget,
    /// The calls the key may make.
    #[serde(flatten)]
    pub rates: Rates,
    /// The limits that hold where the key has none of its own.
    #[serde(default)]
    pub budget_id: Option<BudgetId>,
    /// What else limits it.
    #[serde(flatten)]
    pub limits: KeyLimits,
    /// The RPCs the key may call, on top of its type. Empty: all.
    pub allowed_routes: Vec<String>,
    /// Added to every usage event.
    pub tags: Vec<String>,
    /// Free data.
    pub metadata: Fields,
    /// A blocked key is refused.
    pub blocked: bool,
    /// Why, if that was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block_reason: Option<String>,
    /// From this instant the key is refused.
    pub expires_at: Option<Timestamp>,
    /// Secrets that were replaced, and are good for a while.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former_secrets: Vec<FormerSecret>,
    /// When it gets another secret.
    #[serde(flatten)]
    pub rotation: Rotation,
    /// When the key was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// When the key was last changed.
    pub updated_at: Timestamp,
    /// Counts the changes.
    pub version: i64,
}

impl Key {
    /// The state of a key that is not deleted.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> KeyState {
        if self.blocked {
            KeyState::Blocked
        } else if is_expired(self.expires_at, now) {
            KeyState::Expired
        } else {
            KeyState::Active
        }
    }
}

/// Whether an expiry has come: the instant itself is expired.
#[must_use]
pub fn is_expired(expires_at: Option<Timestamp>, now: Timestamp) -> bool {
    expires_at.is_some_and(|expiry| expiry <= now)
}

/// What a key may be used for, on top of what its owner may do.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, EnumString, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum KeyType {
    /// Everything.
    #[default]
    Default,
    /// Model calls and reading itself.
    LlmApi,
    /// Everything but model calls.
    Management,
    /// Reading.
    ReadOnly,
    /// Asking and reporting on behalf of other keys.
    Gateway,
}

impl KeyType {
    /// Whether a key of another type may do no more than one of this.
    #[must_use]
    pub const fn includes(self, other: Self) -> bool {
        matches!(
            (self, other),
            (Self::Default, Self::Default | Self::LlmApi | Self::Management | Self::ReadOnly)
                | (Self::Management, Self::Management | Self::ReadOnly)
                | (Self::LlmApi, Self::LlmApi)
                | (Self::ReadOnly, Self::ReadOnly)
                | (Self::Gateway, Self::Gateway)
        )
    }

    /// Whether such a key may be judged for a model call.
    #[must_use]
    pub const fn makes_calls(self) -> bool {
        matches!(self, Self::Default | Self::LlmApi)
    }
}

/// Whether a key may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, VariantArray)]
pub enum KeyState {
    /// It may.
    Active,
    /// It is blocked.
    Blocked,
    /// It has expired.
    Expired,
    /// It is in the archive.
    Deleted,
}

/// The most characters of an alias.
const ALIAS_MAX: usize = 255;

/// Text that is not an alias.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 1-255 letters, digits, \"_-/.@:\" and inner spaces, without \"..\"")]
pub struct ParseAliasError;

/// Checks the rule for a key's alias.
///
/// # Errors
/// [`ParseAliasError`] if the text breaks it.
pub fn check_alias(text: &str) -> Result<(), ParseAliasError> {
    let length = (1..=ALIAS_MAX).contains(&text.chars().count());
    let plain = text.chars().all(|c| c.is_alphanumeric() || "_-/.@: ".contains(c));
    if length && plain && text.trim() == text && !text.contains("..") { Ok(()) } else { Err(ParseAliasError) }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Some key.
    pub(in crate::domain) fn key() -> Key {
        Key {
            key_id: KeyId::generate(),
            key_hash: KeyHash::of("sk-first"),
            key_name: "sk-...irst".into(),
            key_type: KeyType::Default,
            key_alias: None,
            user_id: None,
            team_id: None,
            service_account_id: None,
            models: ModelList::default(),
            model_aliases: ModelAliases::default(),
            budget: Budget::default(),
            rates: Rates::NONE,
            budget_id: None,
            limits: KeyLimits::default(),
            allowed_routes: Vec::new(),
            tags: Vec::new(),
            metadata: Fields::new(),
            blocked: false,
            block_reason: None,
            expires_at: None,
            former_secrets: Vec::new(),
            rotation: Rotation::default(),
            created_at: Timestamp::EPOCH,
            created_by: "master".into(),
            updated_at: Timestamp::EPOCH,
            version: 1,
        }
    }

    #[test]
    fn an_expiry_is_over_at_its_instant() {
        let now = Timestamp::from_micros(10);
        assert!(is_expired(Some(now), now));
        assert!(!is_expired(Some(Timestamp::from_micros(11)), now));
        assert!(!is_expired(None, now));
    }

    #[test]
    fn aliases_are_plain_text() {
        for text in ["a", "prod key 1", "team/ci@x.y:z_1", "ключ"] {
            assert!(check_alias(text).is_ok(), "{text:?}");
        }
        for text in ["", " a", "a ", "a\tb", "../etc", "a;b", "a'b", &"x".repeat(256)] {
            assert!(check_alias(text).is_err(), "{text:?}");
        }
    }
}
