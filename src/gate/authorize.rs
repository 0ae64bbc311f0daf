//! Authorizing: may this key call this model now?

use std::sync::Arc;

use super::exhausted::Exhausted;
use super::fall_back::spent_model;
use super::ledger::{Answer, Ask, Grant, NewReservation, Reservation};
use super::rates::{RateDenial, TokenNeed};
use super::shared::{Counted, Together};
use super::standing::{BudgetStanding, RateStanding};
use super::{BookingError, Gate};
use crate::domain::account::{Line, Scope};
use crate::domain::clock::Timestamp;
use crate::domain::customer::CustomerFacts;
use crate::domain::decision::{self, AskedModel, Denial, Judged, PriceState};
use crate::domain::identity::{Identity, Models};
use crate::domain::ids::{CustomerId, new_uuid};
use crate::domain::limit::CountedTokens;
use crate::domain::money::Usd;
use crate::domain::pricing::{Offers, Price, cost};
use crate::domain::scope_budget::{CallScopes, ScopeBudgets};
use crate::domain::secret::KeyHash;
use crate::domain::shared_counts::Counting;
use crate::domain::ticket::{Held, Ticket};
use crate::store::StoreError;

/// How often a call asks again after its reservation found no room that was
/// there when it was checked.
pub(super) const ATTEMPTS: u32 = 4;

/// What a caller says the call may cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Estimate {
    /// In dollars; wins over tokens.
    pub cost: Option<Usd>,
    /// Input tokens.
    pub input_tokens: Option<i64>,
    /// The most output tokens.
    pub max_output_tokens: Option<i64>,
}

impl Estimate {
    /// What rate limits must have room for.
    pub(super) fn tokens(&self, counted: CountedTokens) -> TokenNeed {
        let (input, output) = (self.input_tokens.unwrap_or(0), self.max_output_tokens);
        match counted {
            CountedTokens::Total => TokenNeed { input, output },
            CountedTokens::Input => TokenNeed { input, output: Some(0) },
            CountedTokens::Output => TokenNeed { input: 0, output },
        }
    }
}

/// Who wants to make a model call.
#[derive(Clone, Debug)]
pub enum Calling {
    /// A key, by its hash.
    Key(KeyHash),
    /// Somebody with a token, who is known already.
    Known(Box<Identity>),
}

/// A model call that somebody wants to make.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// Who asks.
    pub caller: u64,
    /// Who calls.
    pub calling: &'a Calling,
    /// The model that is asked for.
    pub model: &'a str,
    /// The end user on whose behalf, or nothing.
    pub customer_id: &'a str,
    /// Its labels, without those of the key.
    pub tags: &'a [String],
    /// The names of the parameters that it has.
    pub params: &'a [String],
    /// What it may cost.
    pub estimate: Estimate,
    /// The caller's id for the request, if money is to be set aside.
    pub reserve: Option<&'a str>,
    /// Whether another model may be called if the key's budget for this one is
    /// spent.
    pub falls_back: bool,
    /// A hash of the request.
    pub payload: u64,
}

/// The answer to a call.
#[derive(Debug)]
pub struct Decision {
    /// Why not, if not.
    pub denial: Option<Denial>,
    /// The model to call.
    pub resolved_model: String,
    /// Who calls, if the key was found.
    pub identity: Option<Identity>,
    /// The budgets that bind, failing ones first.
    pub budgets: Vec<BudgetStanding>,
    /// The rate limits that bind, failing ones first.
    pub rates: Vec<RateStanding>,
    /// The reservation's id, and when it expires.
    pub reservation: Option<(String, Timestamp)>,
    /// When it may be worth asking again.
    pub retry_at: Option<Timestamp>,
    /// The model's providers whose budgets have no room.
    pub exhausted_providers: Vec<String>,
    /// What could be called instead, if the key's budget for the model is spent.
    pub fallback_models: Vec<String>,
}

impl Decision {
    fn denied(denial: Denial, resolved_model: &str, identity: Option<Identity>) -> Self {
        Self {
            denial: Some(denial),
            resolved_model: resolved_model.to_owned(),
            identity,
            budgets: Vec::new(),
            rates: Vec::new(),
            reservation: None,
            retry_at: None,
            exhausted_providers: Vec::new(),
            fallback_models: Vec::new(),
        }
    }
}

