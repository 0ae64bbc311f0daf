//! Recording: booking what calls used, with a reservation or without.

use std::sync::Arc;

use super::batcher::{Booking, rate_tokens};
use super::learned::Used;
use super::route::{Route, closed};
use super::shared::tell;
use super::standing::BudgetStanding;
use super::trouble::is_trouble;
use super::{BookingError, Gate};
use crate::domain::account::{AccountId, Line, Scope};
use crate::domain::clock::Timestamp;
use crate::domain::fault::Violation;
use crate::domain::identity::{KeyFacts, Models, Payer};
use crate::domain::ids::{CustomerId, OrganizationId, check_id};
use crate::domain::limit::Budget;
use crate::domain::models::ModelList;
use crate::domain::money::Usd;
use crate::domain::scope_budget::CallScopes;
use crate::domain::secret::KeyHash;
use crate::domain::ticket::Ticket;
use crate::domain::usage::{self, AgeRule, Costing, CostingError, Event, UNKNOWN_PROVIDER, Usage, UsageStatus};
use crate::shared_counts::Told;
use crate::store::{Eviction, Outcome, StoreError};

/// Who reports usage.
#[derive(Clone, Debug)]
pub struct Reporter {
    /// The caller, as tickets name it.
    pub tag: u64,
    /// The caller, as events name it.
    pub name: String,
    /// Whether it may settle what others reserved.
    pub settles_all: bool,
    /// Whether a cost that it tells is believed.
    pub believes_cost: bool,
    /// Whether it may record events of any age.
    pub imports: bool,
}

/// What is reported about one call.
#[derive(Clone, Debug)]
pub struct Report {
    /// The usage.
    pub usage: Usage,
    /// The key that called; `None` if the reservation says it.
    pub key: Option<KeyHash>,
    /// The reservation's id, or nothing.
    pub reservation_id: String,
}

/// Why a report was not booked.
#[derive(Debug)]
pub enum RecordError {
    /// Bursar never gave this reservation to this caller.
    ReservationUnknown,
    /// No key has, or had, this hash.
    KeyUnknown,
    /// A value is out of bounds.
    Invalid(Violation),
    /// The cost can't be worked out.
    NotCosted(CostingError),
    /// Another event has its request id. What tells this one from it.
    Conflict(String),
    /// The database does not answer.
    Store(StoreError),
    /// The event could not be written.
    Booking(BookingError),
}

impl From<StoreError> for RecordError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// A booked report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// What is booked.
    pub cost: Usd,
    /// Whether it had been booked before.
    pub duplicate: bool,
    /// Whether its reservation no longer counted.
    pub late: bool,
}

/// A settled reservation.
#[derive(Debug)]
pub struct Settled {
    /// What was booked.
    pub recorded: Recorded,
    /// By how much that is more than the budget set aside that set aside the least.
    pub overrun: Option<Usd>,
    /// The event's id.
    pub request_id: String,
    /// The budgets that bind the key, after booking.
    pub budgets: Vec<BudgetStanding>,
}

/// What a call teaches once it is booked.
enum Lesson {
    /// What such calls use.
    Used(Used),
    /// That its model has trouble.
    Trouble(Box<str>),
}

/// A report on its way to the batcher.
struct Prepared {
    booking: Booking,
    key: Arc<KeyFacts>,
    late: bool,
    /// The least that a budget set aside for the call, if one did.
    held: Option<Usd>,
    /// What it teaches, if anybody wants to know.
    lesson: Option<Lesson>,
}

