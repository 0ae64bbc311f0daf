//! Metrics: what the server did, for Prometheus. Counters are found once and kept;
//! what can be read at any time is read when somebody scrapes.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::time::Duration;

use ::metrics::{Counter, Gauge, Histogram, Key, Label, Level, Metadata, Recorder, SharedString};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusRecorder};
use strum::VariantArray;

use crate::domain::decision::DenyReason;
use crate::gate::{BudgetStanding, Decision, GateStatus, SharingStatus};
use crate::store::{LastVerification, PoolStatus};

/// The borders of what requests take, in seconds: a model call is asked about in
/// well under a millisecond, a report may take seconds.
#[expect(clippy::disallowed_types, reason = "Prometheus measures in these")]
const SECONDS: [f64; 14] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// Under which name calls are counted of RPCs that nobody declared.
const OTHER: &str = "other";

/// The codes of gRPC, by number.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// The name of a code of gRPC.
pub fn name_of_code(code: usize) -> &'static str {
    CODES.get(code).copied().unwrap_or("UNKNOWN")
}

static METADATA: Metadata<'static> = Metadata::new("bursar", Level::INFO, None);

/// The names of metrics, and what they say.
const DESCRIPTIONS: [(&str, &str); 24] = [
    ("bursar_build_info", "Always 1; the version is a label."),
    ("bursar_requests_total", "Calls by RPC and gRPC code; of streams, how they began."),
    ("bursar_request_duration_seconds", "How long calls took until their answer, or a stream's first headers, began."),
    ("bursar_decisions_total", "Answers of Authorize, by decision and reason."),
    ("bursar_shadow_denials_total", "Calls that a budget in shadow would have denied."),
    ("bursar_overruns_total", "Settled calls that cost more than a budget had set aside."),
    ("bursar_reservations", "Reserved calls in flight, on this instance."),
    ("bursar_accounts", "Accounts in memory."),
    ("bursar_ledger_batches_total", "Batches that were committed."),
    ("bursar_ledger_events_total", "Usage events in these batches, repeats included."),
    ("bursar_ledger_commit_microseconds_total", "How long batches took to be committed, added up."),
    ("bursar_ledger_failed_batches_total", "Batches that could not be committed; their callers were told."),
    ("bursar_rate_limits_shared", "Whether rate limits are counted with other instances: Redis answers."),
    ("bursar_rate_limits_instances", "How many instances count rate limits together."),
    ("bursar_rate_limits_made_alone_total", "Decisions by this instance's share of rate limits."),
    ("bursar_reconciliation_differences", "Counters that differ from the sum of their events; must be 0."),
    ("bursar_reconciliation_events", "Events that were added up for that."),
    ("bursar_reconciliation_timestamp_seconds", "When that was, in seconds since 1970."),
    ("bursar_feed_age_seconds", "How long ago the change feed was last read to its end."),
    ("bursar_connections_total", "Connections that were taken."),
    ("bursar_connections", "Connections that are open."),
    (
        "bursar_tls_handshakes_failed_total",
        "Connections that ended before they were secured, such as for a certificate.",
    ),
    ("bursar_tls_certificate_expires_at_seconds", "When the certificate of the port ends, in seconds since 1970."),
    ("bursar_database_connections", "Connections to the database, by state."),
];

/// Everything that is counted.
pub struct Metrics {
    recorder: PrometheusRecorder,
    by_rpc: HashMap<&'static str, OfRpc>,
    allowed: Counter,
    denied: HashMap<DenyReason, Counter>,
    shadow_denials: Counter,
    overruns: Counter,
    connections: Connections,
}

/// What is counted of connections.
struct Connections {
    taken: Counter,
    open: Gauge,
    refused: Counter,
}

/// A connection, counted as open until it is dropped.
#[must_use]
pub struct Connected(Gauge);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

/// What is counted of one RPC; it appears with its first call.
struct OfRpc {
    rpc: &'static str,
    by_code: [OnceLock<Counter>; CODES.len()],
    seconds: OnceLock<Histogram>,
}

