//! The command line: what `bursar` does when it is called.

mod admin;
mod backup;
mod client;
mod days;
mod doctor;
mod export;
mod flags;
mod import;
mod manual;
mod migrate;
mod prices;
mod profile;
mod replay;
mod report;
mod serve;
mod sessions;
mod verify;

use std::error::Error;
use std::fmt::Display;
use std::process::ExitCode;

use clap::{ArgMatches, Command};

/// How a command ended that did its work: well, or with a finding.
pub(crate) type Outcome = Result<ExitCode, Box<dyn Error>>;

/// Reads the arguments and runs the command.
pub async fn run() -> ExitCode {
    match Box::pin(dispatch(&command().get_matches())).await {
        Ok(code) => code,
        Err(error) => {
            complain(&format!("bursar: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn command() -> Command {
    let about = "The control plane of LLM gateways: users, teams, keys, budgets, prices and spend over gRPC";
    let serve = Command::new("serve").about("Serve gRPC (what bursar does without a command)");
    let migrate = Command::new("migrate").about("Bring the database's tables up to date, and stop");
    let verify = Command::new("verify")
        .about("Prove that every counter equals the sum of its usage events, and that the audit log is whole");
    let doctor =
        Command::new("doctor").about("Look at settings, certificate, database and clocks, and say what is to be done");
    flags::with_settings(Command::new("bursar").about(about).version(env!("CARGO_PKG_VERSION")))
        .subcommand(flags::with_settings(serve))
        .subcommand(flags::with_settings(migrate))
        .subcommands(admin::commands())
        .subcommand(import::command())
        .subcommand(prices::command())
        .subcommand(sessions::command())
        .subcommand(flags::with_settings(verify))
        .subcommand(flags::with_settings(doctor))
        .subcommands(backup::commands())
        .subcommand(export::command())
        .subcommand(report::command())
        .subcommand(replay::command())
        .subcommands(manual::commands())
}

async fn dispatch(arguments: &ArgMatches) -> Outcome {
    match arguments.subcommand() {
        Some((name @ ("keys" | "users" | "teams"), of_command)) => Box::pin(admin::run(name, of_command)).await,
        Some(("completions", of_command)) => Ok(manual::complete(command(), of_command)),
        Some(("man", of_command)) => manual::write_pages(command(), of_command),
        Some(("replay", of_command)) => replay::run(of_command).await,
        Some(("export", of_command)) => export::run(of_command).await,
        Some(("report", of_command)) => report::run(of_command).await,
        Some(("prices", of_command)) => {
            // `import` is the one thing to do with prices, so far.
            let of_import = of_command.subcommand().map_or(of_command, |(_, import)| import);
            prices::run(&flags::settings(&[arguments, of_import])?, of_import).await
        }
        Some(("import", of_command)) => {
            let of_source = of_command.subcommand().map_or(of_command, |(_, source)| source);
            import::run(&flags::settings(&[arguments, of_source])?, of_source).await
        }
        Some(("sessions", of_command)) => {
            let of_rotate = of_command.subcommand().map_or(of_command, |(_, rotate)| rotate);
            sessions::run(&flags::settings(&[arguments, of_rotate])?, of_rotate).await
        }
        Some((name, of_command)) => {
            let settings = flags::settings(&[arguments, of_command])?;
            match name {
                "migrate" => migrate::run(&settings).await,
                "verify" => verify::run(&settings).await,
                "doctor" => doctor::run(&settings).await,
                "backup" => backup::back_up(&settings, of_command).await,
                "restore" => backup::put_back(&settings, of_command).await,
                _ => Box::pin(serve::run(settings)).await,
            }
        }
        None => Box::pin(serve::run(flags::settings(&[arguments])?)).await,
    }
}

/// Tells the user a result.
#[expect(clippy::print_stdout, reason = "the one place that writes results")]
fn say(text: impl Display) {
    println!("{text}");
}

/// Tells the user what went wrong, or how work goes on.
#[expect(clippy::print_stderr, reason = "the one place that writes complaints")]
fn complain(text: &str) {
    eprintln!("{text}");
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_arguments_are_consistent() {
        super::command().debug_assert();
    }
}