impl Gate {
    /// Books what an authorised call used, and frees its reservation.
    ///
    /// # Errors
    /// [`RecordError`]; the reservation then stays as it was.
    pub async fn settle(
        &self,
        reservation_id: &str,
        usage: Usage,
        reporter: &Reporter,
        now: Timestamp,
    ) -> Result<Settled, RecordError> {
        let ticket = self.open(reservation_id, reporter).ok_or(RecordError::ReservationUnknown)?;
        let report = Report { usage, key: None, reservation_id: reservation_id.to_owned() };
        let prepared = self.prepare(report, Some(ticket), reporter, now).await?;
        let request_id = prepared.booking.event.usage.request_id.clone();
        let model = prepared.booking.event.usage.model.clone();
        let customer_id = prepared.booking.event.usage.customer_id.clone();
        let Prepared { booking, key, late, held, lesson } = prepared;
        let fingerprint = booking.event.fingerprint.clone();
        let introduced = introduced(std::slice::from_ref(&booking));
        let outcome = self.batcher.book(booking).await;
        self.directory().evict(&introduced);
        let recorded = recorded(outcome, late, fingerprint)?;
        self.learn(&recorded, lesson, now);
        let overrun = held.map(|held| recorded.cost.saturating_less(held)).filter(|more| *more > Usd::ZERO);
        let budgets = self.budgets_of(&key, &model, &customer_id, now).await?;
        Ok(Settled { recorded, overrun, request_id, budgets })
    }

    /// Books reports, each by itself; the results are in their order.
    pub async fn record(
        &self,
        reports: Vec<Report>,
        reporter: &Reporter,
        now: Timestamp,
    ) -> Vec<Result<Recorded, RecordError>> {
        let mut bookings = Vec::with_capacity(reports.len());
        let mut prepared = Vec::with_capacity(reports.len());
        for report in reports {
            let ticket = self.open(&report.reservation_id, reporter);
            match self.prepare(report, ticket, reporter, now).await {
                Ok(Prepared { booking, late, lesson, .. }) => {
                    prepared.push(Ok((late, booking.event.fingerprint.clone(), lesson)));
                    bookings.push(booking);
                }
                Err(error) => prepared.push(Err(error)),
            }
        }
        let introduced = introduced(&bookings);
        let mut outcomes = self.batcher.book_all(bookings).await.into_iter();
        self.directory().evict(&introduced);
        prepared
            .into_iter()
            .map(|prepared| {
                let (late, fingerprint, lesson) = prepared?;
                let outcome = outcomes.next().unwrap_or(Err(BookingError::Broken("an outcome is missing".to_owned())));
                let recorded = recorded(outcome, late, fingerprint)?;
                self.learn(&recorded, lesson, now);
                Ok(recorded)
            })
            .collect()
    }

    /// Learns from a call that was booked, once.
    fn learn(&self, recorded: &Recorded, lesson: Option<Lesson>, now: Timestamp) {
        match lesson.filter(|_| !recorded.duplicate) {
            Some(Lesson::Used(used)) => self.learned.observe(used, now),
            Some(Lesson::Trouble(model)) => self.trouble.observe(model, now),
            None => {}
        }
    }

    /// What a call teaches that anybody wants to know.
    fn lesson_of(&self, usage: &Usage, key: &KeyFacts) -> Option<Lesson> {
        let model = || Box::from(usage.model.as_str());
        if is_trouble(usage) {
            return Some(Lesson::Trouble(model()));
        }
        let teaches = usage.status == UsageStatus::Success && self.budget_modes.load().learn();
        teaches.then(|| Lesson::Used(Used { payer: key.payer(), model: model(), tokens: usage.counts.completion }))
    }

    /// Frees the reservation of a call that was not made. Says whether it was
    /// live.
    ///
    /// # Errors
    /// [`RecordError`] if the database is needed and fails.
    pub async fn release(
        &self,
        reservation_id: &str,
        reporter: &Reporter,
        now: Timestamp,
    ) -> Result<bool, RecordError> {
        let ticket = self.open(reservation_id, reporter).ok_or(RecordError::ReservationUnknown)?;
        if self.ledger.release(ticket.reservation, now) {
            tell(self.shared.as_ref(), || Told::Released { id: ticket.reservation });
            return Ok(true);
        }
        // Boxed, because it seldom happens and would make every call large.
        Box::pin(self.release_elsewhere(&ticket, now)).await
    }

    async fn release_elsewhere(&self, ticket: &Ticket, now: Timestamp) -> Result<bool, RecordError> {
        if !self.lives_elsewhere(ticket, now) {
            return Ok(false);
        }
        let (_, mut route) = self.route_of(&ticket.payer, &ticket.model, now).await?;
        route.accounts.extend(self.held_beside(ticket).await?);
        let windows = self.windows_of(ticket, &route.accounts);
        self.batcher.close(closed(ticket, &windows)).await.map_err(RecordError::Booking)
    }

