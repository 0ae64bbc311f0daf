//! `bursar keys`.

use std::error::Error;
use std::io::Read;
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgMatches, Command};
use serde_json::Value;
use tonic::transport::Channel;

use super::table::{Format, Shown, text, words};
use super::{flag, integer, limit, number, option, options, string, strings, told, word};
use crate::cli::Outcome;
use crate::cli::client::Server;
use crate::domain::secret::{KeyHash, SECRET_PREFIX};
use crate::pb;
use crate::pb::key_service_client::KeyServiceClient;

/// What a key may be made for.
const TYPES: [&str; 5] = ["default", "llm_api", "management", "read_only", "gateway"];

/// The states by which keys are listed.
const STATES: [&str; 4] = ["active", "blocked", "expired", "deleted"];

type Client = KeyServiceClient<Channel>;

/// The command and its arguments.
pub(super) fn command() -> Command {
    let key = || {
        Arg::new("key_named")
            .value_name("KEY")
            .required(true)
            .help("The hash, the alias or the secret of the key; \"-\": one of them from standard input")
    };
    let create = Command::new("create")
        .about("Make a key, and show its secret once")
        .arg(option("alias", "NAME", "A label, unique among keys"))
        .arg(option("user", "USER_ID", "The owner"))
        .arg(option("team", "TEAM_ID", "The team whose budget and models apply"))
        .arg(flag("service-account", "A key of the team alone, which survives people"))
        .arg(option("type", "TYPE", "What it is for").value_parser(PossibleValuesParser::new(TYPES)))
        .arg(options("model", "NAME", "A model that it may call; all, without any"))
        .arg(option("max-budget", "USD", "What it may spend, in a window or for life"))
        .arg(option("budget-duration", "LENGTH", "The length of the window, such as 30d"))
        .arg(option("duration", "LENGTH", "How long it lives, such as 90d"))
        .arg(number("tpm", "Tokens a minute"))
        .arg(number("rpm", "Calls a minute"))
        .arg(number("tpd", "Tokens a day"))
        .arg(options("tag", "TAG", "Added to every usage event"));
    let list = Command::new("list")
        .about("List keys, the newest first")
        .arg(option("user", "USER_ID", "Those of an owner"))
        .arg(option("team", "TEAM_ID", "Those of a team"))
        .arg(option("state", "STATE", "Those in a state").value_parser(PossibleValuesParser::new(STATES)))
        .arg(option("search", "TEXT", "Those with this hash, or this in their alias"))
        .arg(limit());
    let block = Command::new("block").about("Refuse a key from the next call on").arg(key()).arg(option(
        "reason",
        "TEXT",
        "Why, for whoever asks",
    ));
    let rotate = Command::new("rotate").about("Give a key another secret, and show it once").arg(key()).arg(option(
        "grace",
        "LENGTH",
        "How long the former secret is good, such as 24h; 0: not at all",
    ));
    Command::new("keys")
        .about("Make, list, block, rotate and delete virtual keys")
        .subcommand(create)
        .subcommand(list)
        .subcommand(Command::new("get").about("Show a key").arg(key()))
        .subcommand(block)
        .subcommand(Command::new("unblock").about("Undo it").arg(key()))
        .subcommand(rotate)
        .subcommand(Command::new("delete").about("Delete a key for ever; its spend stays in reports").arg(key()))
}

