//! Random bytes and secrets, from the operating system.

use aws_lc_rs::rand;

use crate::domain::secret::{SECRET_RANDOM_BYTES, Secret};
use crate::error::Error;

/// Random bytes that nobody can guess.
///
/// # Errors
/// `INTERNAL` if the operating system has none.
pub fn random_bytes() -> Result<[u8; SECRET_RANDOM_BYTES], Error> {
    let mut bytes = [0; SECRET_RANDOM_BYTES];
    rand::fill(&mut bytes).map_err(|_| Error::internal("the operating system has no random numbers"))?;
    Ok(bytes)
}

/// A new secret.
///
/// # Errors
/// `INTERNAL` if the operating system has no random numbers.
pub fn fresh_secret() -> Result<Secret, Error> {
    random_bytes().map(|bytes| Secret::from_random(&bytes))
}