    pub(super) fn open(&self, reservation_id: &str, reporter: &Reporter) -> Option<Ticket> {
        let ticket = Ticket::open(reservation_id, &self.tickets)?;
        (reporter.settles_all || ticket.caller == reporter.tag).then_some(ticket)
    }

    async fn prepare(
        &self,
        report: Report,
        ticket: Option<Ticket>,
        reporter: &Reporter,
        now: Timestamp,
    ) -> Result<Prepared, RecordError> {
        let Report { mut usage, key, reservation_id } = report;
        if !reporter.believes_cost {
            // What is not in the price list is a part of the cost as it is told.
            usage.additional_cost = None;
        }
        // A call that has ended has begun.
        let (field, told) = match usage.started_at {
            None => ("end_time", usage.ended_at.map(|end| end.min(now))),
            start => ("start_time", start),
        };
        let started_at = told.unwrap_or(now);
        let max_age_seconds = (!reporter.imports).then_some(self.rules().max_event_age_seconds);
        AgeRule { now, max_age_seconds }.check(started_at, field).map_err(RecordError::Invalid)?;
        if let Some(ticket) = &ticket {
            usage.model.clone_from(&ticket.model);
            usage.model_group.clone_from(&ticket.model_group);
            if usage.request_id.is_empty() {
                usage.request_id.clone_from(&reservation_id);
            }
            if !ticket.customer_id.is_empty() {
                usage.customer_id.clone_from(&ticket.customer_id);
            }
        }
        if usage.model_group.is_empty() {
            usage.model_group.clone_from(&usage.model);
        }
        let costing = self.cost(&usage, reporter, started_at)?;
        // Before the reservation begins to settle: what fails now leaves it alone.
        let customer = self.customer(&usage.customer_id).await?;
        let (key, route) = match (&ticket, key) {
            (Some(ticket), _) => self.route_by_ticket(ticket, costing.cost, now).await?,
            (None, Some(hash)) => {
                let models = Models::Used { model: &usage.model, group: &usage.model_group };
                let (key, mut route) = self.route_by_hash(&hash, models, now).await?;
                route.late = !reservation_id.is_empty();
                (key, route)
            }
            (None, None) => return Err(RecordError::ReservationUnknown),
        };
        let Route { mut accounts, mut windows, settles, mut closes, late, held } = route;
        let mut shared = self.shared_accounts(&usage, &costing.provider, &key);
        let models = match settles {
            // The model's account is the one that was reserved in.
            Some(_) => Models::None,
            None => Models::Used { model: &usage.model, group: &usage.model_group },
        };
        let of_customer = customer.iter().flat_map(|customer| customer.lines(models));
        shared.extend(of_customer.map(|line| (line.account.clone(), *line.budget)));
        // What was set aside for the call it pays, but for the providers that it
        // did not go to.
        accounts
            .retain(|(account, _)| account.scope() != Scope::Provider && shared.iter().all(|(of, _)| of != account));
        if let Some(ticket) = ticket.filter(|_| closes.is_some()) {
            windows.extend(self.windows_of(&ticket, &shared));
        }
        accounts.extend(shared);
        let lesson = self.lesson_of(&usage, &key);
        let event = event(usage, &key, organization_of(&accounts), costing, started_at, reporter);
        // One whose name could not be asked for is not made.
        let introduces = customer.is_some_and(|of| !of.is_known && check_id(of.customer_id.as_str()).is_ok());
        if let Some(closed) = &mut closes {
            closed.tokens = Some(rate_tokens(&event, self.rules().ledger.counted_tokens));
        }
        let booking = Booking { event, accounts, windows, settles, closes, introduces };
        Ok(Prepared { booking, key, late, held, lesson })
    }