impl Metrics {
    /// Counts the calls of these RPCs, and everything else, from zero.
    ///
    /// # Errors
    /// [`BuildError`] if the borders of a histogram are none.
    pub fn new(rpcs: impl Iterator<Item = &'static str>) -> Result<Self, BuildError> {
        let recorder = PrometheusBuilder::new().set_buckets(&SECONDS)?.build_recorder();
        for (name, description) in DESCRIPTIONS {
            let (name, description) = (name.into(), SharedString::const_str(description));
            // Of all kinds, as only the one that is registered is shown.
            recorder.describe_gauge(name, None, description);
        }
        let of_rpc =
            |rpc| (rpc, OfRpc { rpc, by_code: [const { OnceLock::new() }; CODES.len()], seconds: OnceLock::new() });
        let decision = |decision: &'static str, reason: &'static str| {
            let labels = vec![Label::new("decision", decision), Label::new("reason", reason)];
            counter(&recorder, "bursar_decisions_total", labels)
        };
        let denied =
            DenyReason::VARIANTS.iter().map(|reason| (*reason, decision("deny", <&'static str>::from(reason))));
        Ok(Self {
            by_rpc: rpcs.chain([OTHER]).map(of_rpc).collect(),
            allowed: decision("allow", ""),
            denied: denied.collect(),
            shadow_denials: counter(&recorder, "bursar_shadow_denials_total", Vec::new()),
            overruns: counter(&recorder, "bursar_overruns_total", Vec::new()),
            connections: Connections {
                taken: counter(&recorder, "bursar_connections_total", Vec::new()),
                open: recorder.register_gauge(&Key::from_name("bursar_connections"), &METADATA),
                refused: counter(&recorder, "bursar_tls_handshakes_failed_total", Vec::new()),
            },
            recorder,
        })
    }

    /// A call of an RPC was answered, with a code of gRPC.
    pub fn request(&self, rpc: &str, code: usize, took: Duration) {
        let Some(of_rpc) = self.by_rpc.get(rpc).or_else(|| self.by_rpc.get(OTHER)) else { return };
        let label = || vec![Label::new("rpc", of_rpc.rpc)];
        if let (Some(counted), Some(name)) = (of_rpc.by_code.get(code), CODES.get(code)) {
            let labels = || label().into_iter().chain([Label::new("code", *name)]).collect();
            counted.get_or_init(|| counter(&self.recorder, "bursar_requests_total", labels())).increment(1);
        }
        let of_seconds = || {
            let key = Key::from_parts("bursar_request_duration_seconds", label());
            self.recorder.register_histogram(&key, &METADATA)
        };
        of_rpc.seconds.get_or_init(of_seconds).record(took);
    }

    /// A call was decided about.
    pub fn decision(&self, decision: &Decision) {
        match &decision.denial {
            None => self.allowed.increment(1),
            Some(denial) => self.denied(denial.reason),
        }
        if decision.denial.is_none() && decision.budgets.iter().any(BudgetStanding::would_deny) {
            self.shadow_denials.increment(1);
        }
    }

    /// A call was denied.
    pub fn denied(&self, reason: DenyReason) {
        if let Some(counted) = self.denied.get(&reason) {
            counted.increment(1);
        }
    }

    /// A call cost more than was set aside.
    pub fn overrun(&self) {
        self.overruns.increment(1);
    }

    /// A client connected.
    pub fn connected(&self) -> Connected {
        self.connections.taken.increment(1);
        self.connections.open.increment(1);
        Connected(self.connections.open.clone())
    }

    /// A client could not agree on TLS.
    pub fn handshake_failed(&self) {
        self.connections.refused.increment(1);
    }

    /// The port's certificate ends, in seconds since 1970.
    pub fn certificate_ends(&self, at: i64) {
        self.gauge("bursar_tls_certificate_expires_at_seconds", Vec::new()).set(u32::try_from(at).unwrap_or(u32::MAX));
    }

    /// Every counter was compared with its events, here or by another instance.
    pub fn verified(&self, last: &LastVerification) {
        self.gauge("bursar_reconciliation_differences", Vec::new()).set(whole(last.differences));
        self.gauge("bursar_reconciliation_events", Vec::new()).set(whole(last.events));
        let seconds = last.verified_at.to_utc().timestamp();
        self.gauge("bursar_reconciliation_timestamp_seconds", Vec::new()).set(whole(seconds));
    }

    /// Makes room: what was measured and not scraped is added up.
    pub fn tidy(&self) {
        self.recorder.handle().run_upkeep();
    }

    /// Everything, in Prometheus' text format.
    pub fn render(&self, gate: &GateStatus, pools: &[PoolStatus]) -> String {
        let GateStatus { reservations, accounts, batches, feed_age, sharing } = gate;
        self.gauge("bursar_build_info", vec![Label::new("version", env!("CARGO_PKG_VERSION"))]).set(1);
        self.gauge("bursar_reservations", Vec::new()).set(whole(*reservations));
        self.gauge("bursar_accounts", Vec::new()).set(whole(*accounts));
        self.count("bursar_ledger_batches_total", batches.committed);
        self.count("bursar_ledger_events_total", batches.events);
        self.count("bursar_ledger_failed_batches_total", batches.failed);
        self.count("bursar_ledger_commit_microseconds_total", batches.micros);
        self.gauge("bursar_feed_age_seconds", Vec::new()).set(*feed_age);
        if let Some(SharingStatus { is_there, made_alone, instances }) = sharing {
            self.gauge("bursar_rate_limits_instances", Vec::new()).set(*instances);
            self.gauge("bursar_rate_limits_shared", Vec::new()).set(u32::from(*is_there));
            self.count("bursar_rate_limits_made_alone_total", *made_alone);
        }
        for PoolStatus { name, idle, used } in pools {
            for (state, connections) in [("idle", idle), ("used", used)] {
                let labels = vec![Label::new("pool", *name), Label::new("state", state)];
                self.gauge("bursar_database_connections", labels).set(*connections);
            }
        }
        self.recorder.handle().render()
    }

    fn gauge(&self, name: &'static str, labels: Vec<Label>) -> Gauge {
        self.recorder.register_gauge(&Key::from_parts(name, labels), &METADATA)
    }

    fn count(&self, name: &'static str, total: u64) {
        self.recorder.register_counter(&Key::from_name(name), &METADATA).absolute(total);
    }
}

fn counter(recorder: &PrometheusRecorder, name: &'static str, labels: Vec<Label>) -> Counter {
    recorder.register_counter(&Key::from_parts(name, labels), &METADATA)
}

/// A number as gauges take it.
fn whole(number: impl TryInto<u32>) -> u32 {
    number.try_into().unwrap_or(u32::MAX)
}