/// Why no decision could be made.
#[derive(Debug)]
pub enum AuthorizeError {
    /// The request id was used for another request.
    RequestIdReused,
    /// The database does not answer.
    Store(StoreError),
    /// Room could not be held.
    Booking(BookingError),
}

impl From<StoreError> for AuthorizeError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Gate {
    /// Decides about a call and, if asked for, sets its estimated cost aside.
    ///
    /// # Errors
    /// [`AuthorizeError`] if no decision could be made.
    pub async fn authorize(&self, call: &Call<'_>, now: Timestamp) -> Result<Decision, AuthorizeError> {
        let found = match call.calling {
            Calling::Known(identity) => Some(Identity::clone(identity)),
            Calling::Key(hash) => match self.directory().known(hash, now) {
                Some(identity) => Some(identity),
                // Here and below, what seldom happens is boxed: it would make the
                // future of every call large.
                None => Box::pin(self.directory().find(hash, now)).await?,
            },
        };
        let Some(mut identity) = found else { return Ok(Decision::denied(Denial::unknown_key(), call.model, None)) };
        identity.customer = self.customer(call.customer_id).await?;
        let resolved = decision::resolve_model(&identity, call.model).to_owned();
        let judged = Judged { identity: &identity, params: call.params, required: &self.rules().required_params, now };
        if let Err(denial) = decision::check_caller(&judged) {
            return Ok(Decision::denied(denial, &resolved, Some(identity)));
        }
        let decision = self.decide(call, identity, &resolved, now).await?;
        if spent_model(decision.denial.as_ref()) {
            return Box::pin(self.fall_back(call, decision, now)).await;
        }
        if decision.resolved_model != resolved {
            return Box::pin(self.show_instead(call, decision, now)).await;
        }
        Ok(decision)
    }

    /// Decides about a model that somebody asks for who may come in.
    pub(super) async fn decide(
        &self,
        call: &Call<'_>,
        identity: Identity,
        resolved: &str,
        now: Timestamp,
    ) -> Result<Decision, AuthorizeError> {
        let prices = self.prices.load();
        let offers = prices.offers(resolved, call.model, now);
        let state = price_state(&offers);
        let asked = AskedModel { name: resolved, groups: prices.groups_of(resolved), price: state };
        if let Err(denial) = decision::check_model(&identity, &asked, self.rules().prices) {
            return Ok(Decision::denied(denial, resolved, Some(identity)));
        }
        let costs = self.estimated_costs(&offers, call, (&identity, resolved), now);
        let scopes = self.scope_budgets.load();
        let providers = if scopes.is_empty() { Vec::new() } else { prices.providers(resolved, &offers) };
        let asked = Asked { price: state, costs, scopes: &scopes, providers };
        self.check_limits(call, identity, resolved, asked, now).await
    }

    /// The end user that a call names, heard of or not.
    pub(super) async fn customer(&self, id: &str) -> Result<Option<Arc<CustomerFacts>>, StoreError> {
        if id.is_empty() {
            return Ok(None);
        }
        if let Some(known) = self.directory().known_customer(id) {
            return Ok(Some(known));
        }
        let id = CustomerId::stored(id);
        Box::pin(self.directory().customer(&id)).await.map(Some)
    }

    /// What a call may cost, wherever it is made, and what such calls cost.
    pub(super) fn estimated_costs(
        &self,
        offers: &Offers<'_>,
        call: &Call<'_>,
        (identity, model): (&Identity, &str),
        now: Timestamp,
    ) -> Costs {
        let Estimate { cost, input_tokens, max_output_tokens } = call.estimate;
        if call.reserve.is_none() && cost.is_none() && input_tokens.is_none() && max_output_tokens.is_none() {
            return Costs::default();
        }
        let most = self.cost_of(offers, &call.estimate, now);
        let used = self.learned_output(identity, model).filter(|_| cost.is_none());
        let usual = used.map(|used| {
            let output = max_output_tokens.unwrap_or(self.rules().default_output_tokens).min(used);
            self.cost_of(offers, &Estimate { max_output_tokens: Some(output), ..call.estimate }, now)
        });
        Costs { most, usual: usual.unwrap_or(most) }
    }

