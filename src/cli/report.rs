//! `bursar report`: spend in the terminal, with bars.

use std::error::Error;
use std::fmt::Write;
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use serde_json::json;
use tonic::transport::Channel;

use super::client::{self, Server};
use super::{Outcome, days, say};
use crate::domain::money::Usd;
use crate::pb;
use crate::pb::spend_service_client::SpendServiceClient;

/// What spend is shown by.
const BY: [&str; 8] = ["day", "team", "model", "key", "user", "provider", "customer", "tag"];

/// How wide the longest bar is.
const WIDTH: i64 = 40;

/// A line: what it is about, and what was used.
type Line = (String, pb::SpendMetrics);

/// The command and its arguments.
pub(super) fn command() -> Command {
    let by = Arg::new("by")
        .long("by")
        .value_name("WHAT")
        .default_value("day")
        .value_parser(PossibleValuesParser::new(BY))
        .help("What spend is shown by");
    let top = Arg::new("top")
        .long("top")
        .value_name("N")
        .default_value("20")
        .value_parser(value_parser!(i32).range(1..=1_000))
        .help("How many lines, but for days");
    Command::new("report")
        .about("Show spend by day, team, model and more, with bars")
        .arg(by)
        .arg(top)
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("For machines: JSON instead of bars"))
        .args(client::arguments("A key that may read spend, such as the master key"))
        .args(days::arguments())
}

/// Shows spend.
pub(super) async fn run(arguments: &ArgMatches) -> Outcome {
    let server = Server::new(arguments)?;
    let client = SpendServiceClient::new(server.connect().await?);
    let by = arguments.get_one::<String>("by").cloned().unwrap_or_default();
    let (lines, totals) = read(&server, client, &by, arguments).await?;
    if arguments.get_flag("json") {
        let lines: Vec<serde_json::Value> = lines.iter().map(|(label, metrics)| machine(label, metrics)).collect();
        say(json!({ "by": by, "lines": lines, "totals": machine("", &totals) }));
    } else {
        say(drawn(&by, &lines, &totals)?.trim_end());
    }
    Ok(ExitCode::SUCCESS)
}

/// The lines of a report, and what they are a part of.
async fn read(
    server: &Server,
    mut client: SpendServiceClient<Channel>,
    by: &str,
    arguments: &ArgMatches,
) -> Result<(Vec<Line>, pb::SpendMetrics), Box<dyn Error>> {
    let (start_date, end_date) = (days::text(arguments, "start-date"), days::text(arguments, "end-date"));
    let time_zone = days::zone(arguments).to_string();
    let page_size = arguments.get_one::<i32>("top").copied().unwrap_or_default();
    // The lists differ in the names of their messages only.
    macro_rules! list {
        ($rpc:ident, $request:ident, $label:expr) => {{
            let request = pb::$request { start_date, end_date, time_zone, page_size, ..Default::default() };
            let answer = client.$rpc(server.request(request)).await.map_err(told)?.into_inner();
            let lines = answer.rows.into_iter().map(|row| ($label(&row), row.metrics.unwrap_or_default()));
            (lines.collect(), answer.totals.unwrap_or_default())
        }};
    }
    let named = |id: &str, alias: &str| if alias.is_empty() { id.to_owned() } else { format!("{alias} ({id})") };
    Ok(match by {
        "team" => {
            list!(list_team_spend, ListTeamSpendRequest, |row: &pb::TeamSpend| named(&row.team_id, &row.team_alias))
        }
        "user" => {
            list!(list_user_spend, ListUserSpendRequest, |row: &pb::UserSpend| named(&row.user_id, &row.user_alias))
        }
        "key" => list!(list_key_spend, ListKeySpendRequest, |row: &pb::KeySpend| named(&row.key_id, &row.key_alias)),
        "model" => list!(list_model_spend, ListModelSpendRequest, |row: &pb::ModelSpend| row.model.clone()),
        "provider" => {
            list!(list_provider_spend, ListProviderSpendRequest, |row: &pb::ProviderSpend| row.provider.clone())
        }
        "customer" => {
            list!(list_customer_spend, ListCustomerSpendRequest, |row: &pb::CustomerSpend| row.customer_id.clone())
        }
        "tag" => list!(list_tag_spend, ListTagSpendRequest, |row: &pb::TagSpend| row.tag.clone()),
        _ => {
            let request = pb::GetDailySpendRequest { start_date, end_date, time_zone, ..Default::default() };
            let answer = client.get_daily_spend(server.request(request)).await.map_err(told)?.into_inner();
            let lines = answer.days.into_iter().map(|day| (day.date, day.metrics.unwrap_or_default()));
            (lines.collect(), answer.totals.unwrap_or_default())
        }
    })
}

