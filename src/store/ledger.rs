//! The ledger's one transaction: a batch of events, the accounts and rollups
//! that they move, and what is held for calls in flight.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryResult, QuerySelect, Statement,
};
use uuid::Uuid;

use super::alerts::{self, Grown};
use super::audit::{self, Unwritten};
use super::balances::{Balance, BalanceKey, OPEN_END};
use super::connect::Store;
use super::customers;
use super::dialect::{Bulk, Column};
use super::entity::usage_ids;
use super::error::StoreError;
use super::event_rows::{EventRows, NewRows};
use super::json::word;
use super::lease_clock::Ahead;
use super::leases::{self, HoldWrite, Lease};
use super::open_reservations::{self, Closed, ClosedReservation, Freed};
use super::partitions;
use crate::domain::account::{AccountId, Scope};
use crate::domain::audit::{Author, Change};
use crate::domain::clock::Timestamp;
use crate::domain::limit::Budget;
use crate::domain::money::Usd;
use crate::domain::usage::{CostSource, Event};
use crate::domain::window::Window;

/// A window in which events count, and the budget that it is a window of.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    /// The window.
    pub window: Window,
    /// The budget, with the limit that holds now.
    pub budget: Budget,
}

/// What is written together.
#[derive(Debug, Default)]
pub struct LedgerBatch<'a> {
    /// Events to append; no two have the same id.
    pub events: Vec<&'a Event>,
    /// Where the events' accounts are, by posting.
    pub windows: HashMap<BalanceKey, Counted>,
    /// What this run wants to hold.
    pub holds: Vec<HoldWrite>,
    /// Reservations of other runs that are closed; with an event's id, only if
    /// that event is new.
    pub closed: Vec<(Option<String>, ClosedReservation)>,
    /// The customers of new events that nobody had heard of.
    pub new_customers: HashSet<&'a str>,
    /// The reservations that are open when this run stops, and when they
    /// expire; `None`: it goes on.
    pub leaves: Option<Vec<(Uuid, Timestamp)>>,
}

impl LedgerBatch<'_> {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.holds.is_empty() && self.closed.is_empty() && self.leaves.is_none()
    }
}

/// What became of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was appended.
    Recorded {
        /// What it is booked as.
        cost: Usd,
    },
    /// It was there, with the same content.
    Duplicate {
        /// What it was booked as.
        cost: Usd,
    },
    /// Another event has its id.
    Conflict {
        /// What tells that one from others.
        fingerprint: String,
        /// What that one was booked as.
        cost: Usd,
    },
}

/// An event's outcome, by its id.
pub type Appended = HashMap<String, Outcome>;

/// What a committed batch changed.
#[derive(Debug, Default)]
pub struct BatchOutcome {
    /// What became of each event.
    pub appended: Appended,
    /// The balances that were touched, as they are now.
    pub balances: Vec<(BalanceKey, Balance)>,
    /// What is held by this run now, and by others, for each account of
    /// [`LedgerBatch::holds`].
    pub holds: Vec<(BalanceKey, Lease, Vec<Lease>)>,
    /// Reservations of other runs that were open until now.
    pub closed: HashSet<Uuid>,
    /// Those of them whose holders go on, and count the call.
    pub told_holders: HashSet<Uuid>,
    /// What other runs hold no longer.
    pub freed: Vec<Freed>,
    /// Whether the change feed tells something.
    pub told: bool,
}

impl Store {
    /// Numbers a new run of an instance.
    ///
    /// # Errors
    /// [`StoreError`] if the database fails.
    pub async fn new_holder(&self, now: Timestamp) -> Result<i64, StoreError> {
        let sql = format!("INSERT INTO holders (started_at) VALUES ({}) RETURNING holder", now.micros());
        let statement = Statement::from_string(self.writer().get_database_backend(), sql);
        let row = self.writer().query_one_raw(statement).await?;
        Ok(row.ok_or_else(|| StoreError::Broken("no number for this run".to_owned()))?.try_get("", "holder")?)
    }

