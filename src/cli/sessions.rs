//! `bursar sessions rotate-key`: a new key signs sessions from now on.

use std::process::ExitCode;

use clap::{Arg, ArgAction, ArgMatches, Command};

use super::flags::with_settings;
use super::{Outcome, say};
use crate::auth::new_session_key;
use crate::config::Settings;
use crate::domain::audit::Author;
use crate::domain::clock::Clock;
use crate::store::Store;
use crate::telemetry;

/// The command and its arguments.
pub(super) fn command() -> Command {
    let rotate = Command::new("rotate-key")
        .about("Sign sessions with a new key from now on; running servers follow within seconds")
        .arg(
            Arg::new("revoke")
                .long("revoke")
                .action(ArgAction::SetTrue)
                .help("Remove all former keys, too: every session ends, everybody signs in again"),
        );
    Command::new("sessions")
        .about("Work on sessions")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(with_settings(rotate))
}

/// Adds a key, and removes the former ones if that is asked for.
pub(super) async fn run(settings: &Settings, arguments: &ArgMatches) -> Outcome {
    telemetry::start(settings)?;
    let store = Store::connect_existing(&settings.connect_options()).await?;
    let now = Clock::system().now();
    let author = Author::cli("sessions rotate-key");
    let key = new_session_key(now).map_err(|error| format!("{error:?}"))?;
    let mut tx = store.begin(author, now).await?;
    let former = tx.view().session_keys().await?;
    tx.insert_session_key(&key).await?;
    let revoked = arguments.get_flag("revoke");
    if revoked {
        for former in &former {
            tx.delete_session_key(former).await?;
        }
    }
    // Servers read the keys again by themselves.
    let _ = tx.commit().await?;
    store.close().await?;
    let fate = if revoked { "removed: every session has ended" } else { "kept: their sessions go on to their end" };
    say(format_args!("sessions are signed by key {} from now on; {} former keys were {fate}", key.kid, former.len()));
    Ok(ExitCode::SUCCESS)
}
