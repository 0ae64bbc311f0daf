//! `bursar teams`.

use std::error::Error;
use std::process::ExitCode;

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgMatches, Command};
use serde_json::Value;
use tonic::transport::Channel;

use super::table::{Format, Shown, text, words};
use super::{integer, limit, number, option, options, string, strings, told};
use crate::cli::Outcome;
use crate::cli::client::Server;
use crate::pb;
use crate::pb::team_service_client::TeamServiceClient;

/// The roles in a team.
const ROLES: [&str; 2] = ["user", "admin"];

type Client = TeamServiceClient<Channel>;

/// The command and its arguments.
pub(super) fn command() -> Command {
    let team = || Arg::new("team_id").value_name("TEAM_ID").required(true).help("The team");
    let user = || Arg::new("user_id").value_name("USER_ID").required(true).help("The user");
    let create = Command::new("create")
        .about("Make a team")
        .arg(option("id", "TEAM_ID", "Its id; made up, if not given"))
        .arg(option("alias", "NAME", "Its name"))
        .arg(option("organization", "ORGANIZATION_ID", "The organization that it belongs to"))
        .arg(options("model", "NAME", "A model that its keys may call; all, without any"))
        .arg(option("max-budget", "USD", "What its keys may spend together"))
        .arg(option("budget-duration", "LENGTH", "The length of the window, such as 30d"))
        .arg(number("tpm", "Tokens a minute"))
        .arg(number("rpm", "Calls a minute"))
        .arg(number("tpd", "Tokens a day"));
    let list = Command::new("list")
        .about("List teams, the newest first")
        .arg(option("user", "USER_ID", "Those that a user is in"))
        .arg(option("organization", "ORGANIZATION_ID", "Those of an organization"))
        .arg(option("search", "TEXT", "Those with this in their name"))
        .arg(limit());
    let role = option("role", "ROLE", "Its role in the team").default_value(ROLES[0]);
    let add = Command::new("add-member")
        .about("Add a user to a team")
        .arg(team())
        .arg(user())
        .arg(role.value_parser(PossibleValuesParser::new(ROLES)));
    let remove = Command::new("remove-member")
        .about("Take a user from a team, and delete its keys in it")
        .arg(team())
        .arg(user());
    Command::new("teams")
        .about("Make, list, fill, block and delete teams")
        .subcommand(create)
        .subcommand(list)
        .subcommand(Command::new("get").about("Show a team").arg(team()))
        .subcommand(add)
        .subcommand(remove)
        .subcommand(Command::new("block").about("Refuse the keys of a team").arg(team()))
        .subcommand(Command::new("unblock").about("Undo it").arg(team()))
        .subcommand(Command::new("delete").about("Delete a team and its keys").arg(team()))
}

/// Does what the verb says.
pub(super) async fn run(verb: &str, arguments: &ArgMatches, server: &Server, format: Format) -> Outcome {
    let mut client = TeamServiceClient::new(server.connect().await?);
    let team_id = || string(arguments, "team_id").unwrap_or_default();
    match verb {
        "list" => list(arguments, server, format, client).await?,
        "delete" => {
            let request = pb::DeleteTeamsRequest { team_ids: vec![team_id()] };
            let answer = client.delete_teams(server.request(request)).await.map_err(told)?.into_inner();
            let keys = Value::from(answer.deleted_key_count);
            format.one(vec![("deleted", words(&answer.deleted_team_ids)), ("deleted_keys", keys)]);
        }
        "create" => {
            let request = pb::CreateTeamRequest { team: Some(new_team(arguments)), ..pb::CreateTeamRequest::default() };
            let answer = client.create_team(server.request(request)).await.map_err(told)?.into_inner();
            format.one(shown(&answer.team.unwrap_or_default()));
        }
        _ => {
            change(verb, arguments, server, &mut client, team_id()).await?;
            let request = pb::GetTeamRequest { team_id: team_id(), ..pb::GetTeamRequest::default() };
            let answer = client.get_team(server.request(request)).await.map_err(told)?.into_inner();
            format.one(shown(&answer.team.unwrap_or_default()));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Changes a team, if the verb says so.
async fn change(
    verb: &str,
    arguments: &ArgMatches,
    server: &Server,
    client: &mut Client,
    team_id: String,
) -> Result<(), Box<dyn Error>> {
    let user_id = || string(arguments, "user_id").unwrap_or_default();
    match verb {
        "add-member" => {
            let is_admin = string(arguments, "role").as_deref() == Some("admin");
            let role = if is_admin { pb::TeamRole::Admin } else { pb::TeamRole::User };
            let members = vec![pb::TeamMember { user_id: user_id(), role: role.into(), ..pb::TeamMember::default() }];
            // All or none: what is wrong is the answer, and not a part of it.
            let request =
                pb::AddTeamMembersRequest { team_id, members, atomic: true, ..pb::AddTeamMembersRequest::default() };
            client.add_team_members(server.request(request)).await.map_err(told)?;
        }
        "remove-member" => {
            let request = pb::RemoveTeamMemberRequest { team_id, user_id: user_id(), user_email: String::new() };
            client.remove_team_member(server.request(request)).await.map_err(told)?;
        }
        "block" => drop(client.block_team(server.request(pb::BlockTeamRequest { team_id })).await.map_err(told)?),
        "unblock" => drop(client.unblock_team(server.request(pb::UnblockTeamRequest { team_id })).await.map_err(told)?),
        _ => {}
    }
    Ok(())
}

fn new_team(arguments: &ArgMatches) -> pb::Team {
    pb::Team {
        team_id: string(arguments, "id").unwrap_or_default(),
        team_alias: string(arguments, "alias"),
        organization_id: string(arguments, "organization"),
        models: strings(arguments, "model"),
        max_budget: string(arguments, "max-budget"),
        budget_duration: string(arguments, "budget-duration"),
        tpm_limit: integer(arguments, "tpm"),
        rpm_limit: integer(arguments, "rpm"),
        tpd_limit: integer(arguments, "tpd"),
        ..pb::Team::default()
    }
}

async fn list(
    arguments: &ArgMatches,
    server: &Server,
    format: Format,
    mut client: Client,
) -> Result<(), Box<dyn Error>> {
    let asked = pb::ListTeamsRequest {
        user_id: string(arguments, "user").unwrap_or_default(),
        organization_id: string(arguments, "organization").unwrap_or_default(),
        team_alias_contains: string(arguments, "search").unwrap_or_default(),
        ..pb::ListTeamsRequest::default()
    };
    super::list(arguments, format, async |page_size, page_token| {
        let request = pb::ListTeamsRequest { page_size, page_token, ..asked.clone() };
        let answer = client.list_teams(server.request(request)).await?.into_inner();
        Ok((answer.teams.iter().map(shown).collect(), answer.next_page_token))
    })
    .await
}

fn shown(team: &pb::Team) -> Shown {
    let member = |member: &pb::TeamMember| match member.role() {
        pb::TeamRole::Admin => format!("{}(admin)", member.user_id),
        _ => member.user_id.clone(),
    };
    vec![
        ("team_id", text(&team.team_id)),
        ("alias", text(team.team_alias.clone().unwrap_or_default())),
        ("organization", text(team.organization_id.clone().unwrap_or_default())),
        ("members", words(&team.members.iter().map(member).collect::<Vec<_>>())),
        ("models", words(&team.models)),
        ("spend", text(team.spend.clone().unwrap_or_default())),
        ("max_budget", text(team.max_budget.clone().unwrap_or_default())),
        ("blocked", Value::from(team.blocked.unwrap_or_default())),
    ]
}
