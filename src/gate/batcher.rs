//! The batcher: many callers share one commit.
//!
//! One task writes everything that the ledger writes, one batch after another.
//! While a batch is being committed the next one collects; nobody waits for a
//! timer. Who asked is answered when the batch is durable. A caller that went
//! away does not stop its event from being booked.

mod batch;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, mpsc, oneshot};
use uuid::Uuid;

use self::batch::Batch;
use super::ledger::{Batching, Ledger, LedgerRules, Planned};
use super::shared::tell;
use super::status::{BatchCounts, Batches};
use crate::domain::account::AccountId;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::ids::new_uuid;
use crate::domain::limit::{Budget, CountedTokens};
use crate::domain::money::Usd;
use crate::domain::usage::Event;
use crate::domain::window::Window;
use crate::shared_counts::{SharedCounts, Told};
use crate::store::{
    BalanceKey, BatchOutcome, ClosedReservation, Closing, EventRows, LedgerBatch, Outcome, Store, StoreError,
};
use crate::traces::span;

/// How many items may wait. A caller beyond that waits for a place.
const QUEUE: usize = 16_384;

/// How many items are written together.
const BATCH: usize = 2_000;

/// How often a batch is tried again that others were in the way of.
const ATTEMPTS: u32 = 6;

/// An event on its way to the database.
#[derive(Debug)]
pub(super) struct Booking {
    /// The event, without its postings and the time of its recording.
    pub(super) event: Event,
    /// The accounts that it moves, with the budgets that name their windows.
    pub(super) accounts: Vec<(AccountId, Budget)>,
    /// The windows of a reservation that it settles: they go before those that
    /// are open now.
    pub(super) windows: Vec<(AccountId, Window)>,
    /// The reservation in memory that it settles.
    pub(super) settles: Option<Uuid>,
    /// The reservation of another run that it settles.
    pub(super) closes: Option<ClosedReservation>,
    /// Whether nobody has heard of its customer.
    pub(super) introduces: bool,
}

/// A booking that could not be written. The event may have been, if the
/// connection broke: repeating it is safe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BookingError {
    /// The database does not answer.
    Unavailable(String),
    /// A fault of Bursar.
    Broken(String),
}

impl BookingError {
    /// Others were faster, each time.
    pub(super) fn taken_again_and_again() -> Self {
        Self::Unavailable("room for a reservation is taken again and again".to_owned())
    }
}

impl From<&StoreError> for BookingError {
    fn from(error: &StoreError) -> Self {
        match error {
            StoreError::Unavailable(cause) | StoreError::Contended(cause) => Self::Unavailable(cause.clone()),
            other => Self::Broken(other.to_string()),
        }
    }
}

type BookingAnswer = Result<Outcome, BookingError>;

/// A booking, and who waits for it.
type Waiting = (Box<Booking>, oneshot::Sender<BookingAnswer>);

/// Who waits for a yes or no.
type Asker = oneshot::Sender<Result<bool, BookingError>>;

enum Item {
    Book(Box<Booking>, oneshot::Sender<BookingAnswer>),
    Hold(Uuid, Asker),
    Close(Box<ClosedReservation>, Asker),
    Hear(Vec<Closing>),
    Upkeep,
    Stop,
}

/// Hands work to the one task that writes.
#[derive(Clone)]
pub(super) struct Batcher {
    queue: mpsc::Sender<Item>,
    upkeep_queued: Arc<AtomicBool>,
    counts: Arc<BatchCounts>,
}

impl Batcher {
    /// Starts the task. It ends, with everything written, after
    /// [`Batcher::stop`], or when the last [`Batcher`] is gone.
    pub(super) fn start(
        store: Store,
        (ledger, shared): (Arc<Ledger>, Option<Arc<SharedCounts>>),
        holder: i64,
        rules: LedgerRules,
        clock: Clock,
        changed: Arc<Notify>,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (queue, items) = mpsc::channel(QUEUE);
        let upkeep_queued = Arc::new(AtomicBool::new(false));
        let counts = Arc::new(BatchCounts::default());
        let writer = Writer {
            store,
            ledger,
            shared,
            holder,
            rules,
            clock,
            changed,
            upkeep_queued: Arc::clone(&upkeep_queued),
            counts: Arc::clone(&counts),
        };
        let task = tokio::spawn(writer.run(items));
        (Self { queue, upkeep_queued, counts }, task)
    }

