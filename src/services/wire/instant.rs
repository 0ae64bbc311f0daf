//! Instants on the wire.

use prost_types::Timestamp as Wire;

use super::faults::Faults;
use crate::domain::clock::Timestamp;

/// An instant as the wire has it.
pub(crate) fn to_wire(instant: Timestamp) -> Wire {
    let micros = instant.micros();
    // The rest of a division by a million, times a thousand: fits.
    let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1_000).unwrap_or(0);
    Wire { seconds: micros.div_euclid(1_000_000), nanos }
}

/// How long it is until an instant; nothing if it is over.
pub(crate) fn wait(until: Timestamp, now: Timestamp) -> prost_types::Duration {
    let micros = until.micros_since(now).max(0);
    let nanos = i32::try_from(micros % 1_000_000 * 1_000).unwrap_or(0);
    prost_types::Duration { seconds: micros / 1_000_000, nanos }
}

/// Takes an instant, cut to the microsecond.
pub(crate) fn from_wire(field: &str, instant: Option<&Wire>, faults: &mut Faults) -> Option<Timestamp> {
    let instant = instant?;
    let range = Timestamp::MIN.micros() / 1_000_000..=Timestamp::MAX.micros() / 1_000_000;
    if !range.contains(&instant.seconds) || !(0..1_000_000_000).contains(&instant.nanos) {
        faults.add(field, "must be between 0001-01-01 and 9999-12-31");
        return None;
    }
    Some(Timestamp::from_micros(instant.seconds * 1_000_000 + i64::from(instant.nanos) / 1_000))
}
