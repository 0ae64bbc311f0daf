//! Flags: every setting is one.

use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, value_parser};

use crate::config::{ConfigError, Settings, documented, load};

/// The flag that names the file with settings.
const CONFIG: &str = "config";

/// A command that takes settings.
pub(super) fn with_settings(command: Command) -> Command {
    let file = Arg::new(CONFIG)
        .long(CONFIG)
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .help("The file with settings (BURSAR_CONFIG; else bursar.toml, if there is one)");
    let flags = documented().into_iter().map(|setting| {
        Arg::new(setting.name)
            .long(setting.name.replace('_', "-"))
            .alias(setting.name)
            .value_name("VALUE")
            // So that a wrong one is named as a setting.
            .allow_negative_numbers(true)
            .help(setting.about)
            .help_heading("Settings, as in bursar.example.toml")
    });
    command.arg(file).args(flags)
}

/// Reads the settings; flags may stand before and after the command.
pub(super) fn settings(places: &[&ArgMatches]) -> Result<Settings, ConfigError> {
    let file = places.iter().rev().find_map(|flags| flags.get_one::<PathBuf>(CONFIG).cloned());
    let given = places.iter().flat_map(|flags| {
        documented().into_iter().filter_map(|setting| {
            let is_given = flags.value_source(setting.name) == Some(ValueSource::CommandLine);
            let value = is_given.then(|| flags.get_one::<String>(setting.name))?;
            Some((setting.name.to_owned(), value?.clone()))
        })
    });
    load(&given.collect::<Vec<_>>(), file)
}
