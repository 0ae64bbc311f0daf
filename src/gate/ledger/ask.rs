//! What callers ask the ledger, and what it answers.

use std::sync::Arc;

use uuid::Uuid;

use super::MissingWindow;
use super::reservation::{NewReservation, Reservation};
use crate::domain::account::{AccountId, Line};
use crate::domain::clock::Timestamp;
use crate::domain::decision::Denial;
use crate::domain::identity::KeyFacts;
use crate::domain::money::Usd;
use crate::domain::shared_counts::Counting;
use crate::domain::window::Window;
use crate::gate::rates::TokenNeed;
use crate::gate::standing::{BudgetStanding, RateStanding};

/// What a caller asks the ledger.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The accounts that the call touches, in the order of the checks.
    pub lines: &'a [Line<'a>],
    /// Whether budgets apply: not to models that cost nothing.
    pub budgets_apply: bool,
    /// The tokens that it is estimated to use.
    pub tokens: TokenNeed,
    /// What to reserve.
    pub reserve: Option<&'a Arc<NewReservation>>,
    /// By whom rates are counted.
    pub counting: Counting,
}

/// What the ledger answers.
#[derive(Debug)]
pub enum Answer {
    /// The call may be made.
    Allowed {
        /// What was reserved. While it is tentative the caller must wait for
        /// the batcher before it may rely on it.
        reservation: Option<(Reservation, Grant)>,
        /// The budgets that bind, after this decision.
        budgets: Vec<BudgetStanding>,
        /// The rate limits that bind, after this decision.
        rates: Vec<RateStanding>,
        /// Room that is held in advance runs short.
        runs_short: bool,
    },
    /// It may not; nothing was consumed.
    Denied {
        /// Why.
        denial: Denial,
        /// The budgets that bind, failing ones first.
        budgets: Vec<BudgetStanding>,
        /// The rate limits that bind, failing ones first.
        rates: Vec<RateStanding>,
        /// When it may be worth asking again.
        retry_at: Option<Timestamp>,
    },
    /// The caller used this request id for another request.
    RequestIdReused,
    /// Something must be read first.
    Missing(Missing),
}

/// What must be read before anything is judged.
#[derive(Debug, Default)]
pub struct Missing {
    /// What accounts spent in windows.
    pub windows: Vec<MissingWindow>,
    /// The tokens that accounts used today.
    pub days: Vec<AccountId>,
}

impl Missing {
    /// Whether everything is there.
    pub const fn is_empty(&self) -> bool {
        self.windows.is_empty() && self.days.is_empty()
    }
}

/// What is to be added to a live reservation.
#[derive(Clone, Copy, Debug)]
pub struct Extension<'a> {
    /// The reservation.
    pub reservation: Uuid,
    /// Names what is added.
    pub id: Uuid,
    /// How much.
    pub more: Usd,
    /// When it expires; never before it would.
    pub until: Timestamp,
    /// Its accounts with their budgets, as they are now.
    pub lines: &'a [Line<'a>],
}

/// What became of it.
#[derive(Debug)]
pub enum Extending {
    /// It is set aside; while it is tentative, it is not to be relied on.
    Added(Grant),
    /// It does not fit; nothing has changed.
    Denied {
        /// Why.
        denial: Denial,
        /// The budgets that hold the reservation, failing ones first.
        budgets: Vec<BudgetStanding>,
        /// When it may be worth asking again.
        retry_at: Option<Timestamp>,
    },
    /// The reservation is not live here.
    Gone,
    /// Something must be read first.
    Missing(Missing),
}

/// Whether a reservation may be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Room for it is held in the database.
    Held,
    /// It waits for room.
    Tentative,
}

/// What became of an attempt to settle.
#[derive(Debug)]
pub enum Settling {
    /// The reservation is live.
    Live {
        /// The key that called, as it was when it was authorised.
        key: Arc<KeyFacts>,
        /// The least that an account holds for it, if any holds anything.
        held: Option<Usd>,
        /// The windows that its cost belongs to.
        windows: Vec<(AccountId, Window)>,
    },
    /// It is not in memory: settled, released, expired, or of another run.
    Gone,
}
