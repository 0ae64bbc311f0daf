//! `bursar verify`: do the counters equal the sum of the events, and is the audit
//! log whole?

use std::process::ExitCode;

use rust_decimal::Decimal;

use super::{Outcome, complain, say};
use crate::config::Settings;
use crate::domain::clock::Clock;
use crate::store::{AuditFault, Discrepancy, LastVerification, Store};
use crate::telemetry;

/// Compares every counter with the sum of its events.
pub(super) async fn run(settings: &Settings) -> Outcome {
    telemetry::start(settings)?;
    let store = Store::connect_existing(&settings.connect_options()).await?;
    let found = store.verify().await?;
    let audit = store.verify_audit(1, None).await?;
    for discrepancy in &found.discrepancies {
        complain(&tell(discrepancy));
    }
    let (events, accounts) = (found.events, found.accounts);
    match audit.fault {
        None => say(format_args!("verified: {} audit entries are as they were written", audit.entries)),
        Some((sequence, fault)) => complain(&format!("audit log, entry {sequence}: {}", tell_fault(fault))),
    }
    if found.discrepancies.is_empty() {
        say(format_args!("verified: {accounts} account windows and all rollups equal the sum of {events} events"));
    } else {
        let count = found.discrepancies.len();
        say(format_args!("{count} of the counters differ from the sum of {events} events; see above"));
    }
    // For the gauge that the servers show; who may only read finds out all the same.
    let last = LastVerification::new(&found, &audit, Clock::system().now());
    if let Err(error) = store.keep_verification(&last).await {
        complain(&format!("the servers are not told: {error}"));
    }
    store.close().await?;
    let is_clean = found.discrepancies.is_empty() && audit.fault.is_none();
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

const fn tell_fault(fault: AuditFault) -> &'static str {
    match fault {
        AuditFault::Gap => "it is missing",
        AuditFault::Changed => "it, or its link to the one before, is not what was written",
        AuditFault::CutOff => "it and all behind it are missing",
    }
}

fn tell(discrepancy: &Discrepancy) -> String {
    match discrepancy {
        Discrepancy::Account { key: (account, window_start), counted_nanos, summed_nanos } => format!(
            "account {account}, window from {window_start}: the counter says {} USD, the events add up to {} USD",
            usd(*counted_nanos),
            usd(*summed_nanos),
        ),
        Discrepancy::Rollup { cut, grain, bucket, counted, summed } => format!(
            "rollup {} by {} at {bucket}: the rows say {} USD in {} calls, the events add up to {} USD in {}",
            cut.as_str(),
            grain.as_str(),
            usd(counted.0),
            counted.1,
            usd(summed.0),
            summed.1,
        ),
    }
}

fn usd(nanos: i128) -> String {
    Decimal::try_from_i128_with_scale(nanos, 9)
        .map_or_else(|_| format!("{nanos}e-9"), |amount| amount.normalize().to_string())
}
