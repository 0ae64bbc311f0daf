//! The reach: what everybody may do with what is its own, and with what is
//! somebody else's.
//!
//! There are two organizations, each with a team, and users with keys. Each RPC
//! is called by everybody twice: about the place where the caller stands, and
//! about the other one.

use std::fmt::Write;

use bursar::pb;
use prost::Message;
use tonic::Code;

use super::requests::{Place, authorize, request, turn};
use crate::organizations::member as seat;
use crate::support::raw::{Contract, call};
use crate::support::{Answer, Backend, Client, World, reason_of};
use crate::teams::member;

/// Everybody who may call.
const CALLERS: [&str; 15] = [
    "admin", "viewer", "o.admin", "o.member", "t.admin", "t.member", "user", "reader", "session", "t.key", "free key",
    "gateway", "llm_api", "manage", "readonly",
];

/// A key of a user, made by the master key.
async fn key_of(world: &World, user: &str, team: Option<&str>) -> (String, pb::Key) {
    world.key(pb::Key { user_id: Some(user.into()), team_id: team.map(Into::into), ..Default::default() }).await
}

/// An organization with a team, a user who is at home there, and its key.
async fn furnish(world: &World, organization: &str, team: &str, user: &str) -> Place {
    let request = pb::CreateUserRequest {
        user: Some(pb::User {
            user_id: user.into(),
            home_organization_id: Some(organization.into()),
            user_role: pb::Role::InternalUser.into(),
            ..Default::default()
        }),
        organization_ids: vec![organization.into()],
        auto_create_key: Some(false),
        ..Default::default()
    };
    world.admin.users().create_user(request).await.answer();
    let request = pb::AddTeamMembersRequest {
        team_id: team.into(),
        members: vec![member(user, pb::TeamRole::User)],
        ..Default::default()
    };
    world.admin.teams().add_team_members(request).await.answer();
    let leaver = format!("{user}'s colleague");
    world.user(pb::User { user_id: leaver.clone(), ..Default::default() }).await;
    let request = pb::AddTeamMembersRequest {
        team_id: team.into(),
        members: vec![member(&leaver, pb::TeamRole::User)],
        add_members_to_organization: true,
        ..Default::default()
    };
    world.admin.teams().add_team_members(request).await.answer();
    let model = format!("model of {organization}");
    crate::models::create(world, pb::Model { model_name: model.clone(), ..pb::Model::default() }).await;
    let made = key_of(world, user, Some(team)).await;
    let place =
        Place { organization: organization.into(), team: team.into(), key_team: Some(team.into()), ..Place::default() };
    Place { leaver, model, ..about(world, place, user, made).await }
}

/// The same place, about another user and its key.
async fn about(world: &World, place: Place, user: &str, (secret, key): (String, pb::Key)) -> Place {
    let event = format!("event of {user}");
    crate::spend::record(&world.admin, vec![crate::spend::event(&event, &secret, 400)]).await;
    let asked = pb::AuthorizeRequest { key: secret, ..crate::gateway::ask(&format!("call of {user}"), "0.001") };
    let invitation = match world
        .admin
        .users()
        .create_invitation(pb::CreateInvitationRequest { user_id: user.into(), ttl: None })
        .await
    {
        Ok(made) => made.into_inner().invitation.unwrap().invitation_id,
        // Who has a password, or is nobody.
        Err(_) => "none".into(),
    };
    let request =
        pb::ListAuditEntriesRequest { object_type: "team".into(), object_id: place.team.clone(), ..Default::default() };
    let entries = world.admin.audit().list_audit_entries(request).await.answer().entries;
    Place {
        user: user.into(),
        leaver: user.into(),
        key: key.key_hash,
        reservation: crate::gateway::authorize(&world.admin, asked).await.reservation_id,
        audit: entries[0].audit_id.clone(),
        invitation,
        event,
        ..place
    }
}

