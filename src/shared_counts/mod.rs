//! Counts that all instances share: calls and tokens of a minute, and calls in
//! flight, in Redis or Valkey.
//!
//! What a call takes is taken of all its accounts or of none, by one script, so
//! limits hold over all instances to the letter. Whatever ends a call is told in
//! the background: until it arrives a little too much is counted, never too
//! little. While Redis does not answer, each instance counts alone, and has a
//! share of each limit.

mod link;
mod told;

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use uuid::Uuid;

use self::link::{Away, Link};
pub use self::told::Told;
use crate::domain::account::AccountId;
use crate::domain::clock::Timestamp;
use crate::domain::shared_counts::{Counting, SharedCountRules};

/// How many messages wait, at most. What is lost beyond is counted until its
/// minute or its reservation ends.
const WAITING: usize = 100_000;

/// For how long an instance counts that was heard of.
const INSTANCE: Duration = Duration::from_secs(15);

/// One thing that is counted of an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counter {
    /// The limit that it must keep, if there is one.
    pub limit: Option<i64>,
    /// What must fit.
    pub need: i64,
    /// What is added if everything fits.
    pub add: i64,
}

/// What is asked of one account.
#[derive(Clone, Copy, Debug)]
pub struct Take<'a> {
    /// The account.
    pub account: &'a AccountId,
    /// Calls of the minute.
    pub requests: Counter,
    /// Tokens of the minute.
    pub tokens: Counter,
    /// Calls in flight.
    pub parallel: Counter,
}

/// What is taken of an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of Take")]
pub struct Counts {
    pub requests: i64,
    pub tokens: i64,
    pub parallel: i64,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Whether everything fitted, and was added.
    pub fits: bool,
    /// What is taken then, in the order of the accounts.
    pub counts: Vec<Counts>,
}

/// A call in flight.
#[derive(Clone, Copy, Debug)]
pub struct InFlight {
    /// The reservation.
    pub id: Uuid,
    /// When it expires.
    pub expires_at: Timestamp,
}

/// Counts in Redis, as this instance sees them.
#[derive(Debug)]
pub struct SharedCounts {
    link: Link,
    told: mpsc::Sender<Told>,
    /// Whether Redis answered when it was last asked.
    is_there: AtomicBool,
    /// How many instances there were when it last said so; 0: it never did.
    instances: AtomicU32,
    /// How many decisions were made without it.
    alone: AtomicU64,
}

/// What happens in the background; to be run while the counts are used.
#[derive(Debug)]
pub struct Background(mpsc::Receiver<Told>);

impl SharedCounts {
    /// Counts by these rules. Nothing is asked yet.
    ///
    /// # Errors
    /// Why there can be none: the machine's certificates can't be read.
    pub fn new(rules: &SharedCountRules) -> Result<(Self, Background), String> {
        let (told, hears) = mpsc::channel(WAITING);
        let counts = Self {
            link: Link::new(rules)?,
            told,
            // Until the first answer, so that its absence is told.
            is_there: AtomicBool::new(true),
            instances: AtomicU32::new(0),
            alone: AtomicU64::new(0),
        };
        Ok((counts, Background(hears)))
    }

    /// How calls are counted now.
    pub fn counting(&self) -> Counting {
        if self.is_there.load(Ordering::Relaxed) {
            return Counting::Together;
        }
        self.share()
    }

    /// What each of the instances has that were there.
    fn share(&self) -> Counting {
        let instances = NonZeroU32::new(self.instances.load(Ordering::Relaxed));
        Counting::Share(instances.unwrap_or(NonZeroU32::MIN))
    }

    /// How a call is counted that is decided about now.
    pub fn counting_of_call(&self) -> Counting {
        match self.counting() {
            Counting::Together => Counting::Together,
            _ => self.counting_alone(),
        }
    }

    /// How a call is counted of which Redis did not hear.
    pub fn counting_alone(&self) -> Counting {
        self.alone.fetch_add(1, Ordering::Relaxed);
        self.share()
    }

    /// Takes what a call needs of all these accounts, or nothing. A call in flight
    /// that is known already takes nothing more. `None`: Redis does not answer.
    pub async fn take(&self, takes: &[Take<'_>], call: Option<InFlight>, now: Timestamp) -> Option<Taken> {
        self.heard(self.link.take(takes, call, now).await)
    }

    /// Whether Redis answers as it does to a call, and how long that takes; else why
    /// not.
    ///
    /// # Errors
    /// In words.
    pub async fn probe(&self) -> Result<Duration, String> {
        // The first answer has the connection in it, and the script.
        for _ in 0..2 {
            self.link.take(&[], None, Timestamp::EPOCH).await.map_err(|Away(why)| why)?;
        }
        let began = Instant::now();
        self.link.take(&[], None, Timestamp::EPOCH).await.map_err(|Away(why)| why)?;
        Ok(began.elapsed())
    }

    /// Tells what became of calls. It arrives some time soon, or is lost.
    pub fn tell(&self, told: Told) {
        // A full queue has nobody who empties it: Redis is away.
        let _ = self.told.try_send(told);
    }

    /// Whether Redis answers, for whoever watches the server.
    pub fn is_there(&self) -> bool {
        self.is_there.load(Ordering::Relaxed)
    }

    /// How many decisions were made without it.
    pub fn made_alone(&self) -> u64 {
        self.alone.load(Ordering::Relaxed)
    }

    /// How many instances there were when it last answered.
    pub fn instances(&self) -> u32 {
        self.instances.load(Ordering::Relaxed)
    }

    /// Tells that this instance is there, and learns how many are. To be done
    /// every few seconds; it also finds out whether Redis is back.
    pub async fn beat(&self) {
        let Some(instances) = self.heard(self.link.beat(INSTANCE).await) else { return };
        self.instances.store(instances, Ordering::Relaxed);
    }

    /// Passes on what was told, in order, until nobody tells anything more.
    pub async fn pass_on(&self, Background(mut hears): Background) {
        let mut batch = Vec::new();
        while hears.recv_many(&mut batch, told::BATCH).await > 0 {
            self.heard(self.link.pass_on(&batch).await);
            batch.clear();
        }
    }

    fn heard<T>(&self, answer: Result<T, Away>) -> Option<T> {
        let is_there = answer.is_ok();
        if self.is_there.swap(is_there, Ordering::Relaxed) != is_there {
            match &answer {
                Ok(_) => tracing::info!("rate limits are counted together: Redis answers"),
                Err(Away(error)) => {
                    tracing::warn!(error, "rate limits are counted by each instance alone: Redis does not answer");
                }
            }
        }
        answer.ok()
    }
}