    /// Writes a batch. It is durable when this returns. `rows` are those of its
    /// events, if they were worked out before.
    ///
    /// # Errors
    /// [`StoreError`]; then nothing of it has happened, unless the connection
    /// broke while the answer was on its way.
    pub async fn write_batch(
        &self,
        batch: &LedgerBatch<'_>,
        rows: Option<EventRows>,
        holder: i64,
        now: Timestamp,
    ) -> Result<BatchOutcome, StoreError> {
        let transaction = self.begin_raw().await?;
        let instants = batch.events.iter().map(|event| event.started_at);
        partitions::ensure(&transaction, self.partitions(), instants, now).await?;
        let rows = rows.map_or_else(|| EventRows::new(&batch.events), Ok)?;
        let appended = take_ids(&transaction, &batch.events, rows.ids).await?;
        let is_new = |id: &String| matches!(appended.get(id), Some(Outcome::Recorded { .. }));
        let new: Vec<&Event> = batch.events.iter().copied().filter(|event| is_new(&event.usage.request_id)).collect();
        let customers = new.iter().map(|event| event.usage.customer_id.as_str());
        customers::hear_of(&transaction, customers.filter(|id| batch.new_customers.contains(id)), now).await?;
        let (moves, balances) = move_balances(&transaction, batch, &new, now).await?;
        let to_close = batch.closed.iter().filter(|(event, _)| event.as_ref().is_none_or(is_new));
        let to_close: Vec<&ClosedReservation> = to_close.map(|(_, closed)| closed).collect();
        let Closed { now: closed, told: told_holders, freed } =
            open_reservations::close(&transaction, &to_close).await?;
        let holds: Vec<(&HoldWrite, Usd)> = batch.holds.iter().map(|hold| (hold, settled(hold, &appended))).collect();
        let ahead = if holds.is_empty() { Ahead::NONE } else { self.ahead(&transaction, now).await? };
        let holds = leases::write_holds(&transaction, &holds, &balances, holder, (ahead, now)).await?;
        if let Some(left_open) = &batch.leaves {
            open_reservations::leave(&transaction, holder, left_open, now).await?;
        }
        let all_are_new = new.len() == batch.events.len();
        let new_rows = if all_are_new { rows.new } else { NewRows::new(&new)? };
        new_rows.write(&transaction).await?;
        let told = self.tell(&transaction, (batch, &moves, &balances), &new, now).await?;
        transaction.commit().await?;
        let balances = balances.into_iter().collect();
        Ok(BatchOutcome { appended, balances, holds, closed, told_holders, freed, told })
    }
}

