//! Passwords at work: hashing is slow and large by design, so that it has
//! threads of its own, and few of them.

use tokio::sync::Semaphore;

use crate::domain::password::{Password, PasswordHash, SALT_BYTES};
use crate::error::Error;

/// How many are hashed at a time, at 19 MiB each.
const AT_ONCE: usize = 4;

/// Hashes and compares passwords.
pub struct Passwords {
    room: Semaphore,
    /// The hash of a password that nobody has: to compare with where there is
    /// none, so that an unknown user takes as long as a known one.
    nobodys: PasswordHash,
}

impl Passwords {
    /// Prepares the work.
    ///
    /// # Errors
    /// `INTERNAL` if there are no random numbers.
    pub fn new() -> Result<Self, Error> {
        let nobodys = salt().and_then(|salt| {
            let text = hex::encode(salt);
            let password = Password::chosen(&text).map_err(Error::internal)?;
            PasswordHash::of(&password, &salt).ok_or_else(not_hashed)
        })?;
        Ok(Self { room: Semaphore::new(AT_ONCE), nobodys })
    }

    /// The hash of a new password.
    ///
    /// # Errors
    /// `INTERNAL` if there are no random numbers.
    pub async fn hash(&self, password: Password) -> Result<PasswordHash, Error> {
        let salt = salt()?;
        self.apart(move || PasswordHash::of(&password, &salt)).await?.ok_or_else(not_hashed)
    }

    /// Whether a password is the one that was hashed. Without a hash, or with a
    /// password that nobody can have, it takes as long to say no.
    ///
    /// # Errors
    /// `INTERNAL` if the work fails.
    pub async fn matches(&self, hash: Option<PasswordHash>, tried: Option<Password>) -> Result<bool, Error> {
        let possible = hash.is_some() && tried.is_some();
        let hash = hash.unwrap_or_else(|| self.nobodys.clone());
        let Some(tried) = tried.or_else(|| Password::tried("not the password")) else { return Ok(false) };
        let matches = self.apart(move || hash.matches(&tried)).await?;
        Ok(matches && possible)
    }

    async fn apart<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
        let _permit = self.room.acquire().await.map_err(Error::internal)?;
        tokio::task::spawn_blocking(work).await.map_err(Error::internal)
    }
}

fn salt() -> Result<[u8; SALT_BYTES], Error> {
    let mut salt = [0; SALT_BYTES];
    aws_lc_rs::rand::fill(&mut salt).map_err(|_| Error::internal("the operating system has no random numbers"))?;
    Ok(salt)
}

fn not_hashed() -> Error {
    Error::internal("a password could not be hashed")
}