    /// Books an event; answers when it is durable.
    ///
    /// # Errors
    /// [`BookingError`] if it could not be written.
    pub(super) async fn book(&self, booking: Booking) -> BookingAnswer {
        span("ledger.commit", async {
            let answer = self.enqueue(booking).await?;
            answer.await.map_err(|_| stopped())?
        })
        .await
    }

    /// Books events; answers when all are durable, in their order.
    pub(super) async fn book_all(&self, bookings: Vec<Booking>) -> Vec<BookingAnswer> {
        let mut answers = Vec::with_capacity(bookings.len());
        for booking in bookings {
            answers.push(self.enqueue(booking).await);
        }
        let mut outcomes = Vec::with_capacity(answers.len());
        for answer in answers {
            outcomes.push(match answer {
                Ok(answer) => answer.await.unwrap_or_else(|_| Err(stopped())),
                Err(error) => Err(error),
            });
        }
        outcomes
    }

    async fn enqueue(&self, booking: Booking) -> Result<oneshot::Receiver<BookingAnswer>, BookingError> {
        let (sender, answer) = oneshot::channel();
        self.queue.send(Item::Book(Box::new(booking), sender)).await.map_err(|_| stopped())?;
        Ok(answer)
    }

    /// Waits until room is held for a tentative reservation. Says whether
    /// there was room; if not, the reservation is gone.
    ///
    /// # Errors
    /// [`BookingError`] if the database fails; then it is gone too.
    pub(super) async fn hold(&self, reservation: Uuid) -> Result<bool, BookingError> {
        let (sender, answer) = oneshot::channel();
        self.queue.send(Item::Hold(reservation, sender)).await.map_err(|_| stopped())?;
        span("ledger.hold", answer).await.map_err(|_| stopped())?
    }

    /// Closes the reservation of another run. Says whether it was open.
    ///
    /// # Errors
    /// [`BookingError`] if the database fails.
    pub(super) async fn close(&self, closed: ClosedReservation) -> Result<bool, BookingError> {
        let (sender, answer) = oneshot::channel();
        self.queue.send(Item::Close(Box::new(closed), sender)).await.map_err(|_| stopped())?;
        answer.await.map_err(|_| stopped())?
    }

    /// Ends reservations of this run that others closed, before the next batch.
    ///
    /// # Errors
    /// [`BookingError`] if the server stops.
    pub(super) async fn hear(&self, closings: Vec<Closing>) -> Result<(), BookingError> {
        self.queue.send(Item::Hear(closings)).await.map_err(|_| stopped())
    }

    /// What was written so far.
    pub(super) fn counts(&self) -> Batches {
        self.counts.read()
    }

    /// Takes nothing more; what was taken before is still written.
    pub(super) async fn stop(&self) {
        // It fails if the task has ended, which is what is wanted.
        let _ = self.queue.send(Item::Stop).await;
    }

    /// Asks for room that runs short to be widened, and for surplus to be
    /// given back, some time soon.
    pub(super) fn keep_up(&self) {
        if !self.upkeep_queued.swap(true, Ordering::Relaxed) {
            // A full queue has a batch under way, which a later call follows.
            if self.queue.try_send(Item::Upkeep).is_err() {
                self.upkeep_queued.store(false, Ordering::Relaxed);
            }
        }
    }
}

fn stopped() -> BookingError {
    BookingError::Unavailable("the server is shutting down".to_owned())
}

struct Writer {
    store: Store,
    ledger: Arc<Ledger>,
    /// Told what became of calls.
    shared: Option<Arc<SharedCounts>>,
    holder: i64,
    rules: LedgerRules,
    clock: Clock,
    /// Told when the change feed has something to tell.
    changed: Arc<Notify>,
    upkeep_queued: Arc<AtomicBool>,
    counts: Arc<BatchCounts>,
}

impl Writer {
    async fn run(self, mut queue: mpsc::Receiver<Item>) {
        let mut items = Vec::with_capacity(BATCH);
        let mut ahead = None;
        loop {
            let batch = match ahead.take() {
                Some(prepared) => prepared,
                None if queue.recv_many(&mut items, BATCH).await == 0 => break,
                None => Batch::of(&mut items).prepare(&self.rules.calendar, self.clock.now()),
            };
            if batch.stop {
                queue.close();
            }
            // What waits is left to gather, unless it is a whole batch: that is
            // prepared while this one is written.
            if queue.len() < BATCH {
                self.write(batch).await;
                continue;
            }
            queue.recv_many(&mut items, BATCH).await;
            let (next, calendar, now) = (Batch::of(&mut items), self.rules.calendar, self.clock.now());
            let preparing = tokio::task::spawn_blocking(move || next.prepare(&calendar, now));
            self.write(batch).await;
            ahead = preparing.await.ok();
        }
        self.write(Batch { last: true, ..Batch::default() }).await;
    }

