//! Extending: more room, or more time, for a call that goes on.

use super::Gate;
use super::authorize::{ATTEMPTS, Estimate, price_state};
use super::batcher::BookingError;
use super::ledger::{Extending, Extension, Grant, NewReservation};
use super::record::Reporter;
use super::shared::tell;
use super::standing::BudgetStanding;
use crate::domain::account::Line;
use crate::domain::clock::Timestamp;
use crate::domain::decision::{self, AskedModel, Denial, Judged, RequiredParams};
use crate::domain::identity::{Identity, Models, Payer};
use crate::domain::ids::new_uuid;
use crate::domain::models::ModelList;
use crate::domain::money::Usd;
use crate::domain::ticket::Ticket;
use crate::shared_counts::Told;
use crate::store::StoreError;

/// What is asked for beside what a reservation has.
#[derive(Clone, Copy, Debug, Default)]
pub struct More {
    /// In dollars; wins over tokens.
    pub cost: Option<Usd>,
    /// Output tokens.
    pub output_tokens: Option<i64>,
    /// How long it lives from now on, in seconds; `None`: as long as it would.
    pub seconds: Option<i64>,
}

/// A reservation that was extended.
#[derive(Debug)]
pub struct Extended {
    /// When it expires.
    pub expires_at: Timestamp,
    /// The budgets that bind the call.
    pub budgets: Vec<BudgetStanding>,
}

/// Why a reservation was not extended; it is as it was.
#[derive(Debug)]
pub enum ExtendError {
    /// Bursar never gave this reservation to this caller.
    ReservationUnknown,
    /// It expired, was settled or released, or another run has it in memory.
    NotLive,
    /// The call would be denied now.
    Denied(Denial),
    /// It does not fit a budget, which is the first of these.
    NoRoom {
        /// In words.
        denial: Denial,
        /// How the budgets stand.
        budgets: Vec<BudgetStanding>,
        /// When it may be worth asking again.
        retry_at: Option<Timestamp>,
    },
    /// The database does not answer.
    Store(StoreError),
    /// Room could not be held.
    Booking(BookingError),
}

impl From<StoreError> for ExtendError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Gate {
    /// Extends a live reservation, or leaves it as it is.
    ///
    /// # Errors
    /// [`ExtendError`].
    pub async fn extend(
        &self,
        reservation_id: &str,
        more: More,
        reporter: &Reporter,
        now: Timestamp,
    ) -> Result<Extended, ExtendError> {
        let ticket = self.open(reservation_id, reporter).ok_or(ExtendError::ReservationUnknown)?;
        let asked = self.ledger.asked(ticket.reservation, now).ok_or(ExtendError::NotLive)?;
        let identity = self.caller_of(&ticket, &asked, now).await?;
        let judged = Judged { identity: &identity, params: &[], required: &RequiredParams::default(), now };
        decision::check_caller(&judged).map_err(ExtendError::Denied)?;
        let estimate = Estimate { cost: more.cost, input_tokens: None, max_output_tokens: more.output_tokens };
        let prices = self.prices.load();
        let offers = prices.offers(&asked.model, &asked.model_group, now);
        let groups = prices.groups_of(&asked.model);
        let model = AskedModel { name: &asked.model, groups, price: price_state(&offers) };
        decision::check_model(&identity, &model, self.rules().prices).map_err(ExtendError::Denied)?;
        let cost = match (more.cost, more.output_tokens) {
            (None, None) => Usd::ZERO,
            _ => self.cost_of(&offers, &estimate, now),
        };
        let until = more.seconds.map_or(now, |seconds| now.plus_seconds(seconds));
        let scopes = self.scope_budgets.load();
        let mut lines = self.binding_lines(&identity, Models::Called(&asked.model));
        let shared = scopes.iter().map(|(account, budget)| Line::of_money(account, budget));
        let mut all: Vec<Line<'_>> = lines.iter().copied().chain(shared).collect();
        self.set_modes(&mut all);
        let mut attempts = 0;
        while attempts < ATTEMPTS {
            let id = new_uuid();
            let extension = Extension { reservation: ticket.reservation, id, more: cost, until, lines: &all };
            let is_held = match self.ledger.extend(&extension, now) {
                Extending::Gone => return Err(ExtendError::NotLive),
                Extending::Missing(missing) => {
                    self.ledger.load(&missing, &self.store, self.holder, now).await?;
                    continue;
                }
                Extending::Denied { denial, budgets, retry_at } => {
                    return Err(ExtendError::NoRoom { denial, budgets, retry_at });
                }
                Extending::Added(Grant::Held) => true,
                Extending::Added(Grant::Tentative) => self.batcher.hold(id).await.map_err(ExtendError::Booking)?,
            };
            if is_held {
                let expires_at = self.ledger.join(ticket.reservation, id, now).ok_or(ExtendError::NotLive)?;
                tell(self.shared.as_ref(), || Told::Extended { id: ticket.reservation, expires_at, now });
                lines.retain(Line::limits_money);
                let (budgets, _) = self.standings(&lines, now).await?;
                return Ok(Extended { expires_at, budgets });
            }
            attempts += 1;
        }
        Err(ExtendError::Booking(BookingError::taken_again_and_again()))
    }

    /// Whose call it is, as they are now.
    async fn caller_of(
        &self,
        ticket: &Ticket,
        asked: &NewReservation,
        now: Timestamp,
    ) -> Result<Identity, ExtendError> {
        let found = match (&ticket.payer, asked.key.hash()) {
            (Payer::Principal(principal), _) => {
                Some(self.directory().principal(principal.clone(), ModelList::default(), now).await?)
            }
            (Payer::Key(_), Some(hash)) => self.directory().find_by_any(&hash, now).await?,
            (Payer::Key(_), None) => None,
        };
        let mut identity = found.ok_or_else(|| ExtendError::Denied(Denial::unknown_key()))?;
        identity.customer = self.customer(&asked.customer_id).await?;
        Ok(identity)
    }
}
