//! `bursar import litellm`: what a LiteLLM proxy's database has, into Bursar's.

use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};
use strum::VariantArray;

use super::flags::with_settings;
use super::{Outcome, say};
use crate::config::{Settings, client_variable};
use crate::domain::clock::Clock;
use crate::import::{self, Kind, Tally};
use crate::store::{ForeignDatabase, Store};
use crate::telemetry;

/// The command and its arguments.
pub(super) fn command() -> Command {
    let litellm = Command::new("litellm")
        .about("Take over the organizations, users, teams, members, budgets, keys and customers of a LiteLLM proxy")
        .long_about(
            "Takes over the organizations, users, teams, members, budgets, keys and customers of a LiteLLM proxy's database, each \
             with what it has spent in its open window, and models with their own prices. Secrets go on working. What is there already stays as it is, so \
             that the command can be run again; what can't be taken over is told, and changes nothing. Passwords, \
             credentials of providers and spend logs are not taken over.",
        )
        .arg(
            Arg::new("from")
                .long("from")
                .value_name("URL")
                .help("The proxy's database, postgres://…; it is only read. Else BURSAR_IMPORT_FROM, which no list of processes shows"),
        )
        .arg(
            Arg::new("dry-run")
                .long("dry-run")
                .action(ArgAction::SetTrue)
                .help("Tell what would be taken over, and change nothing"),
        );
    Command::new("import")
        .about("Take over what another gateway's database has")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(with_settings(litellm))
}

/// Imports the database.
pub(super) async fn run(settings: &Settings, arguments: &ArgMatches) -> Outcome {
    telemetry::start(settings)?;
    let from = arguments.get_one::<String>("from").cloned().or_else(|| client_variable("BURSAR_IMPORT_FROM"));
    let from = from.ok_or("--from is missing, and so is BURSAR_IMPORT_FROM")?;
    if !from.starts_with("postgres://") && !from.starts_with("postgresql://") {
        return Err("--from, or BURSAR_IMPORT_FROM, must begin with postgres://".into());
    }
    let calendar = settings.rules()?.calendar;
    let source = ForeignDatabase::connect(&from).await?;
    let store = Store::connect(&settings.connect_options()).await?;
    store.migrate().await?;
    let dry_run = arguments.get_flag("dry-run");
    let tally = import::litellm(&store, &source, calendar, dry_run, Clock::system().now()).await?;
    store.close().await?;
    tell(&tally, dry_run);
    Ok(ExitCode::SUCCESS)
}

fn tell(tally: &Tally, dry_run: bool) {
    let new = if dry_run { "would be new" } else { "new" };
    say(format!("{:<20} {:>8} {:>12} {:>8} {:>14}", "", "read", new, "known", "not taken over"));
    for kind in Kind::VARIANTS {
        let count = tally.counts.get(kind).copied().unwrap_or_default();
        let name: &'static str = kind.into();
        say(format!("{name:<20} {:>8} {:>12} {:>8} {:>14}", count.read, count.new, count.known, count.refused));
    }
    for ((kind, what), note) in &tally.notes {
        let name: &'static str = kind.into();
        let more = if note.names.len() < usize::try_from(note.count).unwrap_or(usize::MAX) { ", …" } else { "" };
        say(format!("{} × {name}: {what} ({}{more})", note.count, note.names.join(", ")));
    }
}