    /// The accounts that an event shares with those of other keys.
    fn shared_accounts(&self, usage: &Usage, provider: &str, key: &KeyFacts) -> Vec<(AccountId, Budget)> {
        let budgets = self.scope_budgets.load();
        if budgets.is_empty() {
            return Vec::new();
        }
        let tags = usage.tags.iter().map(String::as_str).chain(key.tags.iter().map(AsRef::as_ref));
        let models = [usage.model_group.as_str(), usage.model.as_str()];
        let scopes = CallScopes { tags: tags.collect(), providers: &[provider], models };
        budgets.of_call(scopes).into_iter().cloned().collect()
    }

    fn cost(&self, usage: &Usage, reporter: &Reporter, at: Timestamp) -> Result<Costing, RecordError> {
        let prices = self.prices();
        let price = prices.find_for(usage, at);
        let costing = usage::cost(usage, price, reporter.believes_cost, at, &self.rules().costs);
        let mut costing = costing.map_err(RecordError::NotCosted)?;
        if costing.provider == UNKNOWN_PROVIDER {
            // As Authorize knows it.
            let offers = prices.offers(&usage.model, &usage.model_group, at);
            if let [only] = prices.providers(&usage.model, &offers)[..] {
                only.clone_into(&mut costing.provider);
            }
        }
        Ok(costing)
    }

    /// The budgets that bind whoever called, if it is still there.
    async fn budgets_of(
        &self,
        key: &KeyFacts,
        model: &str,
        customer_id: &str,
        now: Timestamp,
    ) -> Result<Vec<BudgetStanding>, RecordError> {
        let identity = match (key.hash(), key.payer()) {
            (Some(hash), _) => self.directory().find_by_any(&hash, now).await?,
            (None, Payer::Principal(principal)) => {
                Some(self.directory().principal(principal, ModelList::default(), now).await?)
            }
            (None, Payer::Key(_)) => None,
        };
        let Some(mut identity) = identity else { return Ok(Vec::new()) };
        identity.customer = self.customer(customer_id).await?;
        let mut lines = self.binding_lines(&identity, Models::Called(model));
        lines.retain(Line::limits_money);
        Ok(self.standings(&lines, now).await?.0)
    }
}

/// The customers that these make known.
fn introduced(bookings: &[Booking]) -> Vec<Eviction> {
    let new = bookings.iter().filter(|booking| booking.introduces);
    new.map(|booking| Eviction::Customer(CustomerId::stored(booking.event.usage.customer_id.as_str()))).collect()
}

/// The organization that a call counts for: the one whose account it moves.
fn organization_of(accounts: &[(AccountId, Budget)]) -> Option<OrganizationId> {
    let found = accounts.iter().find(|(account, _)| account.scope() == Scope::Organization);
    found.map(|(account, _)| OrganizationId::stored(account.name()))
}

fn event(
    mut usage: Usage,
    key: &KeyFacts,
    organization_id: Option<OrganizationId>,
    costing: Costing,
    started_at: Timestamp,
    reporter: &Reporter,
) -> Event {
    let fingerprint = usage.fingerprint(&key.payer(), reporter.believes_cost);
    for tag in &key.tags {
        if !usage.tags.iter().any(|known| **known == **tag) {
            usage.tags.push(tag.to_string());
        }
    }
    Event {
        fingerprint,
        key_id: key.id(),
        user_id: key.user_id.clone(),
        team_id: key.team_id.clone(),
        organization_id,
        costing,
        started_at,
        ended_at: usage.ended_at.unwrap_or(started_at),
        recorded_at: started_at,
        reporter: reporter.name.clone(),
        postings: Vec::new(),
        usage,
    }
}

fn recorded(outcome: Result<Outcome, BookingError>, late: bool, fingerprint: String) -> Result<Recorded, RecordError> {
    match outcome {
        Ok(Outcome::Recorded { cost }) => Ok(Recorded { cost, duplicate: false, late }),
        Ok(Outcome::Duplicate { cost }) => Ok(Recorded { cost, duplicate: true, late: false }),
        Ok(Outcome::Conflict { .. }) => Err(RecordError::Conflict(fingerprint)),
        Err(error) => Err(RecordError::Booking(error)),
    }
}
