//! Seals: what is kept, or handed out to be brought back, and is nobody's to
//! read meanwhile.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hmac;

/// What seals are derived from: a secret of all instances of one database.
#[derive(Clone)]
pub struct SealKey(hmac::Key);

/// Seals for one purpose; it opens nothing that was sealed for another.
pub struct Seal(Option<RandomizedNonceKey>);

impl SealKey {
    /// A key made of secret bytes.
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// The seal for a purpose, which is named by its parts in order.
    pub fn seal_for(&self, purpose: &[&[u8]]) -> Seal {
        let mut context = hmac::Context::with_key(&self.0);
        for part in purpose {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        Seal(RandomizedNonceKey::new(&AES_256_GCM, context.sign().as_ref()).ok())
    }
}

impl SealKey {
    /// The seal of the token of an invitation while it waits to be mailed.
    pub fn of_invitation(&self, invitation_id: &str) -> Seal {
        self.seal_for(&[b"invitation", invitation_id.as_bytes()])
    }
}

impl Seal {
    /// The bytes, sealed; `None` if the library fails.
    pub fn close(&self, mut bytes: Vec<u8>) -> Option<Vec<u8>> {
        let nonce = self.0.as_ref()?.seal_in_place_append_tag(Aad::empty(), &mut bytes).ok()?;
        bytes.extend_from_slice(nonce.as_ref());
        Some(bytes)
    }

    /// What was sealed; `None` if it is not of this seal, or was changed.
    pub fn open(&self, mut bytes: Vec<u8>) -> Option<Vec<u8>> {
        let nonce = bytes.split_off(bytes.len().checked_sub(NONCE_LEN)?);
        let nonce = Nonce::try_assume_unique_for_key(&nonce).ok()?;
        let opened = self.0.as_ref()?.open_in_place(nonce, Aad::empty(), &mut bytes).ok()?.len();
        bytes.truncate(opened);
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_opens_what_it_closed_and_nothing_else() {
        let seal = |secret: &[u8], purpose: &[&[u8]]| SealKey::new(secret).seal_for(purpose);
        let closed = seal(b"secret", &[b"a", b"bc"]).close(b"hello".to_vec()).expect("closed");
        assert!(!closed.windows(5).any(|part| part == b"hello"));
        assert_eq!(seal(b"secret", &[b"a", b"bc"]).open(closed.clone()).as_deref(), Some(b"hello".as_slice()));
        for other in [seal(b"other", &[b"a", b"bc"]), seal(b"secret", &[b"ab", b"c"]), seal(b"secret", &[b"abc"])] {
            assert_eq!(other.open(closed.clone()), None);
        }
        for place in 0..closed.len() {
            let mut changed = closed.clone();
            changed[place] ^= 1;
            assert_eq!(seal(b"secret", &[b"a", b"bc"]).open(changed), None);
        }
        assert_eq!(seal(b"secret", &[]).open(b"short".to_vec()), None);
    }
}