fn told(status: tonic::Status) -> String {
    format!("the server refuses: {}", status.message())
}

fn machine(label: &str, metrics: &pb::SpendMetrics) -> serde_json::Value {
    json!({
        "label": label,
        "spend": metrics.spend,
        "api_requests": metrics.api_requests,
        "failed_requests": metrics.failed_requests,
        "total_tokens": metrics.total_tokens,
    })
}

/// A table with bars.
fn drawn(by: &str, lines: &[Line], totals: &pb::SpendMetrics) -> Result<String, Box<dyn Error>> {
    let nanos = |metrics: &pb::SpendMetrics| metrics.spend.parse().map_or(0, Usd::nanos);
    let most = lines.iter().map(|(_, metrics)| nanos(metrics)).max().unwrap_or(0);
    let width = |of: &dyn Fn(&Line) -> usize| lines.iter().map(of).max().unwrap_or(0);
    let shown = |label: &str| if label.is_empty() { "(none)".to_owned() } else { label.to_owned() };
    let label_width = width(&|(label, _)| shown(label).chars().count());
    let spend_width = width(&|(_, metrics)| metrics.spend.len()).max("USD".len());
    let calls_width = width(&|(_, metrics)| metrics.api_requests.to_string().len()).max("calls".len());
    let mut text = String::new();
    writeln!(text, "{by:label_width$}  {:>spend_width$}  {:>calls_width$}", "USD", "calls")?;
    for (label, metrics) in lines {
        let (label, spend, calls) = (shown(label), &metrics.spend, metrics.api_requests);
        let bar = bar(nanos(metrics), most);
        writeln!(text, "{label:label_width$}  {spend:>spend_width$}  {calls:>calls_width$}  {bar}")?;
    }
    writeln!(text, "\n{} USD in {} calls", totals.spend, totals.api_requests)?;
    Ok(text)
}

/// A bar in eighths of a character.
fn bar(part: i64, most: i64) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    if most <= 0 || part <= 0 {
        return String::new();
    }
    let eighths = i128::from(part) * i128::from(WIDTH) * 8 / i128::from(most);
    let (whole, rest) = (usize::try_from(eighths / 8).unwrap_or(0), usize::try_from(eighths % 8).unwrap_or(0));
    format!("{}{}", "█".repeat(whole), EIGHTHS[rest])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(label: &str, spend: &str, api_requests: i64) -> Line {
        (label.to_owned(), pb::SpendMetrics { spend: spend.to_owned(), api_requests, ..pb::SpendMetrics::default() })
    }

    #[test]
    fn bars_are_as_long_as_their_spend() {
        let lines = [line("search", "10", 1_000), line("", "2.5", 7), line("zoë", "0", 0)];
        let (_, totals) = line("", "12.5", 1_007);
        let text = drawn("team", &lines, &totals).expect("text");
        let expected = format!(
            "team    USD  calls\nsearch   10   1000  {}\n(none)  2.5      7  {}\nzoë       0      0  \n\n12.5 USD in 1007 calls\n",
            "█".repeat(40),
            "█".repeat(10)
        );
        assert_eq!(text, expected);
        assert_eq!(bar(1, 16), "██▌");
        assert_eq!(bar(i64::MAX, i64::MAX).chars().count(), 40);
    }
}
