//! `bursar users`.

use std::error::Error;
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgMatches, Command};
use prost_types::FieldMask;
use serde_json::Value;
use tonic::transport::Channel;

use super::table::{Format, Shown, text, words};
use super::{flag, limit, option, options, string, strings, told, word};
use crate::cli::Outcome;
use crate::cli::client::Server;
use crate::pb;
use crate::pb::user_service_client::UserServiceClient;

/// The roles that a user may have.
const ROLES: [&str; 4] = ["proxy_admin", "proxy_admin_viewer", "internal_user", "internal_user_viewer"];

/// The command and its arguments.
pub(super) fn command() -> Command {
    let user = || Arg::new("user_id").value_name("USER_ID").required(true).help("The user");
    let role = || option("role", "ROLE", "The role").value_parser(PossibleValuesParser::new(ROLES));
    let create = Command::new("create")
        .about("Make a user, and a key of it unless that is not wanted")
        .arg(option("id", "USER_ID", "Its id; made up, if not given"))
        .arg(option("email", "ADDRESS", "Its e-mail address"))
        .arg(option("alias", "NAME", "Its name"))
        .arg(role())
        .arg(options("team", "TEAM_ID", "A team that it joins"))
        .arg(options("model", "NAME", "A model that its own keys may call; all, without any"))
        .arg(option("max-budget", "USD", "What its own keys may spend together"))
        .arg(option("budget-duration", "LENGTH", "The length of the window, such as 30d"))
        .arg(flag("no-key", "Make no key"))
        .arg(flag("invite", "Invite it to set a password"));
    let list = Command::new("list")
        .about("List users, the newest first")
        .arg(role())
        .arg(option("team", "TEAM_ID", "Those in a team"))
        .arg(option("email", "TEXT", "Those with this in their e-mail address"))
        .arg(limit());
    Command::new("users")
        .about("Make, list, block and delete users")
        .subcommand(create)
        .subcommand(list)
        .subcommand(Command::new("get").about("Show a user").arg(user()))
        .subcommand(Command::new("block").about("Refuse a user and its keys").arg(user()))
        .subcommand(Command::new("unblock").about("Undo it").arg(user()))
        .subcommand(Command::new("delete").about("Delete a user and its keys").arg(user()))
}

/// Does what the verb says.
pub(super) async fn run(verb: &str, arguments: &ArgMatches, server: &Server, format: Format) -> Outcome {
    let mut client = UserServiceClient::new(server.connect().await?);
    let user_id = || string(arguments, "user_id").unwrap_or_default();
    match verb {
        "create" => {
            let answer = client.create_user(server.request(new_user(arguments)?)).await.map_err(told)?.into_inner();
            let mut made = shown(&answer.user.unwrap_or_default());
            made.push(("secret", text(answer.secret)));
            made.push(("invitation_token", text(answer.invitation_token)));
            format.one(made);
        }
        "list" => list(arguments, server, format, client).await?,
        "get" => {
            let request = pb::GetUserRequest { user_id: user_id(), ..pb::GetUserRequest::default() };
            let answer = client.get_user(server.request(request)).await.map_err(told)?.into_inner();
            format.one(shown(&answer.user.unwrap_or_default()));
        }
        "block" | "unblock" => {
            let user = pb::User { user_id: user_id(), blocked: Some(verb == "block"), ..pb::User::default() };
            let update_mask = Some(FieldMask { paths: vec!["blocked".to_owned()] });
            let request = pb::UpdateUserRequest { user: Some(user), update_mask, ..pb::UpdateUserRequest::default() };
            let answer = client.update_user(server.request(request)).await.map_err(told)?.into_inner();
            format.one(shown(&answer.user.unwrap_or_default()));
        }
        _ => {
            let request = pb::DeleteUsersRequest { user_ids: vec![user_id()] };
            let answer = client.delete_users(server.request(request)).await.map_err(told)?.into_inner();
            format.one(vec![
                ("deleted", words(&answer.deleted_user_ids)),
                ("deleted_keys", Value::from(answer.deleted_key_count)),
            ]);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn role(arguments: &ArgMatches) -> Result<pb::Role, Box<dyn Error>> {
    let Some(name) = string(arguments, "role") else { return Ok(pb::Role::Unspecified) };
    word(&name, "ROLE", pb::Role::from_str_name)
}

fn new_user(arguments: &ArgMatches) -> Result<pb::CreateUserRequest, Box<dyn Error>> {
    let user = pb::User {
        user_id: string(arguments, "id").unwrap_or_default(),
        user_email: string(arguments, "email"),
        user_alias: string(arguments, "alias"),
        user_role: role(arguments)?.into(),
        team_ids: strings(arguments, "team"),
        models: strings(arguments, "model"),
        max_budget: string(arguments, "max-budget"),
        budget_duration: string(arguments, "budget-duration"),
        ..pb::User::default()
    };
    Ok(pb::CreateUserRequest {
        user: Some(user),
        auto_create_key: Some(!arguments.get_flag("no-key")),
        send_invitation: arguments.get_flag("invite"),
        ..pb::CreateUserRequest::default()
    })
}

async fn list(
    arguments: &ArgMatches,
    server: &Server,
    format: Format,
    mut client: UserServiceClient<Channel>,
) -> Result<(), Box<dyn Error>> {
    let asked = pb::ListUsersRequest {
        role: role(arguments)?.into(),
        team_id: string(arguments, "team").unwrap_or_default(),
        email_contains: string(arguments, "email").unwrap_or_default(),
        ..pb::ListUsersRequest::default()
    };
    super::list(arguments, format, async |page_size, page_token| {
        let request = pb::ListUsersRequest { page_size, page_token, ..asked.clone() };
        let answer = client.list_users(server.request(request)).await?.into_inner();
        Ok((answer.users.iter().map(shown).collect(), answer.next_page_token))
    })
    .await
}

fn shown(user: &pb::User) -> Shown {
    vec![
        ("user_id", text(&user.user_id)),
        ("email", text(user.user_email.clone().unwrap_or_default())),
        ("alias", text(user.user_alias.clone().unwrap_or_default())),
        ("role", text(user.user_role().as_str_name().trim_start_matches("ROLE_").to_lowercase())),
        ("blocked", Value::from(user.blocked.unwrap_or_default())),
        ("teams", words(&user.team_ids)),
        ("spend", text(user.spend.clone().unwrap_or_default())),
        ("max_budget", text(user.max_budget.clone().unwrap_or_default())),
    ]
}
