//! `bursar keys`, `users` and `teams`: what people do without grpcurl, over the
//! same API.

mod keys;
mod table;
mod teams;
mod users;

use std::error::Error;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use tonic::Status;
use tonic_types::StatusExt;

use self::table::Format;
use super::client::{self, Server};
use super::{Outcome, complain};

/// The commands.
pub(super) fn commands() -> [Command; 3] {
    [keys::command(), users::command(), teams::command()].map(|command| {
        let json = Arg::new("json").long("json").global(true).action(ArgAction::SetTrue);
        command
            .subcommand_required(true)
            .arg_required_else_help(true)
            .arg(json.help("For machines: JSON instead of a table"))
            .args(
                client::arguments("A key that may do it, such as the master key").map(|argument| argument.global(true)),
            )
    })
}

/// Runs one of them.
pub(super) async fn run(name: &str, arguments: &ArgMatches) -> Outcome {
    let Some((verb, of_verb)) = arguments.subcommand() else { return Err("what to do must be said".into()) };
    let server = Server::new(of_verb)?;
    let format = if of_verb.get_flag("json") { Format::Json } else { Format::Table };
    match name {
        "keys" => keys::run(verb, of_verb, &server, format).await,
        "users" => users::run(verb, of_verb, &server, format).await,
        _ => teams::run(verb, of_verb, &server, format).await,
    }
}

/// An option with a value.
fn option(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).value_name(value).help(help)
}

/// An option that may be given several times.
fn options(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    option(name, value, help).action(ArgAction::Append)
}

/// A whole number.
fn number(name: &'static str, help: &'static str) -> Arg {
    option(name, "N", help).value_parser(value_parser!(i64))
}

/// A flag.
fn flag(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(help)
}

/// How many things a list shows.
fn limit() -> Arg {
    option("limit", "N", "How many are shown at most").default_value("50").value_parser(value_parser!(u32).range(1..))
}

fn string(arguments: &ArgMatches, name: &str) -> Option<String> {
    // Not every verb has every argument.
    arguments.try_get_one::<String>(name).ok().flatten().cloned()
}

fn strings(arguments: &ArgMatches, name: &str) -> Vec<String> {
    arguments.get_many::<String>(name).into_iter().flatten().cloned().collect()
}

fn integer(arguments: &ArgMatches, name: &str) -> Option<i64> {
    arguments.get_one::<i64>(name).copied()
}

/// What the server refuses, with every field that is wrong.
fn told(status: Status) -> Box<dyn Error> {
    let details = status.get_error_details();
    let faults = details.bad_request().map(|bad| bad.field_violations.clone()).unwrap_or_default();
    let faults: Vec<String> = faults.iter().map(|fault| format!("\n  {} {}", fault.field, fault.description)).collect();
    format!("the server refuses: {}{}", status.message(), faults.concat()).into()
}

/// Reads pages until there are enough things, or no more.
struct Pages {
    left: usize,
    token: Option<String>,
}

impl Pages {
    fn new(arguments: &ArgMatches) -> Self {
        let limit = arguments.get_one::<u32>("limit").copied().unwrap_or(50);
        Self { left: usize::try_from(limit).unwrap_or(usize::MAX), token: Some(String::new()) }
    }

    /// The size and the token of the next page, if one is wanted.
    fn next(&self) -> Option<(i32, String)> {
        let token = self.token.clone().filter(|_| self.left > 0)?;
        Some((i32::try_from(self.left.min(1_000)).unwrap_or(1_000), token))
    }

    /// Takes note of a page.
    fn took(&mut self, count: usize, next_page_token: String) {
        self.left = self.left.saturating_sub(count);
        self.token = Some(next_page_token).filter(|token| !token.is_empty());
    }

    /// Says that there is more.
    fn end(&self) {
        if self.token.is_some() {
            complain("there are more; see --limit");
        }
    }
}
