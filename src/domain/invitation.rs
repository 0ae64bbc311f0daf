//! Invitations: how a user without a password gets one.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::clock::Timestamp;
use super::ids::UserId;
use super::user::Email;

/// How long an invitation is good without a length of its own, in seconds.
pub const DEFAULT_SECONDS: i64 = 7 * 86_400;
/// The shortest that one may be good.
pub const MIN_SECONDS: i64 = 3_600;
/// The longest.
pub const MAX_SECONDS: i64 = 30 * 86_400;

/// The random bytes of a token.
pub const TOKEN_BYTES: usize = 32;

/// What the one who is invited shows: known to it alone, once.
#[derive(Clone)]
pub struct InvitationToken(Zeroizing<String>);

impl InvitationToken {
    /// The token made of random bytes.
    #[must_use]
    pub fn from_random(bytes: &[u8; TOKEN_BYTES]) -> Self {
        Self(Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// A token that was kept.
    #[must_use]
    pub fn stored(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The token itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The hash by which an invitation is found: of this token, or of what
    /// somebody shows as one.
    #[must_use]
    pub fn hash_of(text: &str) -> String {
        hex::encode(Sha256::digest(text.as_bytes()))
    }
}

/// An invitation of a user to set a password.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Invitation {
    /// Names it; not a secret.
    pub invitation_id: String,
    /// Who is invited.
    pub user_id: UserId,
    /// When it was accepted.
    pub accepted_at: Option<Timestamp>,
    /// From this instant it is no good.
    pub expires_at: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
    /// Who made it.
    pub created_by: String,
    /// Its mail; `None`: its token was in the answer.
    pub mail: Option<InvitationMail>,
}

/// The mail of an invitation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InvitationMail {
    /// Where it goes.
    pub to: Email,
    /// How far it got.
    pub state: MailState,
    /// Why the last attempt failed.
    pub error: Option<String>,
}

/// How far a mail got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, strum::EnumString, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum MailState {
    /// It will be tried, or tried again.
    Waiting,
    /// The mail server has taken it.
    Sent,
    /// The mail server never will.
    Refused,
}

/// What became of an invitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvitationState {
    /// It waits.
    Open,
    /// A password was set by it.
    Accepted,
    /// Nobody came.
    Expired,
}

impl Invitation {
    /// What became of it.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> InvitationState {
        if self.accepted_at.is_some() {
            InvitationState::Accepted
        } else if self.expires_at <= now {
            InvitationState::Expired
        } else {
            InvitationState::Open
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invitation_ends_with_its_instant_or_its_use() {
        let invitation = |accepted_at: Option<i64>| Invitation {
            invitation_id: "i".to_owned(),
            user_id: UserId::stored("u"),
            accepted_at: accepted_at.map(Timestamp::from_micros),
            expires_at: Timestamp::from_micros(100),
            created_at: Timestamp::EPOCH,
            created_by: "master".to_owned(),
            mail: None,
        };
        for (accepted, now, state) in [
            (None, 99, InvitationState::Open),
            (None, 100, InvitationState::Expired),
            (Some(5), 6, InvitationState::Accepted),
            (Some(5), 100, InvitationState::Accepted),
        ] {
            assert_eq!(invitation(accepted).state(Timestamp::from_micros(now)), state);
        }
    }

    #[test]
    fn a_token_is_found_by_its_hash() {
        let token = InvitationToken::from_random(&[3; TOKEN_BYTES]);
        assert_eq!(token.reveal().len(), 43);
        let hash = InvitationToken::hash_of(token.reveal());
        assert!(hash.len() == 64 && !hash.contains(token.reveal()));
    }
}
