//! `bursar migrate`: the tables, without a server.

use std::process::ExitCode;

use super::{Outcome, say};
use crate::config::Settings;
use crate::store::Store;
use crate::telemetry;

/// Brings the tables up to date.
pub(super) async fn run(settings: &Settings) -> Outcome {
    telemetry::start(settings)?;
    let store = Store::connect(&settings.connect_options()).await?;
    store.migrate().await?;
    store.close().await?;
    say("the database's tables are up to date");
    Ok(ExitCode::SUCCESS)
}
