//! Faults: every bad field of a request, collected before any is reported.

use std::collections::BTreeMap;
use std::fmt::Display;

use crate::domain::fault::Violation;
use crate::domain::limit::Rates;
use crate::domain::models::{MODEL_NAME_MAX_BYTES, MODELS_MAX};
use crate::domain::money::Usd;
use crate::domain::reason::Reason;
use crate::domain::window::Length;
use crate::error::Error;

/// The bad fields that were found so far.
#[derive(Debug, Default)]
pub(crate) struct Faults(pub(crate) Vec<Violation>);

impl Faults {
    /// Reports a field.
    pub(crate) fn add(&mut self, field: impl Into<String>, rule: impl ToString) {
        self.0.push(Violation::new(field, rule));
    }

    /// Reports a field under a rule that has a name.
    pub(crate) fn add_named(&mut self, field: impl Into<String>, reason: Reason, rule: impl ToString) {
        self.0.push(Violation::named(field, reason, rule));
    }

    /// Takes a value, or reports its field.
    pub(crate) fn take<T, E: Display>(&mut self, field: impl Into<String>, parsed: Result<T, E>) -> Option<T> {
        parsed.map_err(|error| self.add(field, error)).ok()
    }

    /// Takes an amount of money.
    pub(crate) fn money(&mut self, field: impl Into<String>, text: Option<&String>) -> Option<Usd> {
        self.take(field, text?.parse())
    }

    /// Takes a length of time.
    pub(crate) fn length(&mut self, field: impl Into<String>, text: Option<&String>) -> Option<Length> {
        text?.parse().map_err(|error| self.add_named(field, Reason::DurationInvalid, error)).ok()
    }

    /// Takes a limit on calls or tokens.
    pub(crate) fn limit(&mut self, field: impl Into<String>, limit: Option<i64>) -> Option<i64> {
        if limit.is_some_and(|limit| limit < 0) {
            self.add(field, "must not be negative; leave it out for unlimited");
        }
        limit
    }

    /// Takes limits on calls or tokens by model.
    pub(crate) fn limits_by_model(&mut self, field: &str, limits: &BTreeMap<String, i64>) -> BTreeMap<String, i64> {
        if limits.len() > MODELS_MAX {
            self.add(field, format!("must have at most {MODELS_MAX} entries"));
        }
        for (model, limit) in limits.iter().take(MODELS_MAX) {
            let path = format!("{field}[{model:?}]");
            self.model(&path, model);
            self.limit(path, Some(*limit));
        }
        limits.iter().map(|(model, limit)| (model.clone(), *limit)).collect()
    }

    /// Checks the name of a model.
    pub(crate) fn model(&mut self, field: &str, model: &str) {
        if model.trim().is_empty() || model.len() > MODEL_NAME_MAX_BYTES || model.chars().any(char::is_control) {
            self.add(field, format!("must be a model of 1-{MODEL_NAME_MAX_BYTES} bytes without control characters"));
        }
    }

    /// Takes the three rate limits of an object.
    pub(crate) fn rates(&mut self, prefix: &str, tpm: Option<i64>, rpm: Option<i64>, parallel: Option<i64>) -> Rates {
        Rates {
            tpm: self.limit(format!("{prefix}tpm_limit"), tpm),
            rpm: self.limit(format!("{prefix}rpm_limit"), rpm),
            parallel: self.limit(format!("{prefix}max_parallel_requests"), parallel),
            tpd: None,
        }
    }

    /// Goes on only if no field is bad.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` with every bad field.
    pub(crate) fn finish(self) -> Result<(), Error> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::Invalid(self.0)) }
    }
}