    /// The output tokens that calls like this hardly exceed, if that matters to
    /// any budget and enough of them were seen.
    fn learned_output(&self, identity: &Identity, model: &str) -> Option<i64> {
        if !self.budget_modes.load().learn() {
            return None;
        }
        self.learned.high(identity.key.payer(), model)
    }

    /// Tells each budget what the call costs in its eyes.
    pub(super) fn estimate(&self, lines: &mut [Line<'_>], costs: Costs) {
        self.set_modes(lines);
        for line in lines {
            line.estimate = if line.mode.learns { costs.usual } else { costs.most };
        }
    }

    /// What an estimate comes to at the dearest of some prices.
    pub(super) fn cost_of(&self, offers: &Offers<'_>, estimate: &Estimate, now: Timestamp) -> Usd {
        let Estimate { cost: told, input_tokens, max_output_tokens } = *estimate;
        if let Some(told) = told {
            return told;
        }
        let estimates = offers.iter().map(|price| {
            let markup = self.rules().costs.markups.of(price.provider.as_deref().unwrap_or_default());
            let (input, default) = (input_tokens.unwrap_or(0), self.rules().default_output_tokens);
            // What nobody can tell in advance is told by its caller, or unpriced.
            cost::estimate(price, input, max_output_tokens, default, now, &markup).ok().flatten()
        });
        estimates.flatten().max().unwrap_or(self.rules().unpriced_reserve)
    }

    async fn check_limits(
        &self,
        call: &Call<'_>,
        identity: Identity,
        resolved: &str,
        asked: Asked<'_>,
        now: Timestamp,
    ) -> Result<Decision, AuthorizeError> {
        let Asked { price, costs, scopes, mut providers } = asked;
        let mut exhausted = Exhausted::default();
        let tokens = call.estimate.tokens(self.rules().ledger.counted_tokens);
        let mut attempt = 1;
        let mut counting = self.counting_of_call();
        let answer = loop {
            let mut lines = identity.lines(Models::Called(resolved), self.rules().user_budget_on_team_keys);
            scopes.join(&mut lines, || scopes_of(call, &identity, &providers, resolved));
            self.estimate(&mut lines, costs);
            self.tighten(&mut lines, resolved, now);
            let reserve = call
                .reserve
                .map(|request_id| Arc::new(new_reservation(call, request_id, &identity, resolved, exhausted.names())));
            let budgets_apply = price != PriceState::Zero;
            let ask = Ask { lines: &lines, budgets_apply, tokens, reserve: reserve.as_ref(), counting };
            match self.ledger.ask(&ask, now) {
                Answer::Missing(missing) => {
                    Box::pin(self.ledger.load(&missing, &self.store, self.holder, now)).await?;
                }
                Answer::Allowed { reservation, budgets, mut rates, runs_short } => {
                    if runs_short {
                        self.batcher.keep_up();
                    }
                    if let Some((tentative, Grant::Tentative)) = &reservation {
                        let id = tentative.asked.id;
                        if !Box::pin(self.batcher.hold(id)).await.map_err(AuthorizeError::Booking)? {
                            attempt += 1;
                            if attempt > ATTEMPTS {
                                return Err(AuthorizeError::Booking(BookingError::taken_again_and_again()));
                            }
                            continue;
                        }
                    }
                    let reservation = reservation.map(|(reservation, _)| reservation);
                    if counting != Counting::Together {
                        break (None, budgets, rates, reservation, None);
                    }
                    let call = Counted { need: tokens, asked: reserve.as_ref(), reservation: reservation.as_ref() };
                    match Box::pin(self.count_together(&mut rates, call, now)).await {
                        Together::Admitted => break (None, budgets, rates, reservation, None),
                        Together::Refused(RateDenial { denial, retry_at }) => {
                            break (Some(denial), budgets, rates, None, retry_at);
                        }
                        // By this instance's share, from the beginning.
                        Together::Away => counting = self.counting_alone(),
                    }
                }
                Answer::Denied { denial, mut budgets, rates, retry_at } => {
                    let is_full = denial.scope == Some(Scope::Provider);
                    if is_full && providers.len() > 1 && !budgets.is_empty() {
                        // There may be room with another provider.
                        let full = budgets.swap_remove(0);
                        providers.retain(|provider| *provider != full.account.name());
                        exhausted.add(full);
                        continue;
                    }
                    let retry_at = if is_full { exhausted.retry_at(&budgets) } else { retry_at };
                    exhausted.show(&mut budgets, is_full);
                    break (Some(denial), budgets, rates, None, retry_at);
                }
                Answer::RequestIdReused => return Err(AuthorizeError::RequestIdReused),
            }
        };
        let (denial, mut budgets, rates, reservation, retry_at) = answer;
        // A request that is repeated gets the answer that it got.
        let exhausted_providers: Vec<String> = match &reservation {
            Some(reservation) => reservation.asked.exhausted_providers.iter().map(ToString::to_string).collect(),
            None => exhausted.names().iter().map(ToString::to_string).collect(),
        };
        let is_open = |of: &BudgetStanding| {
            of.account.scope() != Scope::Provider || !exhausted_providers.iter().any(|name| name == of.account.name())
        };
        if denial.is_none() {
            budgets.retain(is_open);
        }
        let resolved_model = reservation.as_ref().map_or(resolved, |reservation| &reservation.asked.model).to_owned();
        let reservation = reservation.map(|reservation| (self.ticket(&reservation), reservation.expires_at));
        Ok(Decision {
            denial,
            resolved_model,
            identity: Some(identity),
            budgets,
            rates,
            reservation,
            retry_at,
            exhausted_providers,
            fallback_models: Vec::new(),
        })
    }

    /// The id of a reservation: a ticket that says what was reserved.
    fn ticket(&self, reservation: &Reservation) -> String {
        let asked = &reservation.asked;
        let ticket = Ticket {
            reservation: asked.id,
            caller: asked.caller,
            payer: asked.key.payer(),
            holder: self.holder,
            authorized_at: reservation.authorized_at,
            expires_at: reservation.expires_at,
            held: Held::gather(reservation.holds()),
            model: asked.model.to_string(),
            model_group: asked.model_group.to_string(),
            customer_id: asked.customer_id.to_string(),
        };
        ticket.seal(&self.tickets)
    }
}

/// What a call is estimated to cost.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Costs {
    /// At most.
    most: Usd,
    /// What nearly all such calls cost, and no more than the most.
    usual: Usd,
}

