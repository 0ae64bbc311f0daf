//! Tokens of a day of UTC. Unlike those of a minute, they are told by the database
//! when an account is first asked about, and again now and then: a restart forgets
//! none, and what other instances count is seen within half a minute.

use crate::domain::clock::Timestamp;

/// After so many seconds what the database said is asked again.
const REREAD_SECONDS: i64 = 30;

/// What an account used up on the current day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct DayCount {
    day: (Timestamp, Timestamp),
    used: i64,
    reserved: i64,
    read_at: Option<Timestamp>,
}

/// What a call was counted as.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CountedDay {
    start: Timestamp,
    tokens: i64,
}

impl DayCount {
    /// Forgets a day that is over.
    pub(super) fn turn(&mut self, now: Timestamp) {
        let day = now.utc_day();
        // As of a minute: what began before must not turn it back, a clock must.
        if day.0 > self.day.0 || day.1 < self.day.0 {
            *self = Self { day, used: 0, reserved: 0, read_at: self.read_at };
        }
    }

    /// Whether the database is to be asked: by everybody before it ever was, and by
    /// one, while the others go on with what is known, when that was long ago.
    pub(super) fn claim_reading(&mut self, now: Timestamp) -> bool {
        let Some(read_at) = self.read_at else { return true };
        let is_old = now >= read_at.plus_seconds(REREAD_SECONDS);
        if is_old {
            self.read_at = Some(now);
        }
        is_old
    }

    /// Takes over what the database counted on the day of an instant. What was
    /// counted here since is not forgotten.
    pub(super) fn take(&mut self, tokens: i64, now: Timestamp) {
        self.turn(now);
        self.used = self.used.max(tokens);
        self.read_at = Some(now);
    }

    /// What was used, or is set aside.
    pub(super) const fn taken(&self) -> i64 {
        self.used.saturating_add(self.reserved)
    }

    /// When the day ends.
    pub(super) const fn end(&self) -> Timestamp {
        self.day.1
    }

    pub(super) fn reserve(&mut self, tokens: i64) -> CountedDay {
        self.reserved = self.reserved.saturating_add(tokens);
        CountedDay { start: self.day.0, tokens }
    }

    /// What was set aside is free again, if the day is still the same.
    pub(super) fn free(&mut self, counted: CountedDay) {
        if self.day.0 == counted.start {
            self.reserved = self.reserved.saturating_sub(counted.tokens);
        }
    }

    /// So many were used for a call that was counted on the day.
    pub(super) fn settle(&mut self, counted: CountedDay, used: i64) {
        self.free(counted);
        if self.day.0 == counted.start {
            self.add(used);
        }
    }

    pub(super) fn add(&mut self, used: i64) {
        self.used = self.used.saturating_add(used);
    }
}
