//! Falling back: what may be called instead of a model whose budget is spent.

use super::Gate;
use super::authorize::{AuthorizeError, Call, Decision, scopes_of};
use super::explain::first_denial;
use crate::domain::account::Scope;
use crate::domain::clock::Timestamp;
use crate::domain::decision::{Denial, DenyReason};
use crate::domain::identity::{Identity, Models};

/// Whether a call is denied because the key's budget for the model is spent.
pub(super) fn spent_model(denial: Option<&Denial>) -> bool {
    denial.is_some_and(|of| of.reason == DenyReason::BudgetExceeded && of.scope == Some(Scope::KeyModel))
}

/// What a key may call instead of a model, the best first.
pub(super) fn fallbacks_of<'a>(identity: &'a Identity, model: &str) -> &'a [String] {
    identity.key.limits.as_ref().map_or(&[], |limits| limits.fallbacks_of(model))
}

impl Gate {
    /// Decides about the models that may be called instead, if the caller lets
    /// it, and else says which of them could be.
    ///
    /// # Errors
    /// [`AuthorizeError`] if no decision could be made.
    pub(super) async fn fall_back(
        &self,
        call: &Call<'_>,
        mut denied: Decision,
        now: Timestamp,
    ) -> Result<Decision, AuthorizeError> {
        let Some(identity) = denied.identity.clone() else { return Ok(denied) };
        for model in fallbacks_of(&identity, &denied.resolved_model) {
            // It is judged, priced and booked as if it had been asked for.
            let instead = Call { model, ..call.clone() };
            if call.falls_back {
                let decision = self.decide(&instead, identity.clone(), model, now).await?;
                if decision.denial.is_none() {
                    return Ok(decision);
                }
            } else if first_denial(&self.explain_model(&instead, &identity, model, now).await?).is_none() {
                denied.fallback_models.push(model.clone());
            }
        }
        Ok(denied)
    }

    /// How the limits stand of a model that was called instead, for whoever asks
    /// once more about the same request.
    ///
    /// # Errors
    /// [`AuthorizeError`] if the database fails.
    pub(super) async fn show_instead(
        &self,
        call: &Call<'_>,
        mut allowed: Decision,
        now: Timestamp,
    ) -> Result<Decision, AuthorizeError> {
        let Some(identity) = &allowed.identity else { return Ok(allowed) };
        let model = allowed.resolved_model.as_str();
        let mut lines = self.binding_lines(identity, Models::Called(model));
        let (scopes, prices) = (self.scope_budgets.load(), self.prices.load());
        let providers = prices.providers(model, &prices.offers(model, model, now));
        let instead = Call { model, ..call.clone() };
        scopes.join(&mut lines, || scopes_of(&instead, identity, &providers, model));
        self.tighten(&mut lines, model, now);
        let (mut budgets, rates) = self.all_standings(&lines, now).await?;
        budgets.retain(|of| lines.iter().any(|line| line.limits_money() && *line.account == of.account));
        (allowed.budgets, allowed.rates) = (budgets, rates);
        Ok(allowed)
    }
}
