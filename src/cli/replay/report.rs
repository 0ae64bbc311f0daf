//! The report of a replay: counts, spend, rate and latencies.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use tonic::Status;

use crate::domain::money::Usd;
use crate::pb::DenyReason;

/// What a replay, or one caller of it, has seen.
#[derive(Debug, Default)]
pub(super) struct Report {
    /// How long each Authorize took.
    pub(super) authorize: Vec<Duration>,
    /// How long each Settle took.
    pub(super) settle: Vec<Duration>,
    spend: Usd,
    denials: BTreeMap<&'static str, u64>,
    errors: BTreeMap<String, u64>,
    took: Duration,
}

impl Report {
    /// Counts what a settled call cost.
    pub(super) fn spent(&mut self, cost: Usd) {
        self.spend = self.spend.saturating_add(cost);
    }

    /// Counts a call that was denied.
    pub(super) fn denied(&mut self, reason: DenyReason) {
        *self.denials.entry(reason.as_str_name()).or_default() += 1;
    }

    /// Counts a call that got no answer.
    pub(super) fn errored(&mut self, status: &Status) {
        *self.errors.entry(format!("{:?}: {}", status.code(), status.message())).or_default() += 1;
    }

    /// Adds what another caller has seen.
    pub(super) fn add(&mut self, other: Self) {
        self.authorize.extend(other.authorize);
        self.settle.extend(other.settle);
        self.spend = self.spend.saturating_add(other.spend);
        for (reason, count) in other.denials {
            *self.denials.entry(reason).or_default() += count;
        }
        for (error, count) in other.errors {
            *self.errors.entry(error).or_default() += count;
        }
    }

    /// Ends the report.
    pub(super) fn finish(&mut self, took: Duration) {
        self.authorize.sort_unstable();
        self.settle.sort_unstable();
        self.took = took;
    }

    /// Whether some call got no answer.
    pub(super) fn failed(&self) -> bool {
        !self.errors.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errors: u64 = self.errors.values().sum();
        let denied: u64 = self.denials.values().sum();
        let calls = self.settle.len() as u64 + denied + errors;
        writeln!(f, "calls     {calls}: {} settled, {denied} denied, {errors} failed", self.settle.len())?;
        for (reason, count) in &self.denials {
            writeln!(f, "          denied {count} × {reason}")?;
        }
        for (error, count) in &self.errors {
            writeln!(f, "          failed {count} × {error}")?;
        }
        writeln!(f, "spend     {} USD", self.spend)?;
        let per_second = u128::from(calls) * 1_000_000 / self.took.as_micros().max(1);
        writeln!(f, "rate      {per_second} calls/s, in {:.1?}", self.took)?;
        writeln!(f, "authorize {}", Percentiles(&self.authorize))?;
        write!(f, "settle    {}", Percentiles(&self.settle))
    }
}

/// Percentiles of sorted latencies.
struct Percentiles<'a>(&'a [Duration]);

impl Percentiles<'_> {
    fn at(&self, percent: usize) -> Duration {
        let index = (self.0.len() * percent).div_ceil(100).saturating_sub(1);
        self.0.get(index).copied().unwrap_or_default()
    }
}

impl fmt::Display for Percentiles<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [p50, p90, p99, max] = [50, 90, 99, 100].map(|percent| self.at(percent));
        write!(f, "p50 {p50:.2?}  p90 {p90:.2?}  p99 {p99:.2?}  max {max:.2?}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let millis: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        let latencies = Percentiles(&millis);
        assert_eq!([50, 90, 99, 100].map(|p| latencies.at(p).as_millis()), [100, 180, 198, 200]);
        assert_eq!(Percentiles(&[]).at(99), Duration::ZERO);
    }
}
