//! Explaining: every check of a call with what it compares, and nothing changed.

use std::collections::BTreeMap;

use super::authorize::{price_state, scopes_of};
use super::fall_back::{fallbacks_of, spent_model};
use super::rates::{RateCounts, TokenNeed};
use super::standing::{BudgetStanding, RateStanding};
use super::{Call, Calling, Gate};
use crate::domain::account::Scope;
use crate::domain::clock::Timestamp;
use crate::domain::decision::{self, AskedModel, Checked, Denial, DenyReason, Finding, Judged, PriceState};
use crate::domain::identity::{Identity, Models};
use crate::store::StoreError;

/// One check of a call.
#[derive(Clone, Debug)]
pub struct Step {
    /// What it finds, and the reason of its denials.
    pub checked: Checked,
    /// Which one of its scope it looks at; empty: the key itself.
    pub id: String,
    /// What was compared, by name.
    pub values: BTreeMap<&'static str, String>,
}

/// What a call would be answered, and why.
#[derive(Debug)]
pub struct Explained {
    /// Why not, if not.
    pub denial: Option<Denial>,
    /// The model that would be called.
    pub resolved_model: String,
    /// Who calls, if the key was found.
    pub identity: Option<Identity>,
    /// Every check, in order.
    pub steps: Vec<Step>,
}

impl Gate {
    /// Says what would be decided about a call, without deciding it.
    ///
    /// # Errors
    /// [`StoreError`] if something is not in memory and the database fails.
    pub async fn explain(&self, call: &Call<'_>, now: Timestamp) -> Result<Explained, StoreError> {
        let found = match call.calling {
            Calling::Known(identity) => Some(Identity::clone(identity)),
            Calling::Key(hash) => self.directory().find(hash, now).await?,
        };
        let Some(mut identity) = found else {
            let denial = Denial::unknown_key();
            let finding = Finding::Fails(denial.message.clone());
            let checked = Checked { reason: denial.reason, scope: None, finding };
            let steps = vec![Step { checked, id: String::new(), values: BTreeMap::new() }];
            return Ok(Explained {
                denial: Some(denial),
                resolved_model: call.model.to_owned(),
                identity: None,
                steps,
            });
        };
        identity.customer = self.customer(call.customer_id).await?;
        let resolved = decision::resolve_model(&identity, call.model).to_owned();
        let judged = Judged { identity: &identity, params: call.params, required: &self.rules().required_params, now };
        let of_caller = |checked: Checked| {
            let id = checked.scope.map(|scope| id_in(&identity, scope)).unwrap_or_default();
            Step { checked, id, values: BTreeMap::new() }
        };
        let mut steps: Vec<Step> = decision::caller_checks(&judged).map(of_caller).collect();

        let of_caller = steps.len();
        steps.extend(self.explain_model(call, &identity, &resolved, now).await?);
        let mut denial = first_denial(&steps);
        let mut resolved_model = resolved;
        if call.falls_back && spent_model(denial.as_ref()) {
            for model in fallbacks_of(&identity, &resolved_model).to_vec() {
                let asked = Call { model: &model, ..call.clone() };
                let instead = self.explain_model(&asked, &identity, &model, now).await?;
                if first_denial(&instead).is_none() {
                    steps.truncate(of_caller);
                    steps.extend(instead);
                    (denial, resolved_model) = (None, model);
                    break;
                }
            }
        }
        Ok(Explained { denial, resolved_model, identity: Some(identity), steps })
    }

