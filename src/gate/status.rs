//! How the hot path is: for whoever watches the server.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Gate;
use crate::domain::clock::Timestamp;

/// How the hot path is at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateStatus {
    /// Reserved calls in flight.
    pub reservations: usize,
    /// Accounts in memory.
    pub accounts: usize,
    /// What the batcher did so far.
    pub batches: Batches,
    /// How long ago the change feed was last read to its end.
    pub feed_age: Duration,
    /// How rates are shared with other instances, if they are.
    pub sharing: Option<SharingStatus>,
}

/// How rates are shared with other instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SharingStatus {
    /// Whether Redis answers.
    pub is_there: bool,
    /// How many decisions were made without it.
    pub made_alone: u64,
    /// How many instances there were when Redis last answered.
    pub instances: u32,
}

/// What the batcher did since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Batches {
    /// Batches that were committed.
    pub committed: u64,
    /// Events in these.
    pub events: u64,
    /// Batches that were not.
    pub failed: u64,
    /// How long those that were committed took, in microseconds.
    pub micros: u64,
}

/// The same, while it is counted.
#[derive(Debug, Default)]
pub(super) struct BatchCounts {
    committed: AtomicU64,
    events: AtomicU64,
    failed: AtomicU64,
    micros: AtomicU64,
}

impl BatchCounts {
    pub(super) fn commit(&self, events: usize, took: Duration) {
        self.committed.fetch_add(1, Ordering::Relaxed);
        self.events.fetch_add(events.try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
        self.micros.fetch_add(took.as_micros().try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn fail(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Batches {
        let [committed, events, failed, micros] =
            [&self.committed, &self.events, &self.failed, &self.micros].map(|count| count.load(Ordering::Relaxed));
        Batches { committed, events, failed, micros }
    }
}

impl Gate {
    /// How it is now.
    pub fn status(&self, now: Timestamp) -> GateStatus {
        let sharing = self.shared.as_ref();
        let read_at = Timestamp::from_micros(self.feed_read_at.load(Ordering::Relaxed));
        GateStatus {
            reservations: self.ledger.live_reservations(),
            accounts: self.ledger.accounts(),
            batches: self.batcher.counts(),
            feed_age: Duration::from_micros(now.micros_since(read_at).try_into().unwrap_or_default()),
            sharing: sharing.map(|of| SharingStatus {
                is_there: of.is_there(),
                made_alone: of.made_alone(),
                instances: of.instances(),
            }),
        }
    }
}