/// A caller, where it stands, and where it does not.
async fn stand(world: &World, caller: &str) -> (Client, Place, Place) {
    world.organization(pb::Organization { organization_id: "other".into(), ..Default::default() }).await;
    let person = |id: &'static str, role| world.person(id, role);
    let of_acme = |id: &str, role| pb::AddOrganizationMembersRequest {
        organization_id: "acme".into(),
        members: vec![seat(id, role)],
        ..Default::default()
    };
    let (olga, omar) = crate::organizations::acme(world, pb::Organization::default()).await;
    let lead = person("lead", pb::Role::InternalUser).await;
    let alice = person("alice", pb::Role::InternalUser).await;
    for id in ["lead", "alice"] {
        let request = of_acme(id, pb::OrganizationRole::InternalUser);
        world.admin.organizations().add_organization_members(request).await.answer();
    }
    let members = vec![member("lead", pb::TeamRole::Admin), member("alice", pb::TeamRole::User)];
    world.team(pb::Team { members, ..crate::organizations::team("red") }).await;
    let blue = pb::Team { team_id: "blue".into(), organization_id: Some("other".into()), ..Default::default() };
    world.team(blue).await;
    let home = furnish(world, "acme", "red", "nina").await;
    let other = furnish(world, "other", "blue", "bob").await;

    let with_itself = |place: Place, user: &'static str, team: Option<&'static str>| async move {
        let made = key_of(world, user, team).await;
        about(world, Place { key_team: team.map(Into::into), ..place }, user, made).await
    };
    let of_admin = |key_type: pb::KeyType| pb::Key {
        user_id: Some("boss".into()),
        key_type: key_type.into(),
        ..Default::default()
    };
    let boss = person("boss", pb::Role::ProxyAdmin).await;
    let (client, home) = match caller {
        "admin" => (boss, home),
        "viewer" => (person("viewer", pb::Role::ProxyAdminViewer).await, home),
        "o.admin" => (olga, home),
        "o.member" => (omar, with_itself(home, "omar", None).await),
        "t.admin" => (lead, with_itself(home, "alice", Some("red")).await),
        "t.member" => (alice, with_itself(home, "alice", Some("red")).await),
        "user" => (person("user", pb::Role::InternalUser).await, with_itself(home, "user", None).await),
        "reader" => (person("reader", pb::Role::InternalUserViewer).await, with_itself(home, "reader", None).await),
        "session" => {
            let client = crate::users::sessions::signed_in(world, "guest", pb::Role::InternalUser).await;
            (client, with_itself(home, "guest", None).await)
        }
        "t.key" | "free key" => {
            let team_id = (caller == "t.key").then(|| "red".to_owned());
            let (secret, key) = world.key(pb::Key { team_id: team_id.clone(), ..Default::default() }).await;
            let place = about(world, home.clone(), "itself", (secret.clone(), key)).await;
            (world.with_key(&secret), Place { user: home.user, key_team: team_id, ..place })
        }
        "gateway" => (world.sidecar().await, home),
        "llm_api" => (world.with_key(&world.key(of_admin(pb::KeyType::LlmApi)).await.0), home),
        "manage" => (world.with_key(&world.key(of_admin(pb::KeyType::Management)).await.0), home),
        "readonly" => (world.with_key(&world.key(of_admin(pb::KeyType::ReadOnly)).await.0), home),
        other => panic!("nobody is {other}"),
    };
    // Whoever may call a model, has a call in flight.
    let asks_for_itself = !["admin", "gateway", "llm_api", "manage", "readonly"].contains(&caller);
    let home = Place { asks_for_itself, ..home };
    let reservation = match client.gateway().authorize(authorize(&home)).await {
        Ok(answer) => answer.into_inner().reservation_id,
        Err(_) => home.reservation,
    };
    (client, Place { reservation, ..home }, other)
}

/// What became of a good request.
async fn outcome(client: &Client, rpc: &str, place: &Place) -> &'static str {
    let status = match call(client, rpc, request(rpc, place)).await {
        Ok(answer) if rpc.contains("/List") && answer.get_ref().is_empty() => return "nothing",
        Ok(answer) if rpc.ends_with("/BatchUpdateUsers") => {
            let answer = pb::BatchUpdateUsersResponse::decode(answer.get_ref().as_slice()).unwrap();
            return if answer.failed_count == 0 { "yes" } else { "failed" };
        }
        Ok(answer) if rpc.ends_with("/BatchUpdateKeys") => {
            let answer = pb::BatchUpdateKeysResponse::decode(answer.get_ref().as_slice()).unwrap();
            return if answer.failed_count == 0 { "yes" } else { "failed" };
        }
        Ok(answer) if rpc.ends_with("/BatchGetKeys") => {
            let answer = pb::BatchGetKeysResponse::decode(answer.get_ref().as_slice()).unwrap();
            return if answer.not_found.is_empty() { "yes" } else { "no such" };
        }
        Ok(_) => return "yes",
        Err(status) => status,
    };
    match (status.code(), reason_of(&status).as_str()) {
        (Code::PermissionDenied, "ROLE_NOT_ALLOWED") => "-",
        (Code::PermissionDenied, "RPC_NOT_ALLOWED_FOR_KEY") => "not key",
        (Code::PermissionDenied, _) => "denied",
        (Code::NotFound, _) => "no such",
        // It may; but not now.
        (Code::FailedPrecondition | Code::AlreadyExists, _) => "state",
        // Guessed tokens and passwords.
        (Code::Unauthenticated, "INVITATION_NOT_USABLE" | "LOGIN_FAILED") => "guess",
        (code, reason) => panic!("{rpc}: {code:?} {reason} {}", status.message()),
    }
}

/// Each caller's outcomes, by RPC: at its own place, and at the other.
async fn outcomes(caller: &str, rpcs: &[String]) -> Vec<(String, [&'static str; 2])> {
    let world = World::start(Backend::Sqlite).await;
    let (client, home, other) = stand(&world, caller).await;
    let mut found = Vec::new();
    for rpc in rpcs {
        found.push((rpc.clone(), [outcome(&client, rpc, &home).await, outcome(&client, rpc, &other).await]));
    }
    found
}

#[tokio::test]
async fn everybody_reaches_its_own_and_nothing_else() {
    let rpcs: Vec<String> = Contract::new().rpcs().into_iter().map(|(rpc, _)| rpc).collect();
    let mut in_turn = rpcs.clone();
    in_turn.sort_by_key(|rpc| turn(rpc));
    let mut columns = Vec::new();
    for caller in CALLERS {
        columns.push(Box::pin(outcomes(caller, &in_turn)).await);
    }
    let mut table = format!("{:<48}", "");
    for caller in CALLERS {
        let _ = write!(table, "{caller:<10}");
    }
    for rpc in &rpcs {
        let name = rpc.trim_start_matches("bursar.v1.").replace("Service/", ".");
        for (place, whose) in ["own", "other"].into_iter().enumerate() {
            let _ = write!(
                table,
                "\n{:<48}",
                if place == 0 { format!("{name} {whose}") } else { format!("{:>1$}", whose, name.len() + 6) }
            );
            for column in &columns {
                let (_, both) = column.iter().find(|(called, _)| called == rpc).unwrap();
                let _ = write!(table, "{:<10}", both[place]);
            }
        }
    }
    let trimmed: Vec<&str> = table.lines().map(str::trim_end).collect();
    insta::assert_snapshot!(trimmed.join("\n"));
}
