//! Shifting: the clock is set, and nothing that is promised becomes shorter or
//! longer by it.

use super::Books;
use crate::domain::clock::Timestamp;

impl Books {
    /// Moves all that expires by so many microseconds. A lease is not made longer: a
    /// clock that jumps ahead was set, or the machine stood still, and then others
    /// may have taken the room. The database knows, and is asked at the next call.
    pub(in crate::gate::ledger) fn shift(&mut self, micros: i64) {
        self.shifts += 1;
        let moved = |at: Timestamp| at.plus_micros(micros);
        for reservation in self.reservations.values_mut() {
            reservation.expires_at = moved(reservation.expires_at);
        }
        self.expiries = self.expiries.iter().map(|(at, id)| (moved(*at), *id)).collect();
        for account in self.accounts.values_mut() {
            account.last_used_at = moved(account.last_used_at);
            account.for_windows(|window| window.shift(micros));
        }
    }
}
