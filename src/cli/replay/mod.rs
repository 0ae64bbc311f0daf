//! `bursar replay FILE`: a trace of model calls, driven through a server as
//! fast as it answers.

mod drive;
mod report;
mod trace;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command, value_parser};

use self::drive::Plan;
use super::client::{self, Server};
use super::{Outcome, say};

/// The command and its arguments.
pub(super) fn command() -> Command {
    let number = |name: &'static str, default: &'static str, help: &'static str| {
        Arg::new(name)
            .long(name)
            .value_name("N")
            .default_value(default)
            .value_parser(value_parser!(u32).range(1..=100_000))
            .help(help)
    };
    Command::new("replay")
        .about("Drive a trace of model calls through a server: Authorize, then Settle, for each line")
        .long_about(
            "Drives a trace of model calls through a running server, as a sidecar would: Authorize with a reservation, \
             then Settle, for each line, as fast as it answers. Tells calls, spend, rate and latencies.",
        )
        .arg(Arg::new("file").required(true).value_name("FILE").value_parser(value_parser!(PathBuf)).help(
            "CSV with the header TIMESTAMP,ContextTokens,GeneratedTokens, such as the Azure LLM inference traces",
        ))
        .args(client::arguments("The virtual key that calls"))
        .arg(Arg::new("model").long("model").value_name("MODEL").required(true).help("The model that it calls"))
        .arg(number("concurrency", "64", "Calls in flight"))
        .arg(number("connections", "4", "Connections that they share"))
        .arg(
            Arg::new("limit")
                .long("limit")
                .value_name("N")
                .value_parser(value_parser!(usize))
                .help("Stop after the first N lines"),
        )
}

/// Replays the trace.
pub(super) async fn run(arguments: &ArgMatches) -> Outcome {
    let text = |name: &str| arguments.get_one::<String>(name).cloned().unwrap_or_default();
    let number = |name: &str| arguments.get_one::<u32>(name).map_or(1, |count| *count as usize);
    let file: &PathBuf = arguments.get_one("file").ok_or("FILE is missing")?;
    let csv = std::fs::read_to_string(file).map_err(|error| format!("can't read {}: {error}", file.display()))?;
    let mut calls = trace::parse(&csv)?;
    calls.truncate(arguments.get_one("limit").copied().unwrap_or(usize::MAX));
    let plan = Plan {
        server: Server::new(arguments)?,
        model: text("model"),
        concurrency: number("concurrency"),
        connections: number("connections"),
    };
    let report = drive::drive(&plan, calls).await?;
    say(&report);
    Ok(if report.failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
