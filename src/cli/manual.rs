//! `bursar completions` and `bursar man`: what shells and people read about the
//! command line.

use std::io::stdout;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command, value_parser};
use clap_complete::Shell;

use super::{Outcome, say};

const SHELL: &str = "SHELL";
const FOLDER: &str = "FOLDER";

/// The commands.
pub(super) fn commands() -> [Command; 2] {
    let shell = Arg::new(SHELL).value_name("SHELL").required(true).value_parser(value_parser!(Shell));
    let completions = Command::new("completions")
        .about("Print what a shell needs to complete the command line")
        .arg(shell.help("For which shell"));
    let folder = Arg::new(FOLDER).value_name("FOLDER").required(true).value_parser(value_parser!(PathBuf));
    let man = Command::new("man")
        .about("Write a manual page for each command")
        .arg(folder.help("Where to; it must be there"));
    [completions, man]
}

/// Prints the completions of a shell.
pub(super) fn complete(mut command: Command, arguments: &ArgMatches) -> ExitCode {
    if let Some(shell) = arguments.get_one::<Shell>(SHELL) {
        clap_complete::generate(*shell, &mut command, "bursar", &mut stdout());
    }
    ExitCode::SUCCESS
}

/// Writes the manual pages.
pub(super) fn write_pages(command: Command, arguments: &ArgMatches) -> Outcome {
    let folder = arguments.get_one::<PathBuf>(FOLDER).cloned().unwrap_or_default();
    clap_mangen::generate_to(command, &folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    say(format_args!("written to {}; try `man -l {}`", folder.display(), folder.join("bursar.1").display()));
    Ok(ExitCode::SUCCESS)
}
