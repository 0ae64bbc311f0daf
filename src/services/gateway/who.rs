//! Who calls a model: the caller itself, or somebody who showed the caller a key
//! or a token.

use crate::domain::decision::{Denial, DenyReason};
use crate::domain::fault::{Refusal, Violation};
use crate::domain::identity::Identity;
use crate::domain::reason::Reason;
use crate::domain::secret::{KeyHash, SECRET_PREFIX};
use crate::error::Error;
use crate::gate::Calling;
use crate::pb;
use crate::services::Ctx;
use crate::services::wire::welcome::Host;

/// Who calls.
pub(super) enum Who {
    /// Somebody to judge, and the customer that its token names.
    Known(Calling, Option<String>),
    /// Nobody, and why.
    Stranger(Denial),
}

/// Finds out who calls.
///
/// # Errors
/// `INVALID_ARGUMENT` or `PERMISSION_DENIED` if the caller may not ask like that;
/// `UNAVAILABLE` if it can't be found out.
pub(super) async fn who_calls(ctx: &Ctx, request: &pb::AuthorizeRequest) -> Result<Who, Error> {
    if !request.key_hash.is_empty() {
        if !ctx.scope.is_all() {
            return Err(not_your_key("only gateway keys and proxy admins ask by hash"));
        }
        let malformed = |error| Error::invalid(Violation::named("key_hash", Reason::KeyMalformed, error));
        return Ok(key(request.key_hash.parse().map_err(malformed)?));
    }
    if request.key.is_empty() {
        return itself(ctx, request).await;
    }
    if !request.key.starts_with(SECRET_PREFIX) && ctx.scope.is_all() {
        return Box::pin(shown_token(ctx, request)).await;
    }
    let hash = KeyHash::of(&request.key);
    if ctx.scope.is_all() {
        return Ok(key(hash));
    }
    // By whichever of its secrets.
    let own = ctx.caller.key().filter(|key| key.accepts(&hash, ctx.now)).and_then(|key| key.hash());
    own.map(key).ok_or_else(|| not_your_key("a key asks about itself only"))
}

async fn itself(ctx: &Ctx, request: &pb::AuthorizeRequest) -> Result<Who, Error> {
    if let Some(hash) = ctx.caller.key().filter(|_| !ctx.caller.is_gateway()).and_then(|key| key.hash()) {
        return Ok(key(hash));
    }
    if let Some(holder) = ctx.caller.token() {
        let identity = Box::pin(ctx.app.sign_in.tokens.calling(holder, &request.model, ctx.now)).await?;
        if let Some(identity) = identity {
            return Ok(somebody(identity, holder.customer_id()));
        }
    }
    let rule = "is required: your credential does not call models itself";
    Err(Error::invalid(Violation::named("key", Reason::KeyRequired, rule)))
}

/// A token that a client showed to the caller. Whatever else a client types is
/// no key; a hash is none either, for it is shown in lists and logs.
async fn shown_token(ctx: &Ctx, request: &pb::AuthorizeRequest) -> Result<Who, Error> {
    let token = &request.key;
    if !ctx.app.sign_in.tokens.may_be_one(token) {
        return Ok(Who::Stranger(Denial::unknown_key()));
    }
    let host = Host(ctx.app.clone());
    let wanted = ctx.caller.wanted_team.as_ref();
    let shown = ctx.app.sign_in.tokens.holder(token, wanted, Some(&request.model), (&host, ctx.now)).await;
    let holder = match shown {
        Ok(holder) => holder,
        Err(error) => return denial(error).map(Who::Stranger),
    };
    let Some(identity) = holder.identity.clone() else {
        let message = "the token stands for nobody who calls models";
        return Ok(Who::Stranger(Denial::new(DenyReason::CallNotAllowed, message)));
    };
    Ok(somebody(identity, holder.customer_id()))
}

/// What is wrong with a client's token is an answer to the caller, whose own
/// credential is good.
fn denial(error: Error) -> Result<Denial, Error> {
    match error {
        Error::Unauthenticated { reason: Reason::TokenExpired, message, .. } => {
            Ok(Denial::new(DenyReason::KeyExpired, message.to_owned()))
        }
        Error::Unauthenticated { message, .. } => Ok(Denial::new(DenyReason::KeyUnknown, message.to_owned())),
        Error::Refused(refusal) => {
            let reason = match refusal.reason {
                Reason::NoTeamForModel => DenyReason::ModelNotAllowed,
                _ => DenyReason::CallNotAllowed,
            };
            Ok(Denial::new(reason, refusal.message))
        }
        error => Err(error),
    }
}

const fn key(hash: KeyHash) -> Who {
    Who::Known(Calling::Key(hash), None)
}

fn somebody(identity: Identity, customer_id: Option<&str>) -> Who {
    Who::Known(Calling::Known(Box::new(identity)), customer_id.map(str::to_owned))
}

fn not_your_key(message: &str) -> Error {
    Refusal::denied(Reason::NotYourKey, message).into()
}
