//! Answers that are kept, so that a retry gets the first one.
//!
//! An answer is kept in the transaction of its change. Its secret is kept for
//! ten minutes only, encrypted with a key that is derived from a secret of the
//! server and from the request.

use std::future::Future;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, RandomizedNonceKey, UnboundKey};
use aws_lc_rs::hmac;
use prost::Message;
use sha2::{Digest, Sha256};

use crate::domain::clock::Timestamp;
use crate::domain::fault::Refusal;
use crate::domain::reason::Reason;
use crate::error::Error;
use crate::services::Ctx;
use crate::store::{IdempotencyRecord, SECRET_SECONDS, Tx};

/// What the secrets of answers, and page tokens, are encrypted with.
#[derive(Clone)]
pub struct AnswerKey(hmac::Key);

impl AnswerKey {
    /// A key made of secret bytes.
    pub fn new(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// The key of the page tokens of a list.
    pub(super) fn of_list(&self, list: &[u8]) -> Option<RandomizedNonceKey> {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(b"page tokens");
        context.update(list);
        RandomizedNonceKey::new(&AES_256_GCM, context.sign().as_ref()).ok()
    }

    /// The key of one answer. As it is made of the instant, too, it never
    /// encrypts twice, and its nonce may be constant.
    fn of(&self, caller: &str, rpc: &str, request_id: &str, at: Timestamp) -> Option<LessSafeKey> {
        let mut context = hmac::Context::with_key(&self.0);
        for part in [caller, rpc, request_id] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part.as_bytes());
        }
        context.update(&at.micros().to_be_bytes());
        UnboundKey::new(&AES_256_GCM, context.sign().as_ref()).ok().map(LessSafeKey::new)
    }
}

fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

/// A response that may hold a secret.
pub(crate) trait Answer: Message + Default + Send {
    /// Takes the secret out.
    fn take_secret(&mut self) -> Option<String> {
        None
    }

    /// Puts it back.
    fn put_secret(&mut self, _secret: String) {}
}

/// The place where the answer to a request will be kept.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    caller: String,
    rpc: &'static str,
    request_id: String,
    payload_hash: String,
}

impl Slot {
    /// A place for an answer that is not kept.
    pub(crate) fn none() -> Self {
        Self { caller: String::new(), rpc: "", request_id: String::new(), payload_hash: String::new() }
    }

    /// Keeps an answer with the change that leads to it. Without a request id
    /// nothing is kept.
    ///
    /// # Errors
    /// [`Error`] if the database fails.
    pub(crate) async fn keep<A: Answer + Clone>(&self, ctx: &Ctx, tx: &mut Tx, answer: &A) -> Result<(), Error> {
        if self.request_id.is_empty() {
            return Ok(());
        }
        let mut answer = answer.clone();
        let sealed_secret = match answer.take_secret() {
            None => None,
            Some(secret) => Some(self.seal(ctx, secret)?),
        };
        let record = IdempotencyRecord {
            caller: self.caller.clone(),
            rpc: self.rpc.to_owned(),
            request_id: self.request_id.clone(),
            payload_hash: self.payload_hash.clone(),
            response: answer.encode_to_vec(),
            sealed_secret,
            created_at: ctx.now,
        };
        tx.insert_idempotency_record(record).await?;
        Ok(())
    }

    fn seal(&self, ctx: &Ctx, secret: String) -> Result<Vec<u8>, Error> {
        let mut bytes = secret.into_bytes();
        let key = ctx.app.answers.of(&self.caller, self.rpc, &self.request_id, ctx.now);
        let sealed = key.and_then(|key| key.seal_in_place_append_tag(nonce(), Aad::empty(), &mut bytes).ok());
        sealed.map(|()| bytes).ok_or_else(|| Error::internal("a secret could not be sealed"))
    }
}

/// Does something once per request id: a repeat of the request gets the first
/// answer, another request under the same id is refused.
///
/// # Errors
/// What `work` fails with, or `ALREADY_EXISTS` for another request.
pub(crate) async fn once<A, W, F>(ctx: &Ctx, request_id: &str, request: &impl Message, work: W) -> Result<A, Error>
where
    A: Answer,
    W: FnOnce(Slot) -> F,
    F: Future<Output = Result<A, Error>>,
{
    let digest = Sha256::digest(request.encode_to_vec());
    let slot = Slot {
        caller: ctx.caller.name(),
        rpc: ctx.rpc,
        request_id: request_id.to_owned(),
        payload_hash: hex::encode(digest),
    };
    if request_id.is_empty() {
        return work(slot).await;
    }
    if let Some(answer) = kept(ctx, &slot).await? {
        return Ok(answer);
    }
    match work(slot.clone()).await {
        // Perhaps the same request, sent twice at once, was faster.
        Err(error) => kept(ctx, &slot).await?.ok_or(error),
        answer => answer,
    }
}

async fn kept<A: Answer>(ctx: &Ctx, slot: &Slot) -> Result<Option<A>, Error> {
    let view = ctx.app.store.view();
    let found = view.find_idempotency_record(&slot.caller, slot.rpc, &slot.request_id, ctx.now).await?;
    let Some(record) = found else { return Ok(None) };
    if record.payload_hash != slot.payload_hash {
        let message = format!("request_id {:?} was used for another request; use a new one", slot.request_id);
        return Err(Refusal::exists(Reason::RequestIdReused, message).into());
    }
    let mut answer = A::decode(record.response.as_slice()).map_err(Error::internal)?;
    let age = ctx.now.micros_since(record.created_at) / 1_000_000;
    if let Some(mut sealed) = record.sealed_secret.filter(|_| age < SECRET_SECONDS) {
        let key = ctx.app.answers.of(&record.caller, &record.rpc, &record.request_id, record.created_at);
        let opened = key.and_then(|key| {
            let bytes = key.open_in_place(nonce(), Aad::empty(), &mut sealed).ok()?;
            String::from_utf8(bytes.to_vec()).ok()
        });
        answer.put_secret(opened.ok_or_else(|| Error::internal("a kept secret could not be opened"))?);
    }
    Ok(Some(answer))
}