/// What is asked of the limits.
struct Asked<'a> {
    price: PriceState,
    costs: Costs,
    /// The budgets that calls of all keys share.
    scopes: &'a ScopeBudgets,
    /// Who may answer the call.
    providers: Vec<&'a str>,
}

pub(super) fn scopes_of<'a>(
    call: &'a Call<'_>,
    identity: &'a Identity,
    providers: &'a [&'a str],
    resolved: &'a str,
) -> CallScopes<'a> {
    let tags = call.tags.iter().map(String::as_str).chain(identity.key.tags.iter().map(AsRef::as_ref));
    CallScopes { tags: tags.collect(), providers, models: [call.model, resolved] }
}

pub(super) fn price_state(offers: &Offers<'_>) -> PriceState {
    if !offers.is_known() {
        return PriceState::Unknown;
    }
    let state = |price: &Price| if price.is_zero { PriceState::Zero } else { PriceState::Priced };
    offers.iter().map(state).max().unwrap_or(PriceState::Unpriced)
}

fn new_reservation(
    call: &Call<'_>,
    request_id: &str,
    identity: &Identity,
    resolved: &str,
    exhausted_providers: Box<[Box<str>]>,
) -> NewReservation {
    NewReservation {
        exhausted_providers,
        id: new_uuid(),
        caller: call.caller,
        request_id: request_id.into(),
        payload: call.payload,
        key: Arc::clone(&identity.key),
        model: resolved.into(),
        model_group: call.model.into(),
        customer_id: call.customer_id.into(),
    }
}