impl Store {
    /// Tells of the budgets of which the new events reached a level, and of models
    /// without a price; says whether there are any.
    async fn tell(
        &self,
        transaction: &DatabaseTransaction,
        (batch, moves, balances): (&LedgerBatch<'_>, &Moves, &BTreeMap<BalanceKey, Balance>),
        new: &[&Event],
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let Some(telling) = self.told() else { return Ok(false) };
        let grown = batch.windows.iter().filter_map(|(key, Counted { window, budget })| {
            let (added, balance) = (moves.get(key)?, balances.get(key)?);
            let before = balance.spent.checked_sub(Usd::from_nanos(added.nanos)).unwrap_or(balance.spent);
            Some(Grown { account: &key.0, window: *window, budget, before, after: balance.spent })
        });
        let mut reached = alerts::reached(&telling.rules, grown);
        let unpriced = new.iter().filter(|event| event.costing.source == CostSource::Unpriced);
        let models: BTreeSet<AccountId> =
            unpriced.map(|event| AccountId::stored(Scope::Model, event.usage.model.as_str())).collect();
        let (start, end) = now.utc_day();
        reached.extend(models.iter().map(|model| alerts::unpriced(model, Window { start, end: Some(end) })));
        let told = alerts::tell(transaction, telling, reached, now).await?;
        if told.is_empty() {
            return Ok(false);
        }
        let mut causes: HashMap<&AccountId, &Event> = HashMap::new();
        for event in new {
            causes.extend(event.postings.iter().map(|posting| (&posting.account, *event)));
        }
        let place = |(account, change): (AccountId, Change)| match causes.get(&account) {
            Some(event) => placed(change, account.scope(), event),
            None => change,
        };
        let changes: Vec<Change> = told.into_iter().map(place).collect();
        let author = Author::bursar("ledger");
        let entries: Vec<Unwritten<'_>> =
            changes.iter().map(|change| Unwritten { author: &author, now, change }).collect();
        audit::append(transaction, &entries).await?;
        Ok(true)
    }
}

/// An alert, with the team and the organization that it belongs to: those of the
/// event that caused it, where the account is a part of them.
pub(super) fn placed(change: Change, scope: Scope, event: &Event) -> Change {
    let of_team = matches!(scope, Scope::Key | Scope::KeyWindow | Scope::KeyModel | Scope::Team | Scope::TeamMember);
    let is_of_group = matches!(scope, Scope::Organization | Scope::OrganizationMember);
    let of_organization = is_of_group || (of_team && event.team_id.is_some());
    let change = change.of_team(event.team_id.as_ref().filter(|_| of_team));
    change.of_organization(event.organization_id.as_ref().filter(|_| of_organization))
}

/// Takes the ids of the events that are new, and finds out about the others.
pub(super) async fn take_ids(
    transaction: &DatabaseTransaction,
    events: &[&Event],
    columns: Vec<(&'static str, Column)>,
) -> Result<Appended, StoreError> {
    let insert =
        Bulk { table: "usage_ids", columns, suffix: "ON CONFLICT (request_id) DO NOTHING RETURNING request_id" };
    let mut new = HashSet::new();
    for row in insert.run(transaction).await? {
        new.insert(row.try_get::<String>("", "request_id")?);
    }
    let (new, old): (Vec<&Event>, Vec<&Event>) = events.iter().partition(|event| new.contains(&event.usage.request_id));
    let recorded = |event: &&Event| (event.usage.request_id.clone(), Outcome::Recorded { cost: event.costing.cost });
    let mut appended: Appended = new.iter().map(recorded).collect();
    for chunk in old.chunks(1_000) {
        let rows: Vec<(String, String, i64)> = usage_ids::Entity::find()
            .select_only()
            .columns([usage_ids::Column::RequestId, usage_ids::Column::Fingerprint, usage_ids::Column::CostNanos])
            .filter(usage_ids::Column::RequestId.is_in(chunk.iter().map(|event| event.usage.request_id.as_str())))
            .into_tuple()
            .all(transaction)
            .await?;
        let stored: HashMap<String, (String, i64)> =
            rows.into_iter().map(|(id, fingerprint, cost)| (id, (fingerprint, cost))).collect();
        for event in chunk {
            let outcome = match stored.get(&event.usage.request_id) {
                Some((fingerprint, cost)) if *fingerprint == event.fingerprint => {
                    Outcome::Duplicate { cost: Usd::from_nanos(*cost) }
                }
                Some((fingerprint, cost)) => {
                    Outcome::Conflict { fingerprint: fingerprint.clone(), cost: Usd::from_nanos(*cost) }
                }
                // Gone between the two statements: it was too old to be kept.
                None => Outcome::Conflict { fingerprint: String::new(), cost: Usd::ZERO },
            };
            appended.insert(event.usage.request_id.clone(), outcome);
        }
    }
    Ok(appended)
}

/// Adds the new events to their accounts, in one order for all transactions,
/// and locks the accounts that something is to be held of; returns what was
/// added, and the balances.
pub(super) async fn move_balances(
    transaction: &DatabaseTransaction,
    batch: &LedgerBatch<'_>,
    new: &[&Event],
    now: Timestamp,
) -> Result<(Moves, BTreeMap<BalanceKey, Balance>), StoreError> {
    let mut moves: Moves = BTreeMap::new();
    for event in new {
        let cost = event.costing.cost.nanos();
        for posting in &event.postings {
            let key = (posting.account.clone(), posting.window_start);
            let counted = batch.windows.get(&key).map(|counted| counted.window);
            let window = counted.unwrap_or(Window { start: posting.window_start, end: None });
            moves.entry(key).or_insert(Move::lock(window)).add(cost, now);
            if posting.window_start != Timestamp::EPOCH {
                let life = (posting.account.clone(), Timestamp::EPOCH);
                moves.entry(life).or_insert(Move::lock(Window::LIFETIME)).add(cost, now);
            }
        }
    }
    for hold in &batch.holds {
        moves.entry(hold.key.clone()).or_insert(Move::lock(hold.window));
    }
    let balances = write_balances(transaction, &moves).await?;
    Ok((moves, balances))
}

/// What happens to each account's window.
pub(super) type Moves = BTreeMap<BalanceKey, Move>;

/// Moves that only lock: the windows, and the whole lives of their accounts.
pub(super) fn locks(windows: impl Iterator<Item = (AccountId, Window)>) -> Moves {
    let mut moves = Moves::new();
    for (account, window) in windows {
        moves.entry((account.clone(), Timestamp::EPOCH)).or_insert(Move::lock(Window::LIFETIME));
        moves.entry((account, window.start)).or_insert(Move::lock(window));
    }
    moves
}

/// What happens to an account's window; without an event it is only locked.
pub(super) struct Move {
    window: Window,
    nanos: i64,
    used_at: Timestamp,
}

impl Move {
    const fn lock(window: Window) -> Self {
        Self { window, nanos: 0, used_at: Timestamp::EPOCH }
    }

    const fn add(&mut self, nanos: i64, now: Timestamp) {
        self.nanos = self.nanos.saturating_add(nanos);
        self.used_at = now;
    }
}

/// Adds to balances, in the order of their keys, and returns what they are.
pub(super) async fn write_balances(
    transaction: &DatabaseTransaction,
    moves: &Moves,
) -> Result<BTreeMap<BalanceKey, Balance>, StoreError> {
    let ends = |window: &Window| window.end.map_or(OPEN_END, Timestamp::micros);
    let upsert = Bulk {
        table: "balances",
        columns: vec![
            ("scope", Column::Text(moves.keys().map(|(account, _)| account.scope().as_str().to_owned()).collect())),
            ("name", Column::Text(moves.keys().map(|(account, _)| account.name().to_owned()).collect())),
            ("window_start_at", Column::Number(moves.keys().map(|(_, start)| start.micros()).collect())),
            ("window_end_at", Column::Number(moves.values().map(|moved| ends(&moved.window)).collect())),
            ("spent_nanos", Column::Number(moves.values().map(|moved| moved.nanos).collect())),
            ("revision", Column::Number(vec![1; moves.len()])),
            ("used_at", Column::Number(moves.values().map(|moved| moved.used_at.micros()).collect())),
        ],
        suffix: "ON CONFLICT (scope, name, window_start_at) DO UPDATE SET \
                 spent_nanos = balances.spent_nanos + excluded.spent_nanos, \
                 revision = balances.revision + 1, \
                 used_at = CASE WHEN excluded.used_at > balances.used_at THEN excluded.used_at ELSE balances.used_at END \
                 , window_end_at = CASE WHEN excluded.window_end_at > balances.window_end_at \
                 THEN excluded.window_end_at ELSE balances.window_end_at END \
                 RETURNING scope, name, window_start_at, spent_nanos, revision",
    };
    let rows = upsert.run(transaction).await?;
    rows.iter().map(to_balance).collect()
}

fn to_balance(row: &QueryResult) -> Result<(BalanceKey, Balance), StoreError> {
    let scope: Scope = word(&row.try_get::<String>("", "scope")?)?;
    let account = AccountId::stored(scope, row.try_get::<String>("", "name")?);
    let start = Timestamp::from_micros(row.try_get("", "window_start_at")?);
    let spent = Usd::from_nanos(row.try_get("", "spent_nanos")?);
    Ok(((account, start), Balance { spent, revision: row.try_get("", "revision")? }))
}

/// What leaves a lease because it was booked. A reservation whose event was not
/// booked stays.
fn settled(hold: &HoldWrite, appended: &Appended) -> Usd {
    let booked = |id: &String| !matches!(appended.get(id), None | Some(Outcome::Conflict { .. }));
    let settled = hold.settling.iter().filter(|(id, _)| booked(id));
    settled.fold(Usd::ZERO, |sum, (_, amount)| sum.saturating_add(*amount))
}
