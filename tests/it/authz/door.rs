//! The door: who is let in with what, whatever it asks about. Empty messages
//! get as far as the reading of the message.

use std::fmt::Write;

use bursar::pb;
use tonic::Code;

use crate::support::raw::{Contract, call};
use crate::support::{Backend, Client, World, reason_of};

/// Everybody who may call.
async fn everybody(world: &World) -> Vec<(&'static str, Client)> {
    let person = |id: &'static str, role| world.person(id, role);
    let admin = person("admin", pb::Role::ProxyAdmin).await;
    let viewer = person("viewer", pb::Role::ProxyAdminViewer).await;
    let user = person("user", pb::Role::InternalUser).await;
    let reader = person("reader", pb::Role::InternalUserViewer).await;
    let lead = person("lead", pb::Role::InternalUser).await;
    let member = person("member", pb::Role::InternalUser).await;
    let in_team = |user_id: &str, role: pb::TeamRole| pb::TeamMember {
        user_id: user_id.into(),
        role: role.into(),
        ..Default::default()
    };
    let members = vec![in_team("lead", pb::TeamRole::Admin), in_team("member", pb::TeamRole::User)];
    world.team(pb::Team { team_id: "red".into(), members, ..Default::default() }).await;
    let (o_lead, o_member) = crate::organizations::acme(world, pb::Organization::default()).await;
    let of_admin = |key_type: pb::KeyType| pb::Key {
        user_id: Some("admin".into()),
        key_type: key_type.into(),
        ..Default::default()
    };
    let with = |(secret, _): (String, pb::Key)| world.with_key(&secret);
    vec![
        ("nobody", world.anonymous()),
        ("master", world.admin.clone()),
        ("admin", admin),
        ("viewer", viewer),
        ("o.admin", o_lead),
        ("o.member", o_member),
        ("t.admin", lead),
        ("t.member", member),
        ("user", user),
        ("reader", reader),
        ("t.key", with(world.key(pb::Key { team_id: Some("red".into()), ..Default::default() }).await)),
        ("free key", with(world.key(pb::Key::default()).await)),
        ("gateway", world.sidecar().await),
        ("llm_api", with(world.key(of_admin(pb::KeyType::LlmApi)).await)),
        ("manage", with(world.key(of_admin(pb::KeyType::Management)).await)),
        ("readonly", with(world.key(of_admin(pb::KeyType::ReadOnly)).await)),
    ]
}

/// What an empty message brings.
async fn outcome(client: &Client, rpc: &str) -> &'static str {
    let Err(status) = call(client, rpc, Vec::new()).await else { return "ok" };
    match (status.code(), reason_of(&status).as_str()) {
        (Code::Unauthenticated, "CREDENTIAL_MISSING") => "unknown",
        (Code::PermissionDenied, "ROLE_NOT_ALLOWED") => "-",
        (Code::PermissionDenied, "RPC_NOT_ALLOWED_FOR_KEY") => "not key",
        // It was let in, and its message read.
        (Code::InvalidArgument, _) => "in",
        (Code::PermissionDenied, _) => "denied",
        (Code::NotFound, _) => "no such",
        (code, reason) => panic!("{rpc}: {code:?} {reason} {}", status.message()),
    }
}

#[tokio::test]
async fn everybody_gets_what_the_policy_says_and_no_more() {
    let world = World::builder(Backend::Sqlite).at("2025-06-10T12:00:00Z").start().await;
    let everybody = Box::pin(everybody(&world)).await;
    let mut table = format!("{:<40}", "");
    for (name, _) in &everybody {
        let _ = write!(table, "{name:<10}");
    }
    for (rpc, _) in Contract::new().rpcs() {
        let _ = write!(table, "\n{:<40}", rpc.trim_start_matches("bursar.v1.").replace("Service/", "."));
        // Nobody is a stranger often enough to be shut out.
        world.hands().advance(1);
        for (_, client) in &everybody {
            let _ = write!(table, "{:<10}", outcome(client, &rpc).await);
        }
    }
    let trimmed: Vec<&str> = table.lines().map(str::trim_end).collect();
    insta::assert_snapshot!(trimmed.join("\n"));
}
