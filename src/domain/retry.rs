//! Trying again: how long to wait after a failure.

/// The pauses after the first failures, in seconds; the last one is for all
/// that follow.
const PAUSES: [i64; 6] = [5, 30, 120, 600, 1_800, 3_600];

/// How many seconds to wait after so many failures in a row.
#[must_use]
pub fn pause_after(failures: i64) -> i64 {
    let place = usize::try_from(failures - 1).unwrap_or(0);
    PAUSES[place.min(PAUSES.len() - 1)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_an_hour() {
        for (failures, pause) in [(0, 5), (1, 5), (2, 30), (6, 3_600), (7, 3_600), (i64::MAX, 3_600)] {
            assert_eq!(pause_after(failures), pause);
        }
    }
}