/// Does what the verb says.
pub(super) async fn run(verb: &str, arguments: &ArgMatches, server: &Server, format: Format) -> Outcome {
    let mut client = KeyServiceClient::new(server.connect().await?);
    match verb {
        "create" => {
            let answer = client.generate_key(server.request(new_key(arguments)?)).await.map_err(told)?.into_inner();
            format.one(with_secret(answer.secret, answer.key.unwrap_or_default()));
        }
        "list" => list(arguments, server, format, client).await?,
        "get" => {
            let key = named(arguments, server, &mut client).await?;
            let answer = client.get_key(server.request(pb::GetKeyRequest { key })).await.map_err(told)?;
            format.one(shown(&answer.into_inner().key.unwrap_or_default()));
        }
        "block" => {
            let key = named(arguments, server, &mut client).await?;
            let reason = string(arguments, "reason").unwrap_or_default();
            let request = pb::BlockKeyRequest { key, reason };
            let answer = client.block_key(server.request(request)).await.map_err(told)?;
            format.one(shown(&answer.into_inner().key.unwrap_or_default()));
        }
        "unblock" => {
            let key = named(arguments, server, &mut client).await?;
            let answer = client.unblock_key(server.request(pb::UnblockKeyRequest { key })).await.map_err(told)?;
            format.one(shown(&answer.into_inner().key.unwrap_or_default()));
        }
        "rotate" => {
            let key = named(arguments, server, &mut client).await?;
            let grace_period = string(arguments, "grace");
            let request = pb::RegenerateKeyRequest { key, grace_period, ..pb::RegenerateKeyRequest::default() };
            let answer = client.regenerate_key(server.request(request)).await.map_err(told)?.into_inner();
            format.one(with_secret(answer.secret, answer.key.unwrap_or_default()));
        }
        _ => {
            let keys = vec![named(arguments, server, &mut client).await?];
            let request = pb::DeleteKeysRequest { keys, key_aliases: Vec::new() };
            let answer = client.delete_keys(server.request(request)).await.map_err(told)?.into_inner();
            format.list(answer.deleted_keys.iter().map(shown).collect());
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn new_key(arguments: &ArgMatches) -> Result<pb::GenerateKeyRequest, Box<dyn Error>> {
    let key_type = string(arguments, "type").map(|name| word(&name, "KEY_TYPE", pb::KeyType::from_str_name));
    let key = pb::Key {
        key_type: key_type.transpose()?.unwrap_or_default().into(),
        key_alias: string(arguments, "alias"),
        user_id: string(arguments, "user"),
        team_id: string(arguments, "team"),
        models: strings(arguments, "model"),
        max_budget: string(arguments, "max-budget"),
        budget_duration: string(arguments, "budget-duration"),
        tpm_limit: integer(arguments, "tpm"),
        rpm_limit: integer(arguments, "rpm"),
        tpd_limit: integer(arguments, "tpd"),
        tags: strings(arguments, "tag"),
        ..pb::Key::default()
    };
    Ok(pb::GenerateKeyRequest {
        key: Some(key),
        duration: string(arguments, "duration"),
        service_account: arguments.get_flag("service-account"),
        ..pb::GenerateKeyRequest::default()
    })
}

async fn list(
    arguments: &ArgMatches,
    server: &Server,
    format: Format,
    mut client: Client,
) -> Result<(), Box<dyn Error>> {
    let state = string(arguments, "state").map(|name| word(&name, "KEY_STATE", pb::KeyState::from_str_name));
    let asked = pb::ListKeysRequest {
        user_id: string(arguments, "user").unwrap_or_default(),
        team_id: string(arguments, "team").unwrap_or_default(),
        search: string(arguments, "search").unwrap_or_default(),
        status: state.transpose()?.unwrap_or_default().into(),
        ..pb::ListKeysRequest::default()
    };
    super::list(arguments, format, async |page_size, page_token| {
        let request = pb::ListKeysRequest { page_size, page_token, ..asked.clone() };
        let answer = client.list_keys(server.request(request)).await?.into_inner();
        Ok((answer.keys.iter().map(line).collect(), answer.next_page_token))
    })
    .await
}

/// The hash or the secret of the key that is named, perhaps by its alias.
async fn named(arguments: &ArgMatches, server: &Server, client: &mut Client) -> Result<String, Box<dyn Error>> {
    let mut name = string(arguments, "key_named").unwrap_or_default();
    if name == "-" {
        name.clear();
        std::io::stdin().read_to_string(&mut name)?;
    }
    let name = name.trim().to_owned();
    if name.starts_with(SECRET_PREFIX) || name.parse::<KeyHash>().is_ok() {
        return Ok(name);
    }
    let request = pb::BatchGetKeysRequest { keys: Vec::new(), key_aliases: vec![name.clone()] };
    let found = client.batch_get_keys(server.request(request)).await.map_err(told)?.into_inner().keys;
    let key = found.into_iter().next().ok_or_else(|| format!("no key has the alias {name:?}"))?;
    Ok(key.key_hash)
}

fn state(key: &pb::Key) -> Value {
    text(key.state().as_str_name().trim_start_matches("KEY_STATE_").to_lowercase())
}

/// A key in a list.
fn line(key: &pb::Key) -> Shown {
    vec![
        ("key_name", text(&key.key_name)),
        ("alias", text(key.key_alias.clone().unwrap_or_default())),
        ("state", state(key)),
        ("user", text(key.user_id.clone().unwrap_or_default())),
        ("team", text(key.team_id.clone().unwrap_or_default())),
        ("spend", text(key.spend.clone().unwrap_or_default())),
        ("max_budget", text(key.max_budget.clone().unwrap_or_default())),
        ("key_hash", text(&key.key_hash)),
    ]
}

/// A key by itself.
fn shown(key: &pb::Key) -> Shown {
    let key_type = key.key_type().as_str_name().trim_start_matches("KEY_TYPE_").to_lowercase();
    let mut shown = line(key);
    shown.extend([
        ("key_id", text(&key.key_id)),
        ("type", text(key_type)),
        ("models", words(&key.models)),
        ("budget", text(key.budget_id.clone().unwrap_or_default())),
        ("budget_duration", text(key.budget_duration.clone().unwrap_or_default())),
        ("tags", words(&key.tags)),
        ("expires_at", text(key.expires_at.map(|at| at.to_string()).unwrap_or_default())),
        ("previous_key_valid_until", text(key.previous_key_valid_until.map(|at| at.to_string()).unwrap_or_default())),
        ("block_reason", text(&key.block_reason)),
    ]);
    shown
}

fn with_secret(secret: String, key: pb::Key) -> Shown {
    let mut shown = shown(&key);
    shown.insert(0, ("secret", text(secret)));
    shown
}
