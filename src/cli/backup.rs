//! `bursar backup` and `bursar restore`: the database of SQLite as one file.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::flags::with_settings;
use super::{Outcome, say};
use crate::config::Settings;
use crate::store::{Store, restore};
use crate::telemetry;

const FILE: &str = "FILE";
const REPLACE: &str = "replace";

/// The commands.
pub(super) fn commands() -> [Command; 2] {
    let file = |help: &'static str| {
        Arg::new(FILE).value_name("FILE").required(true).value_parser(value_parser!(PathBuf)).help(help)
    };
    let backup = Command::new("backup")
        .about("Write all of a database of SQLite to a file, also while a server works on it")
        .arg(file("The file; it must not be there yet"));
    let restore = Command::new("restore")
        .about("Make a backup the database of SQLite, while no server works on it")
        .arg(file("The backup; it stays"))
        .arg(
            Arg::new(REPLACE)
                .long(REPLACE)
                .action(ArgAction::SetTrue)
                .help("Move a database that is there aside, under its name and .replaced"),
        );
    [with_settings(backup), with_settings(restore)]
}

/// Writes a backup.
pub(super) async fn back_up(settings: &Settings, arguments: &ArgMatches) -> Outcome {
    telemetry::start(settings)?;
    let to = file(arguments);
    let store = Store::connect_existing(&settings.connect_options()).await?;
    let written = store.back_up(&to).await;
    store.close().await?;
    written?;
    say(format_args!("backed up to {}", to.display()));
    Ok(ExitCode::SUCCESS)
}

/// Puts a backup in place.
pub(super) async fn put_back(settings: &Settings, arguments: &ArgMatches) -> Outcome {
    telemetry::start(settings)?;
    let from = file(arguments);
    let aside = restore(&from, &settings.connect_options(), arguments.get_flag(REPLACE)).await?;
    if let Some(aside) = aside {
        say(format_args!("the database that was there is now {}", aside.display()));
    }
    say(format_args!("restored from {}; `bursar verify` proves it", from.display()));
    Ok(ExitCode::SUCCESS)
}

fn file(arguments: &ArgMatches) -> PathBuf {
    arguments.get_one::<PathBuf>(FILE).cloned().unwrap_or_default()
}
