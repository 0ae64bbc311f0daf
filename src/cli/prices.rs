//! `bursar prices import FILE`: a price list into the price table.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::flags::with_settings;
use super::{Outcome, complain, say};
use crate::config::Settings;
use crate::domain::audit::Author;
use crate::domain::clock::{Clock, Timestamp};
use crate::domain::pricing::catalogue::{self, Catalogue, Difference};
use crate::store::{Store, StoreError};
use crate::telemetry;

/// How many rejected models are named.
const NAMED: usize = 20;

/// The command and its arguments.
pub(super) fn command() -> Command {
    let import = Command::new("import")
        .about("Add a price list's models, and the prices that changed, to the price table")
        .long_about(
            "Adds a price list's models, and the prices that changed, to the price table. What is new holds since \
             ever, what differs from now on; models that the list lacks stay. Entries that can't be believed are rejected by name; \
             the others count. Running servers follow within seconds.",
        )
        .arg(
            Arg::new("file")
                .required(true)
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("A JSON object: model name -> prices, as in LiteLLM's model_prices_and_context_window.json"),
        )
        .arg(
            Arg::new("dry-run")
                .long("dry-run")
                .action(ArgAction::SetTrue)
                .help("Tell what would change, and change nothing"),
        )
        .arg(
            Arg::new("allow-implausible")
                .long("allow-implausible")
                .action(ArgAction::SetTrue)
                .help("Believe prices above 0.01 USD a token, or above 100 USD a unit"),
        );
    Command::new("prices")
        .about("Work on the price table")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(with_settings(import))
}

/// Imports the file.
pub(super) async fn run(settings: &Settings, arguments: &ArgMatches) -> Outcome {
    telemetry::start(settings)?;
    let file: &PathBuf = arguments.get_one("file").ok_or("FILE is missing")?;
    let text = std::fs::read_to_string(file).map_err(|error| format!("can't read {}: {error}", file.display()))?;
    let list = catalogue::parse(&text, arguments.get_flag("allow-implausible"))?;
    let store = Store::connect(&settings.connect_options()).await?;
    store.migrate().await?;
    let now = Clock::system().now();
    let difference = if arguments.get_flag("dry-run") {
        store.view().price_difference(&list, now).await?
    } else {
        import(&store, &list, now).await?
    };
    store.close().await?;
    tell(&difference);
    Ok(ExitCode::SUCCESS)
}

async fn import(store: &Store, list: &Catalogue, now: Timestamp) -> Result<Difference, StoreError> {
    let author = Author::cli("prices import");
    let mut tx = store.begin(author, now).await?;
    let difference = tx.import_prices(list, now).await?;
    // No cache of this process is stale: it serves nobody.
    let _ = tx.commit().await?;
    Ok(difference)
}

fn tell(difference: &Difference) {
    let Difference { added, changed, unchanged, rejected } = difference;
    for (model, why) in rejected.iter().take(NAMED) {
        complain(&format!("rejected {model}: {why}"));
    }
    if rejected.len() > NAMED {
        complain(&format!("… and {} more", rejected.len() - NAMED));
    }
    let (added, changed, rejected) = (added.len(), changed.len(), rejected.len());
    say(format_args!("{added} added, {changed} changed, {unchanged} unchanged, {rejected} rejected"));
}
