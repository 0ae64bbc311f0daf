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

use self::table::{Format, Shown};
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
    arguments.get_one::<String>(name).cloned()
}

fn strings(arguments: &ArgMatches, name: &str) -> Vec<String> {
    arguments.get_many::<String>(name).into_iter().flatten().cloned().collect()
}

fn integer(arguments: &ArgMatches, name: &str) -> Option<i64> {
    arguments.get_one::<i64>(name).copied()
}

/// A value of an enum by its short name.
fn word<T>(name: &str, prefix: &str, parse: impl Fn(&str) -> Option<T>) -> Result<T, Box<dyn Error>> {
    let full = format!("{prefix}_{}", name.to_uppercase());
    Ok(parse(&full).ok_or_else(|| format!("{name:?} is no {prefix}"))?)
}

/// What the server refuses, with every field that is wrong.
fn told(status: Status) -> Box<dyn Error> {
    let details = status.get_error_details();
    let faults = details.bad_request().map(|bad| bad.field_violations.clone()).unwrap_or_default();
    let faults: Vec<String> = faults.iter().map(|fault| format!("\n  {} {}", fault.field, fault.description)).collect();
    format!("the server refuses: {}{}", status.message(), faults.concat()).into()
}

/// Shows the things of a list, page by page until there are enough of them, or
/// no more. `page` reads so many behind a token; it tells the next one.
async fn list(
    arguments: &ArgMatches,
    format: Format,
    mut page: impl AsyncFnMut(i32, String) -> Result<(Vec<Shown>, String), Status>,
) -> Result<(), Box<dyn Error>> {
    let limit = arguments.get_one::<u32>("limit").copied().unwrap_or(50);
    let mut left = usize::try_from(limit)?;
    let (mut rows, mut token) = (Vec::new(), Some(String::new()));
    while let Some(page_token) = token.take_if(|_| left > 0) {
        let size = i32::try_from(left.min(1_000))?;
        let (read, next) = page(size, page_token).await.map_err(told)?;
        left = left.saturating_sub(read.len());
        rows.extend(read);
        token = Some(next).filter(|next| !next.is_empty());
    }
    format.list(rows);
    if token.is_some() {
        complain("there are more; see --limit");
    }
    Ok(())
}
