//! Rotation: a key gets another secret and stays the same key.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::clock::Timestamp;
use super::fault::Refusal;
use super::key::{Key, KeyState};
use super::reason::Reason;
use super::secret::{KeyHash, Secret};
use super::window::Length;

/// How many former secrets of a key may be good at once.
const FORMER_MAX: usize = 10;

/// The longest that a former secret stays good, in days.
pub const GRACE_MAX_DAYS: i64 = 30;

/// A secret that a rotation replaced, and that is still good for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerSecret {
    /// Its hash.
    pub key_hash: KeyHash,
    /// From this instant it is refused.
    pub valid_until: Timestamp,
}

impl FormerSecret {
    /// Whether it is good.
    #[must_use]
    pub fn is_valid(&self, now: Timestamp) -> bool {
        now < self.valid_until
    }
}

/// When a key is rotated by itself, and when it was rotated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rotation {
    /// How long a secret lives; `None`: until somebody rotates it.
    #[serde(rename = "rotation_interval")]
    pub interval: Option<Length>,
    /// How often the key was rotated.
    #[serde(rename = "rotation_count")]
    pub count: i64,
    /// When it was rotated last.
    #[serde(rename = "last_rotated_at")]
    pub last_at: Option<Timestamp>,
    /// When it is to be rotated next.
    #[serde(rename = "next_rotation_at")]
    pub next_at: Option<Timestamp>,
}

impl Rotation {
    /// The rotation of a new key.
    #[must_use]
    pub fn new(interval: Option<Length>, now: Timestamp) -> Self {
        Self { interval, next_at: interval.map(|length| length.after(now)), ..Self::default() }
    }

    /// Changes how long a secret lives: counted from the last rotation, else
    /// from now. The same length changes nothing.
    pub fn set_interval(&mut self, interval: Option<Length>, now: Timestamp) {
        if self.interval != interval {
            self.interval = interval;
            self.next_at = interval.map(|length| length.after(self.last_at.unwrap_or(now)));
        }
    }
}

/// How keys are rotated.
#[derive(Clone, Debug, Default)]
pub struct RotationRules {
    /// How long a former secret stays good where nobody says.
    pub grace: Option<Length>,
    /// Where new secrets of keys go that are rotated by themselves; `None`: none
    /// are.
    pub directory: Option<PathBuf>,
}

/// The shortest life of a secret, in seconds.
const INTERVAL_MIN_SECONDS: i64 = 3_600;

impl RotationRules {
    /// Checks how long the secrets of a key are to live.
    ///
    /// # Errors
    /// In words, what it must be.
    pub fn check_interval(&self, interval: Length) -> Result<(), String> {
        let seconds = interval.nominal_seconds();
        if seconds < INTERVAL_MIN_SECONDS {
            return Err("must be at least 1h".to_owned());
        }
        match self.grace.filter(|grace| grace.nominal_seconds() > seconds) {
            Some(grace) => Err(format!("must not be shorter than rotation_grace_period, {grace}")),
            None => Ok(()),
        }
    }

    /// Refuses rotation that would tell nobody the new secrets.
    ///
    /// # Errors
    /// A precondition.
    pub fn check_sink(&self) -> Result<(), Refusal> {
        if self.directory.is_some() {
            return Ok(());
        }
        let message = "nobody would learn the new secrets; the operator must set rotation_directory";
        Err(Refusal::precondition(Reason::NoRotationSink, message))
    }
}

impl Key {
    /// Whether it is to be rotated now. What is refused is not.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.rotation.next_at.is_some_and(|next| next <= now) && self.state(now) == KeyState::Active
    }

    /// Whether a secret with this hash is this key's now.
    #[must_use]
    pub fn accepts(&self, hash: &KeyHash, now: Timestamp) -> bool {
        accepts(&self.key_hash, &self.former_secrets, hash, now)
    }

    /// The hashes that the key is found under in memory: that of its secret, and
    /// of former ones that were good when it was last rotated.
    pub fn hashes(&self) -> impl Iterator<Item = KeyHash> {
        std::iter::once(self.key_hash).chain(self.former_secrets.iter().map(|former| former.key_hash))
    }

    /// Until when some former secret is good; `None`: none is.
    #[must_use]
    pub fn former_valid_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.former_secrets.iter().filter(|former| former.is_valid(now)).map(|former| former.valid_until).max()
    }

    /// Gives the key another secret. The one before stays good until `grace`
    /// ends, if one is given; those before it as long as they were.
    ///
    /// # Errors
    /// Too many former secrets are good.
    pub fn rotate(&mut self, secret: &Secret, grace: Option<Timestamp>, now: Timestamp) -> Result<(), Refusal> {
        self.former_secrets.retain(|former| former.is_valid(now));
        if let Some(valid_until) = grace {
            if self.former_secrets.len() == FORMER_MAX {
                let message = format!(
                    "{FORMER_MAX} former secrets of the key are still good; rotate without a grace period, or end theirs \
                     by clearing previous_key_valid_until"
                );
                return Err(Refusal::precondition(Reason::TooManyFormerSecrets, message).about("key", self.key_hash));
            }
            self.former_secrets.push(FormerSecret { key_hash: self.key_hash, valid_until });
        }
        self.key_hash = secret.hash();
        self.key_name = secret.name();
        self.rotation.count += 1;
        self.rotation.last_at = Some(now);
        self.rotation.next_at = self.rotation.interval.map(|length| length.after(now));
        Ok(())
    }
}

