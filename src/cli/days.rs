//! The days that a command is about.

use std::error::Error;

use chrono::{Days, NaiveDate};
use chrono_tz::Tz;
use clap::{Arg, ArgMatches, value_parser};
use prost_types::Timestamp as Wire;

use crate::domain::window::Calendar;

/// The arguments that name days.
pub(super) fn arguments() -> [Arg; 3] {
    let day = |name: &'static str, help: &'static str| {
        let parse = |text: &str| NaiveDate::parse_from_str(text, "%Y-%m-%d").map_err(|_| "a day such as 2026-01-31");
        Arg::new(name).long(name).value_name("DAY").value_parser(parse).help(help)
    };
    [
        day("start-date", "The first day, such as 2026-01-01"),
        day("end-date", "The last day, included"),
        Arg::new("time-zone")
            .long("time-zone")
            .value_name("ZONE")
            .default_value("UTC")
            .value_parser(value_parser!(Tz))
            .help("The IANA time zone of the days, such as Europe/Berlin"),
    ]
}

/// A day that was given, as the API has it; empty if none was.
pub(super) fn text(arguments: &ArgMatches, name: &str) -> String {
    arguments.get_one::<NaiveDate>(name).map(ToString::to_string).unwrap_or_default()
}

/// The name of the time zone.
pub(super) fn zone(arguments: &ArgMatches) -> Tz {
    arguments.get_one("time-zone").copied().unwrap_or(Tz::UTC)
}

/// The instants at which the days begin and end, if they were given.
///
/// # Errors
/// If the last day lies before the first.
pub(super) fn instants(arguments: &ArgMatches) -> Result<(Option<Wire>, Option<Wire>), Box<dyn Error>> {
    let day = |name: &str| arguments.get_one::<NaiveDate>(name).copied();
    let (first, last) = (day("start-date"), day("end-date"));
    if first.zip(last).is_some_and(|(first, last)| last < first) {
        return Err("--end-date must not lie before --start-date".into());
    }
    let calendar = Calendar { zone: zone(arguments), ..Calendar::UTC };
    let begins = |day: NaiveDate| Wire { seconds: calendar.day_start_at(day).micros() / 1_000_000, nanos: 0 };
    Ok((first.map(begins), last.map(|last| begins(last + Days::new(1)))))
}
