//! `bursar export`: usage events into a file, a message at a time.

mod columns;
mod focus;
mod parquet;
mod sink;
mod usage;

use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgMatches, Command, value_parser};
use tonic::Code;

use self::columns::Column;
use self::sink::{Sink, Target};
use super::client::{self, Server};
use super::{Outcome, complain, days};
use crate::pb;
use crate::pb::spend_service_client::SpendServiceClient;

/// How often a stream that breaks is taken up again before anything new came.
const ATTEMPTS: u32 = 5;

/// Each format: its name, its columns, and whether it is Parquet.
type Format = (&'static str, fn() -> Vec<Column>, bool);

const FORMATS: [Format; 4] = [
    ("csv", usage::columns, false),
    ("parquet", usage::columns, true),
    ("focus-csv", focus::columns, false),
    ("focus-parquet", focus::columns, true),
];

/// The filters: each argument, its help, and the field that it sets.
type Filter = (&'static str, &'static str, fn(&mut pb::ListUsageRequest) -> &mut String);

const FILTERS: [Filter; 8] = [
    ("team", "Only usage of this team", |filter| &mut filter.team_id),
    ("user", "Only usage of this user", |filter| &mut filter.user_id),
    ("organization", "Only usage of this organization", |filter| &mut filter.organization_id),
    ("of-key", "Only usage of the key with this hash", |filter| &mut filter.key),
    ("customer", "Only usage on behalf of this end user", |filter| &mut filter.customer_id),
    ("model", "Only usage of this model", |filter| &mut filter.model),
    ("provider", "Only usage of this provider", |filter| &mut filter.provider),
    ("tag", "Only usage with this tag", |filter| &mut filter.tag),
];

/// The command and its arguments.
pub(super) fn command() -> Command {
    let format = Arg::new("format")
        .long("format")
        .value_name("FORMAT")
        .default_value("csv")
        .value_parser(PossibleValuesParser::new(FORMATS.map(|(name, ..)| name)))
        .help("What is written; focus-… has the columns of FOCUS 1.2");
    let filters = FILTERS.map(|(name, help, _)| Arg::new(name).long(name).value_name("ID").help(help));
    Command::new("export")
        .about("Write usage events to a file: CSV or Parquet, as they are or by FOCUS 1.2")
        .long_about(
            "Writes usage events to a file, the earliest first: those that the credential may see. It keeps little in \
             memory, however many there are, and goes on where it was if the connection breaks. The file is there when \
             all of it is.",
        )
        .arg(
            Arg::new("file")
                .required(true)
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("The file to write; it must not be there. \"-\" is standard output, for CSV"),
        )
        .arg(format)
        .args(client::arguments("A key that may read usage, such as the master key"))
        .args(days::arguments())
        .args(filters)
}

/// Exports usage.
pub(super) async fn run(arguments: &ArgMatches) -> Outcome {
    let server = Server::new(arguments)?;
    let name = arguments.get_one::<String>("format").map(String::as_str).unwrap_or_default();
    let format = FORMATS.iter().find(|(known, ..)| *known == name);
    let (_, columns, is_parquet) = format.ok_or("--format is unknown")?;
    let file: &PathBuf = arguments.get_one("file").ok_or("FILE is missing")?;
    let target = Target::open(file, *is_parquet)?;
    let sink = if *is_parquet { Sink::parquet(target, columns())? } else { Sink::csv(target, columns())? };
    let count = export(&server, filter(arguments)?, sink).await?;
    complain(&format!("{count} events"));
    Ok(ExitCode::SUCCESS)
}

fn filter(arguments: &ArgMatches) -> Result<pb::ListUsageRequest, Box<dyn Error>> {
    let mut filter = pb::ListUsageRequest::default();
    let (start_time, end_time) = days::instants(arguments)?;
    (filter.start_time, filter.end_time) = (start_time, end_time);
    for (name, _, field) in FILTERS {
        if let Some(id) = arguments.get_one::<String>(name) {
            field(&mut filter).clone_from(id);
        }
    }
    Ok(filter)
}

/// Writes every event; returns how many there were.
async fn export(server: &Server, filter: pb::ListUsageRequest, mut sink: Sink) -> Result<u64, Box<dyn Error>> {
    let mut client = SpendServiceClient::new(server.connect().await?).max_decoding_message_size(usize::MAX);
    let (mut page_token, mut count, mut failures) = (String::new(), 0, 0);
    'streams: loop {
        let request = pb::ExportUsageRequest { filter: Some(filter.clone()), page_token: page_token.clone() };
        let opened = client.export_usage(server.request(request)).await;
        let broken = match opened {
            Err(status) => status,
            Ok(stream) => {
                let mut stream = stream.into_inner();
                loop {
                    match stream.message().await {
                        Ok(Some(message)) => {
                            count += message.events.len() as u64;
                            sink.write(&message.events)?;
                            failures = 0;
                            page_token = message.next_page_token;
                            if page_token.is_empty() {
                                break 'streams;
                            }
                        }
                        Ok(None) => break tonic::Status::unavailable("the stream ended early"),
                        Err(status) => break status,
                    }
                }
            }
        };
        failures += 1;
        let passes = matches!(broken.code(), Code::Unavailable | Code::Unknown | Code::Cancelled);
        if !passes || failures > ATTEMPTS {
            return Err(format!("the server refuses: {}", broken.message()).into());
        }
        tokio::time::sleep(Duration::from_millis(200 << failures)).await;
    }
    sink.finish()?;
    Ok(count)
}