    async fn write(&self, mut batch: Batch) {
        if batch.upkeep {
            self.upkeep_queued.store(false, Ordering::Relaxed);
        }
        let now = self.clock.now();
        // Here no lease is on its way: what is held is what the database knows of.
        self.ledger.hear(&batch.heard, now);
        let rows = batch.rows.take();
        let tentative: Vec<Uuid> = batch.holds.iter().map(|(id, _)| *id).collect();
        let settling: Vec<(Uuid, &str)> = batch
            .first_bookings()
            .filter_map(|booking| Some((booking.settles?, booking.event.usage.request_id.as_str())))
            .collect();
        let mut ledger_batch = batch.assemble();
        let batching = Batching { tentative: &tentative, settling: &settling, upkeep: batch.upkeep, last: batch.last };
        let mut planned = self.ledger.plan(&batching, now);
        ledger_batch.holds = std::mem::take(&mut planned.holds);
        if batch.last {
            ledger_batch.leaves = Some(self.ledger.open_reservations());
        }
        ledger_batch.closed.extend(batch.closes.iter().map(|(closed, _)| (None, (**closed).clone())));
        if ledger_batch.is_empty() && tentative.is_empty() {
            return;
        }
        let began = Instant::now();
        match self.write_patiently(&ledger_batch, rows, planned.now).await {
            Ok(outcome) => {
                self.counts.commit(ledger_batch.events.len(), began.elapsed());
                self.succeed(batch, &outcome, &planned, &tentative);
            }
            Err(error) => {
                self.counts.fail();
                let touched = touched(&ledger_batch);
                self.ledger.distrust(&touched);
                if matches!(error, StoreError::Broken(_)) && batch.bookings.len() > 1 {
                    // One event that can't be written must not hurt the others.
                    tracing::error!(%error, "a batch was refused by the database; its items are written one by one");
                    self.write_one_by_one(batch).await;
                } else {
                    self.fail(batch, &tentative, &error);
                }
            }
        }
    }