/// See [`Key::accepts`].
#[must_use]
pub fn accepts(current: &KeyHash, former: &[FormerSecret], hash: &KeyHash, now: Timestamp) -> bool {
    let is_current = current.equals_in_constant_time(hash);
    former.iter().fold(is_current, |accepted, former| {
        accepted | (former.key_hash.equals_in_constant_time(hash) & former.is_valid(now))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::key::tests::key;

    fn secret(text: &str) -> Secret {
        Secret::chosen(&format!("sk-{text}-0123456789abc")).expect("a secret")
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::EPOCH.plus_seconds(seconds)
    }

    #[test]
    fn a_former_secret_is_good_until_its_grace_ends() {
        let mut key = key();
        let first = key.key_hash;
        key.rotate(&secret("b"), Some(at(100)), at(0)).expect("rotated");
        let second = key.key_hash;
        key.rotate(&secret("c"), Some(at(50)), at(10)).expect("rotated");
        for (hash, now, good) in [
            (first, 99, true),
            (first, 100, false),
            (second, 49, true),
            (second, 50, false),
            (key.key_hash, 1_000, true),
            (KeyHash::of("sk-other"), 10, false),
        ] {
            assert_eq!(key.accepts(&hash, at(now)), good, "{hash} at {now}");
        }
        assert_eq!(key.former_valid_until(at(60)), Some(at(100)));
        assert_eq!(key.former_valid_until(at(100)), None);
        assert_eq!((key.rotation.count, key.rotation.last_at, key.rotation.next_at), (2, Some(at(10)), None));
        assert_eq!(key.key_name, secret("c").name());
    }

    #[test]
    fn without_grace_a_secret_ends_at_once_and_those_before_it_do_not() {
        let mut key = key();
        let first = key.key_hash;
        key.rotate(&secret("b"), Some(at(100)), at(0)).expect("rotated");
        let second = key.key_hash;
        key.rotate(&secret("c"), None, at(1)).expect("rotated");
        assert!(key.accepts(&first, at(2)));
        assert!(!key.accepts(&second, at(1)));
    }

    #[test]
    fn former_secrets_are_few() {
        let mut key = key();
        for number in 0..10 {
            key.rotate(&secret(&number.to_string()), Some(at(100)), at(0)).expect("rotated");
        }
        let refused = key.clone().rotate(&secret("k"), Some(at(100)), at(99));
        assert_eq!(refused.expect_err("too many").reason, Reason::TooManyFormerSecrets);
        key.clone().rotate(&secret("k"), None, at(99)).expect("needs no room");
        key.rotate(&secret("k"), Some(at(200)), at(100)).expect("the others have ended");
        assert_eq!(key.former_secrets.len(), 1);
    }

    #[test]
    fn only_active_keys_are_due() {
        let mut due = key();
        due.rotation = Rotation::new(Some("1h".parse().expect("a length")), at(0));
        assert_eq!((due.is_due(at(3_599)), due.is_due(at(3_600))), (false, true));
        assert!(!Key { blocked: true, ..due.clone() }.is_due(at(3_600)));
        assert!(!Key { expires_at: Some(at(3_600)), ..due.clone() }.is_due(at(3_600)));
        assert!(!key().is_due(at(3_600)));
    }

    #[test]
    fn secrets_live_longer_than_their_grace() {
        let length = |text: &str| text.parse::<Length>().expect("a length");
        let rules = RotationRules { grace: Some(length("1d")), directory: None };
        for (interval, fits) in [("59m", false), ("1h", false), ("1d", true), ("30d", true)] {
            assert_eq!(rules.check_interval(length(interval)).is_ok(), fits, "{interval}");
        }
        assert!(RotationRules::default().check_interval(length("1h")).is_ok());
        assert_eq!(rules.check_sink().expect_err("nobody learns them").reason, Reason::NoRotationSink);
    }

    #[test]
    fn an_interval_counts_from_the_last_rotation() {
        let hours = |text: &str| Some(text.parse::<Length>().expect("a length"));
        let mut rotation = Rotation::new(hours("1h"), at(0));
        assert_eq!(rotation.next_at, Some(at(3_600)));
        rotation.set_interval(hours("1h"), at(60));
        assert_eq!(rotation.next_at, Some(at(3_600)), "nothing changed");
        rotation.set_interval(hours("2h"), at(60));
        assert_eq!(rotation.next_at, Some(at(60 + 7_200)));
        rotation.last_at = Some(at(30));
        rotation.set_interval(hours("3h"), at(60));
        assert_eq!(rotation.next_at, Some(at(30 + 3 * 3_600)));
        rotation.set_interval(None, at(60));
        assert_eq!(rotation.next_at, None);
    }
}