    /// The checks of a model that somebody asks for.
    pub(super) async fn explain_model(
        &self,
        call: &Call<'_>,
        identity: &Identity,
        resolved: &str,
        now: Timestamp,
    ) -> Result<Vec<Step>, StoreError> {
        let of_model = |checked: Checked| {
            let id = checked.scope.map(|scope| id_in(identity, scope)).unwrap_or_default();
            Step { checked, id, values: BTreeMap::from([("model", resolved.to_owned())]) }
        };
        let prices = self.prices.load();
        let offers = prices.offers(resolved, call.model, now);
        let price = price_state(&offers);
        let asked = AskedModel { name: resolved, groups: prices.groups_of(resolved), price };
        let checks = decision::model_checks(identity, &asked, self.rules().prices);
        let mut steps: Vec<Step> = checks.map(of_model).collect();

        let costs = self.estimated_costs(&offers, call, (identity, resolved), now);
        let scopes = self.scope_budgets.load();
        let providers = prices.providers(resolved, &offers);
        let mut lines = identity.lines(Models::Called(resolved), self.rules().user_budget_on_team_keys);
        scopes.join(&mut lines, || scopes_of(call, identity, &providers, resolved));
        self.estimate(&mut lines, costs);
        self.tighten(&mut lines, resolved, now);
        let (budgets, rates) = self.all_standings(&lines, now).await?;
        let budgets_apply = price != PriceState::Zero;
        let binding = lines.iter().filter(|line| line.budget_binds);
        let binding: Vec<&BudgetStanding> =
            binding.filter_map(|line| budgets.iter().find(|standing| standing.account == *line.account)).collect();
        // There is room as long as one provider has some.
        let with_providers = binding.iter().filter(|of| of.account.scope() == Scope::Provider);
        let full = with_providers.filter(|standing| standing.denies()).count();
        let every_provider_is_full = full > 0 && full == providers.len();
        let decisive = |of: &BudgetStanding| of.account.scope() != Scope::Provider || every_provider_is_full;
        steps.extend(binding.into_iter().map(|of| budget_step(of, budgets_apply, decisive(of))));
        let need = call.estimate.tokens(self.rules().ledger.counted_tokens);
        steps.extend(rates.iter().map(|standing| rate_step(standing, need, call.reserve.is_some())));
        Ok(steps)
    }
}

/// Why a call with these steps is denied.
pub(super) fn first_denial(steps: &[Step]) -> Option<Denial> {
    steps.iter().find_map(|step| step.checked.clone().verdict().err())
}

/// Which one of a scope a caller's checks look at.
fn id_in(identity: &Identity, scope: Scope) -> String {
    let id = match scope {
        Scope::Key => identity.key.id().map(|id| id.to_string()),
        Scope::Team => identity.team.as_ref().map(|team| team.team_id.to_string()),
        Scope::User => identity.user.as_ref().map(|user| user.user_id.to_string()),
        Scope::Organization => identity.organization_id().map(ToString::to_string),
        Scope::Customer => identity.customer.as_ref().map(|customer| customer.customer_id.to_string()),
        _ => None,
    };
    id.unwrap_or_default()
}

/// A budget that has no room, and is not decisive, is told and does not deny.
fn budget_step(standing: &BudgetStanding, applies: bool, is_decisive: bool) -> Step {
    let BudgetStanding { account, budget, spent, reserved, mode, estimate, .. } = standing;
    let mut values = BTreeMap::from([
        ("spend", spent.to_string()),
        ("reserved", reserved.to_string()),
        ("estimate", estimate.to_string()),
    ]);
    values.extend(budget.max.map(|max| ("max_budget", max.to_string())));
    values.extend(mode.shadow.then(|| ("shadow", "true".to_owned())));
    values.extend((applies && standing.would_deny()).then(|| ("would_deny", "true".to_owned())));
    let finding = match budget.max {
        None => Finding::DoesNotApply,
        Some(_) if !applies => Finding::DoesNotApply,
        Some(_) if !standing.denies() => Finding::Passes,
        Some(_) if !is_decisive => {
            values.insert("exhausted", "true".to_owned());
            Finding::Passes
        }
        Some(_) => Finding::Fails(standing.in_words()),
    };
    let checked = Checked { reason: DenyReason::BudgetExceeded, scope: Some(account.scope()), finding };
    Step { checked, id: account.object_id(), values }
}

fn rate_step(standing: &RateStanding, need: TokenNeed, reserve: bool) -> Step {
    let mut values = BTreeMap::from([
        ("kind", standing.kind.name().to_owned()),
        ("limit", standing.limit.to_string()),
        ("remaining", standing.remaining.to_string()),
    ]);
    values.extend(standing.relaxed.then(|| ("relaxed", "true".to_owned())));
    let admits = RateCounts::fits(standing, need, reserve);
    let finding = if admits { Finding::Passes } else { Finding::Fails(standing.in_words()) };
    let checked = Checked { reason: DenyReason::RateLimited, scope: Some(standing.account.scope()), finding };
    Step { checked, id: standing.account.object_id(), values }
}
