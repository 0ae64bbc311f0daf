//! `bursar verify`: do the counters equal the sum of the events?

use std::process::ExitCode;

use rust_decimal::Decimal;

use super::{Outcome, complain, say};
use crate::config::Settings;
use crate::store::{Discrepancy, Store};
use crate::telemetry;

/// Compares every counter with the sum of its events.
pub(super) async fn run(settings: &Settings) -> Outcome {
    telemetry::start(settings)?;
    let store = Store::connect_existing(&settings.connect_options()).await?;
    let found = store.verify().await?;
    store.close().await?;
    for discrepancy in &found.discrepancies {
        complain(&tell(discrepancy));
    }
    let (events, accounts) = (found.events, found.accounts);
    if found.discrepancies.is_empty() {
        say(format_args!("verified: {accounts} account windows and all rollups equal the sum of {events} events"));
        return Ok(ExitCode::SUCCESS);
    }
    say(format_args!(
        "{} of the counters differ from the sum of {events} events; see above",
        found.discrepancies.len()
    ));
    Ok(ExitCode::FAILURE)
}

fn tell(discrepancy: &Discrepancy) -> String {
    match discrepancy {
        Discrepancy::Account { key: (account, window_start), counted_nanos, summed_nanos } => format!(
            "account {account}, window from {window_start}: the counter says {} USD, the events add up to {} USD",
            usd(*counted_nanos),
            usd(*summed_nanos),
        ),
        Discrepancy::Rollup { cut, bucket, counted, summed } => format!(
            "rollup {} at {bucket}: the rows say {} USD in {} calls, the events add up to {} USD in {}",
            cut.as_str(),
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
