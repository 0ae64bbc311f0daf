//! Answers that are kept, so that a retry gets the first one.
//!
//! An answer is kept in the transaction of its change. Its secret is kept for
//! ten minutes only, sealed for the request.

use std::future::Future;

use prost::Message;
use sha2::{Digest, Sha256};

use crate::domain::fault::Refusal;
use crate::domain::reason::Reason;
use crate::error::Error;
use crate::services::Ctx;
use crate::store::{IdempotencyRecord, SECRET_SECONDS, Seal, Tx};

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
        if let Some(record) = self.record(ctx, answer)? {
            tx.insert_idempotency_record(record).await?;
        }
        Ok(())
    }

    /// An answer as it is kept; `None` without a request id.
    ///
    /// # Errors
    /// [`Error`] if its secret can't be sealed.
    pub(crate) fn record<A: Answer + Clone>(&self, ctx: &Ctx, answer: &A) -> Result<Option<IdempotencyRecord>, Error> {
        if self.request_id.is_empty() {
            return Ok(None);
        }
        let mut answer = answer.clone();
        let sealed_secret = match answer.take_secret() {
            None => None,
            Some(secret) => {
                let sealed = self.seal(ctx).close(secret.into_bytes());
                Some(sealed.ok_or_else(|| Error::internal("a secret could not be sealed"))?)
            }
        };
        Ok(Some(IdempotencyRecord {
            caller: self.caller.clone(),
            rpc: self.rpc.to_owned(),
            request_id: self.request_id.clone(),
            payload_hash: self.payload_hash.clone(),
            response: answer.encode_to_vec(),
            sealed_secret,
            created_at: ctx.now,
        }))
    }

    fn seal(&self, ctx: &Ctx) -> Seal {
        let purpose = ["answer", &self.caller, self.rpc, &self.request_id].map(str::as_bytes);
        ctx.app.seals.seal_for(&purpose)
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
        caller: credential(ctx),
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

/// Who may get the answer again: whoever shows the same credential, for another
/// one of the same user may have fewer rights.
fn credential(ctx: &Ctx) -> String {
    match ctx.caller.key_id() {
        Some(key) => format!("{} {key}", ctx.caller.name()),
        None => ctx.caller.name(),
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
    if let Some(sealed) = record.sealed_secret.filter(|_| age < SECRET_SECONDS) {
        let opened = slot.seal(ctx).open(sealed);
        let secret = opened.and_then(|bytes| String::from_utf8(bytes).ok());
        answer.put_secret(secret.ok_or_else(|| Error::internal("a kept secret could not be opened"))?);
    }
    Ok(Some(answer))
}
