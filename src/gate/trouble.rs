//! Trouble: models whose providers refuse calls or break down. Limits that are
//! dynamic hold only then.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::domain::clock::Timestamp;
use crate::domain::usage::{Usage, UsageStatus};

/// When so many models are remembered, those without trouble are forgotten.
const MODELS_MAX: usize = 1_000;

/// The models that had trouble, and the minute in which they last had.
#[derive(Default)]
pub(super) struct Trouble(Mutex<HashMap<Box<str>, i64>>);

impl Trouble {
    /// A call of a model met it.
    pub(super) fn observe(&self, model: Box<str>, now: Timestamp) {
        let (mut models, minute) = (self.0.lock(), now.utc_minute());
        if models.len() >= MODELS_MAX {
            models.retain(|_, last| minute - *last <= 1);
        }
        models.insert(model, minute);
    }

    /// Whether a model had trouble in this minute or the last.
    pub(super) fn has(&self, model: &str, now: Timestamp) -> bool {
        let minute = now.utc_minute();
        self.0.lock().get(model).is_some_and(|last| (0..=1).contains(&(minute - last)))
    }
}

/// Whether the provider of a call was too busy, or broke down.
pub(super) fn is_trouble(usage: &Usage) -> bool {
    let code = usage.error_code.parse::<u16>().unwrap_or_default();
    usage.status == UsageStatus::Failure && (code == 429 || code >= 500)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_700_000_005_000_000);

    #[test]
    fn trouble_is_a_provider_that_refuses_or_breaks() {
        use UsageStatus::{Failure, Success};
        for (status, code, is) in [
            (Failure, "429", true),
            (Failure, "503", true),
            (Failure, "400", false),
            (Failure, "", false),
            (Failure, "timeout", false),
            (Success, "500", false),
        ] {
            let usage = Usage { status, error_code: code.to_owned(), ..Usage::default() };
            assert_eq!(is_trouble(&usage), is, "{status:?} {code}");
        }
    }

    #[test]
    fn it_lasts_until_the_end_of_the_next_minute() {
        let trouble = Trouble::default();
        trouble.observe("a".into(), NOW);
        for (model, seconds, has) in [("a", 0, true), ("a", 60, true), ("a", 120, false), ("b", 0, false)] {
            assert_eq!(trouble.has(model, NOW.plus_seconds(seconds)), has, "{model} {seconds}");
        }
    }

    #[test]
    fn only_those_in_trouble_are_remembered() {
        let trouble = Trouble::default();
        (0..MODELS_MAX).for_each(|number| trouble.observe(number.to_string().into(), NOW));
        trouble.observe("late".into(), NOW.plus_seconds(180));
        assert_eq!(trouble.0.lock().len(), 1);
    }
}