    /// Writes a batch, again and again if others are in the way.
    async fn write_patiently(
        &self,
        batch: &LedgerBatch<'_>,
        mut rows: Option<EventRows>,
        now: Timestamp,
    ) -> Result<BatchOutcome, StoreError> {
        let mut attempt = 1;
        loop {
            match self.store.write_batch(batch, rows.take(), self.holder, now).await {
                Err(error) if error.is_transient() && attempt < ATTEMPTS => {
                    tracing::debug!(%error, attempt, "a batch is tried again");
                    tokio::time::sleep(pause(attempt)).await;
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    fn succeed(&self, batch: Batch, outcome: &BatchOutcome, planned: &Planned, tentative: &[Uuid]) {
        if outcome.told {
            self.changed.notify_one();
        }
        let results = results(&batch.bookings, outcome);
        let settling = batch.bookings.iter().zip(&results).filter_map(|((booking, _), result)| {
            booking.settles.map(|id| {
                (id, rate_tokens(&booking.event, self.rules.counted_tokens), matches!(result, Outcome::Conflict { .. }))
            })
        });
        let (conflicts, settled): (Vec<_>, Vec<_>) = settling.partition(|(.., is_conflict)| *is_conflict);
        let settled: Vec<(Uuid, i64)> = settled.into_iter().map(|(id, tokens, _)| (id, tokens)).collect();
        for (id, tokens) in &settled {
            tell(self.shared.as_ref(), || Told::Settled { id: *id, tokens: *tokens });
        }
        let refused = self.ledger.apply(outcome, planned, tentative, &settled);
        // The call of a reservation is not the one that was booked under this
        // id: its own is still to come.
        for (id, ..) in conflicts {
            self.ledger.abort_settle(id);
        }
        self.answer_bookings(batch.bookings, results, outcome, planned.now);
        for (closed, answer) in batch.closes {
            let was_open = outcome.closed.contains(&closed.reservation);
            if was_open {
                tell(self.shared.as_ref(), || Told::Released { id: closed.reservation });
            }
            let _ = answer.send(Ok(was_open));
        }
        for (id, answer) in batch.holds {
            // If the caller went away, its reservation expires: somebody else
            // may have asked for the same one.
            let _ = answer.send(Ok(!refused.contains(&id)));
        }
    }

    fn answer_bookings(&self, bookings: Vec<Waiting>, results: Vec<Outcome>, outcome: &BatchOutcome, now: Timestamp) {
        let counts_elsewhere = |closed: &ClosedReservation| outcome.told_holders.contains(&closed.reservation);
        for ((booking, answer), result) in bookings.into_iter().zip(results) {
            if matches!(result, Outcome::Recorded { .. }) && booking.settles.is_none() {
                let accounts: Vec<AccountId> = booking.accounts.iter().map(|(account, _)| account.clone()).collect();
                let tokens = rate_tokens(&booking.event, self.rules.counted_tokens);
                if !booking.closes.as_ref().is_some_and(counts_elsewhere) {
                    self.ledger.add_tokens(&accounts, tokens, now);
                }
                tell(self.shared.as_ref(), || match &booking.closes {
                    Some(closed) => Told::Settled { id: closed.reservation, tokens },
                    None => Told::Used { accounts, tokens, now },
                });
            }
            // A caller that went away is not told; the event is booked.
            let _ = answer.send(Ok(result));
        }
    }

    fn fail(&self, batch: Batch, tentative: &[Uuid], error: &StoreError) {
        tracing::warn!(%error, "a batch could not be written");
        for (booking, answer) in batch.bookings {
            if let Some(id) = booking.settles {
                self.ledger.abort_settle(id);
            }
            let _ = answer.send(Err(error.into()));
        }
        for id in tentative {
            self.ledger.cancel_tentative(*id);
        }
        let waiting = batch.holds.into_iter().map(|(_, answer)| answer);
        for answer in waiting.chain(batch.closes.into_iter().map(|(_, answer)| answer)) {
            let _ = answer.send(Err(error.into()));
        }
    }

    async fn write_one_by_one(&self, batch: Batch) {
        let holds = Batch { holds: batch.holds, closes: batch.closes, upkeep: batch.upkeep, ..Batch::default() };
        Box::pin(self.write(holds)).await;
        for booking in batch.bookings {
            let alone = Batch { bookings: vec![booking], ..Batch::default() };
            Box::pin(self.write(alone.prepare(&self.rules.calendar, self.clock.now()))).await;
        }
    }
}

/// What became of each booking. The first of an id was written, or compared
/// with what was there; those that follow it in the batch are repeats of what is
/// there now, or conflict with it.
fn results(bookings: &[Waiting], outcome: &BatchOutcome) -> Vec<Outcome> {
    let mut seen: HashMap<&str, (&str, Usd)> = HashMap::new();
    bookings
        .iter()
        .map(|(booking, _)| {
            let Event { usage, fingerprint, .. } = &booking.event;
            let id = usage.request_id.as_str();
            if let Some((stored, cost)) = seen.get(id) {
                return if stored == fingerprint {
                    Outcome::Duplicate { cost: *cost }
                } else {
                    Outcome::Conflict { fingerprint: (*stored).to_owned(), cost: *cost }
                };
            }
            let unknown = || Outcome::Conflict { fingerprint: String::new(), cost: Usd::ZERO };
            let Some(result) = outcome.appended.get(id) else { return unknown() };
            seen.insert(
                id,
                match result {
                    Outcome::Recorded { cost } | Outcome::Duplicate { cost } => (fingerprint, *cost),
                    Outcome::Conflict { fingerprint, cost } => (fingerprint, *cost),
                },
            );
            result.clone()
        })
        .collect()
}

/// Tokens that count against a limit: none for what the gateway's own cache
/// answered.
pub(super) fn rate_tokens(event: &Event, counted: CountedTokens) -> i64 {
    let counts = &event.usage.counts;
    if event.usage.cache_hit { 0 } else { counted.of(counts.prompt, counts.completion) }
}

fn touched(batch: &LedgerBatch<'_>) -> Vec<BalanceKey> {
    let posted = batch.events.iter().flat_map(|event| &event.postings);
    let posted = posted.map(|posting| (posting.account.clone(), posting.window_start));
    posted.chain(batch.holds.iter().map(|hold| hold.key.clone())).collect()
}

/// A growing pause with chance in it, so that two that collided do not collide
/// again.
fn pause(attempt: u32) -> Duration {
    let chance = u64::from(new_uuid().as_bytes()[15]);
    Duration::from_millis((1_u64 << attempt.min(8)) + chance / 8)
}
