//! Consent: what the key policy of an installation, a service of its own, has a
//! say in. It is asked with nothing locked: work that comes to a question is
//! given up, and done again when the answer is yes.

use std::future::Future;

use super::policies::{self, Shown};
use super::{key, role};
use crate::callout::Question;
use crate::domain::policy::Action;
use crate::error::Error;
use crate::pb;
use crate::pb::policy::check_request::Request;
use crate::pb::policy::{Caller, KeyAction};
use crate::services::Ctx;

/// How often it is asked anew because somebody else changed what was asked
/// about.
const TRIES: usize = 5;

/// A request that makes or changes keys.
pub(crate) trait Asked: Shown + Clone {
    /// The request as the key policy sees it: without secrets.
    fn to_question(&self) -> Request;
}

impl Asked for pb::GenerateKeyRequest {
    fn to_question(&self) -> Request {
        Request::GenerateKey(Self { new_secret: None, ..self.clone() })
    }
}

impl Asked for pb::CreateUserRequest {
    fn to_question(&self) -> Request {
        Request::CreateUser(self.clone())
    }
}

impl Asked for pb::UpdateKeyRequest {
    fn to_question(&self) -> Request {
        Request::UpdateKey(self.clone())
    }
}

/// Asks the policies about a key: the expressions of the settings, and whether
/// the key policy said yes. `keys` are the key before, absent if it is made, and
/// as it would be.
///
/// # Errors
/// `PERMISSION_DENIED` of an expression, or the question that is still to be
/// asked: see [`with_consent`].
pub(crate) fn check(
    ctx: &Ctx,
    action: Action,
    request: &impl Asked,
    keys: impl Fn() -> (Option<pb::Key>, pb::Key),
) -> Result<(), Error> {
    policies::check(ctx, action, request, &keys)?;
    if !ctx.app.key_policy.as_ref().is_some_and(|policy| policy.is_about(action)) {
        return Ok(());
    }
    let (existing, mut resulting) = keys();
    if existing.is_none() {
        key::take_names(&mut resulting);
    }
    let question = Question {
        action: to_wire(action).into(),
        caller: Some(caller(ctx)),
        request: Some(request.to_question()),
        existing,
        resulting: Some(resulting),
    };
    if ctx.consent.as_deref() == Some(&question) { Ok(()) } else { Err(Error::Unasked(Box::new(question))) }
}

/// Does work that may come to a question. Before it is done again everything is
/// checked anew; what is another question by then is asked, too. The work takes
/// the context that knows the answer.
///
/// # Errors
/// What the work fails with; `PERMISSION_DENIED` or `UNAVAILABLE` of the key
/// policy; `ABORTED` if every answer came too late.
pub(crate) async fn with_consent<A, W, F>(ctx: &Ctx, work: W) -> Result<A, Error>
where
    W: Fn(Ctx) -> F,
    F: Future<Output = Result<A, Error>>,
{
    let mut ctx = ctx.clone();
    for _ in 0..TRIES {
        match (Box::pin(work(ctx.clone())).await, &ctx.app.key_policy) {
            (Err(Error::Unasked(question)), Some(policy)) => {
                policy.ask(&question).await?;
                ctx.consent = Some(question.into());
            }
            (result, _) => return result,
        }
    }
    Err(Error::Contended { cause: "what the key policy was asked about changed again and again".to_owned() })
}

/// Who asks for something.
pub(crate) fn caller(ctx: &Ctx) -> Caller {
    let caller = &ctx.caller;
    let user = caller.user();
    let of_token = || caller.token()?.identity.as_ref()?.key.team_id.as_ref();
    let team = caller.key().map_or_else(of_token, |key| key.team_id.as_ref());
    Caller {
        name: caller.name(),
        user_id: user.map(|user| user.user_id.to_string()),
        role: user.map(|user| role::role_to_wire(user.role).into()),
        team_id: team.map(ToString::to_string),
        key_id: caller.key_id().map(|id| id.to_string()),
        is_proxy_admin: caller.is_proxy_admin(),
    }
}

const fn to_wire(action: Action) -> KeyAction {
    match action {
        Action::GenerateKey => KeyAction::Generate,
        Action::UpdateKey => KeyAction::Update,
        Action::RegenerateKey => KeyAction::Regenerate,
        Action::CreateTeam => KeyAction::Unspecified,
    }
}
