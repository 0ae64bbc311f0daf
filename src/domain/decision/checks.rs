//! Checks: everything about a call that needs no counter, in the order in which
//! it is checked. A new check is a new row.

use super::{AskedModel, Denial, DenyReason, PriceRules, PriceState, RequiredParams, model_lists};
use crate::domain::account::Scope;
use crate::domain::clock::Timestamp;
use crate::domain::identity::Identity;
use crate::domain::key::is_expired;
use crate::domain::routes::{AUTHORIZE_RPC, routes_allow};

/// A call as the checks see it.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// Who calls, on whose behalf.
    pub identity: &'a Identity,
    /// The parameters that the call has.
    pub params: &'a [String],
    /// Those that it needs.
    pub required: &'a RequiredParams,
    /// The time.
    pub now: Timestamp,
}

/// What a check finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It is about something that the call has nothing to do with.
    DoesNotApply,
    /// Nothing is wrong.
    Passes,
    /// The call is denied; why, in words.
    Fails(String),
}

impl Finding {
    fn fails_if(wrong: bool, message: impl FnOnce() -> String) -> Self {
        if wrong { Self::Fails(message()) } else { Self::Passes }
    }
}

/// A check, and why it denies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The reason of its denials.
    pub reason: DenyReason,
    /// Whose state or list it looks at.
    pub scope: Option<Scope>,
    /// What it finds.
    pub finding: Finding,
}

impl Checked {
    /// The denial that it leads to, if it fails.
    ///
    /// # Errors
    /// That denial.
    pub fn verdict(self) -> Result<(), Denial> {
        match self.finding {
            Finding::DoesNotApply | Finding::Passes => Ok(()),
            Finding::Fails(message) => Err(Denial { reason: self.reason, scope: self.scope, message }),
        }
    }
}

type Row = (DenyReason, Option<Scope>, fn(&Judged<'_>) -> Finding);

/// The checks of who calls: they say nothing about models and budgets.
const CALLER: [Row; 10] = [
    (DenyReason::KeyUnknown, None, |call| {
        Finding::fails_if(call.identity.team_is_gone(), || Denial::unknown_key().message)
    }),
    (DenyReason::KeyBlocked, None, |call| {
        let key = &call.identity.key;
        let why = || key.block_reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        Finding::fails_if(key.blocked, || format!("the key is blocked{}", why()))
    }),
    (DenyReason::KeyExpired, None, |call| match call.identity.key.expires_at {
        None => Finding::DoesNotApply,
        Some(at) => Finding::fails_if(is_expired(Some(at), call.now), || format!("the key expired at {at}")),
    }),
    (DenyReason::UserDeactivated, None, |call| match (&call.identity.key.user_id, &call.identity.user) {
        (None, _) => Finding::DoesNotApply,
        (Some(_), user) => Finding::fails_if(user.as_ref().is_none_or(|user| user.blocked), || {
            "the owner of the key is blocked".to_owned()
        }),
    }),
    (DenyReason::UserNotInTeam, None, |call| {
        let key = &call.identity.key;
        if key.user_id.is_none() || key.team_id.is_none() {
            return Finding::DoesNotApply;
        }
        let is_out = call.identity.membership.is_none();
        Finding::fails_if(is_out, || "the owner of the key is not in its team".to_owned())
    }),
    (DenyReason::TeamBlocked, Some(Scope::Team), |call| match &call.identity.team {
        None => Finding::DoesNotApply,
        Some(team) => Finding::fails_if(team.blocked, || "the team of the key is blocked".to_owned()),
    }),
    (DenyReason::TeamBlocked, Some(Scope::Organization), |call| match &call.identity.affiliation {
        None => Finding::DoesNotApply,
        Some(affiliation) => {
            Finding::fails_if(affiliation.organization.blocked, || "the organization of the key is blocked".to_owned())
        }
    }),
    (DenyReason::CustomerBlocked, Some(Scope::Customer), |call| match &call.identity.customer {
        None => Finding::DoesNotApply,
        Some(customer) => Finding::fails_if(customer.blocked, || "the customer is blocked".to_owned()),
    }),
    (DenyReason::CallNotAllowed, None, |call| {
        let key = &call.identity.key;
        let may = key.key_type.makes_calls() && routes_allow(&key.allowed_routes, AUTHORIZE_RPC);
        Finding::fails_if(!may, || "the key may not make model calls".to_owned())
    }),
    (DenyReason::RequiredParamMissing, None, |call| {
        let mut required = call.required.of(call.identity).peekable();
        if required.peek().is_none() {
            return Finding::DoesNotApply;
        }
        let missing: Vec<&str> = required.filter(|name| !call.params.iter().any(|param| param == name)).collect();
        Finding::fails_if(!missing.is_empty(), || format!("the call lacks {}", missing.join(", ")))
    }),
];

/// Checks who calls, one check after the other.
pub fn caller_checks<'a>(call: &'a Judged<'a>) -> impl Iterator<Item = Checked> + 'a {
    CALLER.iter().map(|(reason, scope, check)| Checked { reason: *reason, scope: *scope, finding: check(call) })
}

/// Checks the resolved model against the price table and every list.
pub fn model_checks<'a>(
    identity: &'a Identity,
    model: &'a AskedModel<'a>,
    rules: PriceRules,
) -> impl Iterator<Item = Checked> + 'a {
    let AskedModel { name, groups, price } = *model;
    let priced = |applies: bool, wrong: bool, message: fn(&str) -> String| {
        if applies { Finding::fails_if(wrong, || message(name)) } else { Finding::DoesNotApply }
    };
    let unknown = priced(rules.deny_unknown_models, price == PriceState::Unknown, |model| {
        format!("model {model:?} is not in the price table")
    });
    let unpriced = matches!(price, PriceState::Unknown | PriceState::Unpriced);
    let unpriced = priced(rules.deny_unpriced_models, unpriced, |model| format!("model {model:?} has no price"));
    let of_prices = [(DenyReason::ModelUnknown, unknown), (DenyReason::PriceUnknown, unpriced)];
    let of_prices = of_prices.into_iter().map(|(reason, finding)| Checked { reason, scope: None, finding });
    of_prices.chain(model_lists(identity).map(move |(scope, list)| {
        let finding = Finding::fails_if(!list.allows_in(name, groups), || {
            format!("model {name:?} is not among the models of the {}", scope.in_words())
        });
        Checked { reason: DenyReason::ModelNotAllowed, scope: Some(scope), finding }
    }))
}
