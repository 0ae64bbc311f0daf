//! Telemetry: log lines for people or for machines.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt;

use crate::config::{ConfigError, LogFormat, Settings};

/// Libraries that tell more than anybody asks for; a filter in the setting that
/// names them wins.
const CHATTY: &str = "sqlx=warn,sea_orm_migration=warn";

/// What is logged.
///
/// # Errors
/// [`ConfigError`] if the level is none.
pub fn filter(settings: &Settings) -> Result<EnvFilter, ConfigError> {
    let level = settings.log_level.as_str();
    // A lone word that is no level would be taken for the name of a module, and
    // nothing at all be logged.
    let is_filter = level.contains(['=', ',']);
    if !is_filter && level.parse::<LevelFilter>().is_err() {
        let rule = "must be error, warn, info, debug, trace or off, or a filter such as \"info,bursar=debug\"";
        return Err(ConfigError(format!("wrong setting log_level: {level:?} {rule}")));
    }
    EnvFilter::try_new(format!("{CHATTY},{}", settings.log_level))
        .map_err(|error| ConfigError(format!("wrong setting log_level: {error}")))
}

/// Starts logging, to standard error.
///
/// # Errors
/// [`ConfigError`] as for [`filter`].
pub fn start(settings: &Settings) -> Result<(), ConfigError> {
    let lines = fmt().with_env_filter(filter(settings)?).with_writer(stderr).with_ansi(stderr().is_terminal());
    let started = match settings.log_format {
        LogFormat::Text => lines.with_target(false).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| ConfigError(format!("logging can't be started: {error}")))
}
