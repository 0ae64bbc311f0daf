//! The master key: from the settings, or made at the first start.

use crate::auth::MasterKeys;
use crate::config::{ConfigError, Hidden, Settings};
use crate::domain::secret::{KeyHash, SECRET_PREFIX, Secret};
use crate::services::wire::secret::fresh_secret;
use crate::store::{SecretName, Store, StoreError};

use super::ServerError;

/// A master key with fewer characters can be guessed.
const STRONG_CHARS: usize = 32;

/// Refuses master keys that can't be used, or should not.
pub(super) fn check(settings: &Settings) -> Result<(), ConfigError> {
    let given = [("master_key", &settings.master_key), ("master_key_previous", &settings.master_key_previous)];
    for (name, key) in given.into_iter().filter_map(|(name, key)| Some((name, key.as_ref()?))) {
        if !key.0.starts_with(SECRET_PREFIX) {
            return Err(ConfigError(format!("wrong setting: {name} must begin with {SECRET_PREFIX:?}")));
        }
        if key.0.chars().any(|character| character.is_whitespace() || character.is_control()) {
            let rule = "must not have spaces or line breaks; does the file that it is from end with one?";
            return Err(ConfigError(format!("wrong setting: {name} {rule}")));
        }
        if key.0.len() >= STRONG_CHARS || settings.allow_weak_master_key {
            continue;
        }
        if !settings.listen.ip().is_loopback() {
            return Err(ConfigError(format!(
                "wrong setting: {name} has less than {STRONG_CHARS} characters, which is too weak to listen on {}; \
                 use a longer one, or set allow_weak_master_key",
                settings.listen
            )));
        }
        tracing::warn!("{name} has less than {STRONG_CHARS} characters: it can be guessed");
    }
    Ok(())
}

/// The master keys that are accepted; and the one that was made just now, which
/// nobody knows yet.
pub(super) async fn accepted(settings: &Settings, store: &Store) -> Result<(MasterKeys, Option<Secret>), ServerError> {
    let hash = |key: &Hidden| KeyHash::of(&key.0);
    let previous = settings.master_key_previous.as_ref().map(hash);
    let (current, made) = if let Some(key) = &settings.master_key {
        (hash(key), None)
    } else {
        let secret = fresh_secret()?;
        let (stored, is_new) = store.secret_or(SecretName::MasterKeyHash, secret.hash().to_string()).await?;
        let malformed = |_| StoreError::Broken("the stored hash of the master key is malformed".to_owned());
        (stored.parse().map_err(malformed)?, is_new.then_some(secret))
    };
    Ok((MasterKeys([Some(current), previous].into_iter().flatten().collect()), made))
}
