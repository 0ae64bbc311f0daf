//! Time zones on the wire.

use chrono_tz::Tz;

use super::faults::Faults;

/// Takes the name of a time zone; empty is none.
pub(crate) fn take(field: &str, name: &str, faults: &mut Faults) -> Option<Tz> {
    if name.is_empty() {
        return None;
    }
    let zone = name.parse().ok();
    if zone.is_none() {
        faults.add(field, "must be the name of an IANA time zone, such as \"Europe/Berlin\"");
    }
    zone
}

/// The name of a time zone; empty for none.
pub(crate) fn to_wire(zone: Option<Tz>) -> String {
    zone.map(|zone| zone.name().to_owned()).unwrap_or_default()
}
