//! `AuditService`: who changed what, and when.

pub mod chain;
mod scope;

use bursar::pb;
use pb::{AuditAction, ErrorReason};
use tonic::Code;

use crate::support::world::{MASTER, World};
use crate::support::{Answer, Backend, Client, on_both};

pub async fn entries(client: &Client, request: pb::ListAuditEntriesRequest) -> Vec<pb::AuditEntry> {
    client.audit().list_audit_entries(request).await.answer().entries
}

/// What the entries are about, in short.
fn outline(entries: &[pb::AuditEntry]) -> Vec<(String, AuditAction, &str)> {
    entries
        .iter()
        .map(|entry| (format!("{}/{}", entry.object_type, entry.object_id), entry.action(), entry.actor.as_str()))
        .collect()
}

fn text(object: Option<&prost_types::Struct>, name: &str) -> Option<String> {
    use prost_types::value::Kind;
    object?.fields.get(name).map(|value| match &value.kind {
        Some(Kind::StringValue(text)) => text.clone(),
        other => format!("{other:?}"),
    })
}

pub fn oldest_first() -> pb::ListAuditEntriesRequest {
    pb::ListAuditEntriesRequest { order_by: "sequence asc".into(), ..Default::default() }
}

on_both! {
    async fn every_change_leaves_an_entry_with_before_and_after(world: World) {
        let boss = world.person("boss", pb::Role::ProxyAdmin).await;
        let named = boss.with_header("x-request-id", "req-7");
        let user = |alias: &str| pb::User { user_id: "alice".into(), user_alias: Some(alias.into()), ..Default::default() };
        let create = pb::CreateUserRequest { user: Some(user("A")), auto_create_key: Some(false), ..Default::default() };
        named.users().create_user(create).await.answer();
        let update = pb::UpdateUserRequest { user: Some(user("B")), ..Default::default() };
        boss.with_header("bursar-changed-by", "carol").users().update_user(update).await.answer();
        boss.users().delete_users(pb::DeleteUsersRequest { user_ids: vec!["alice".into()], ..Default::default() }).await.answer();
        let about = pb::ListAuditEntriesRequest { object_type: "user".into(), object_id: "alice".into(), ..oldest_first() };
        let found = entries(&world.admin, about).await;
        let named = |action| ("user/alice".to_owned(), action, "boss");
        assert_eq!(outline(&found), [named(AuditAction::Create), named(AuditAction::Update), named(AuditAction::Delete)]);
        let [created, updated, deleted] = &found[..] else { panic!("{found:?}") };
        assert_eq!((created.before.is_none(), text(created.after.as_ref(), "user_alias")), (true, Some("A".into())));
        assert_eq!((created.request_id.as_str(), created.rpc.as_str()), ("req-7", "bursar.v1.UserService/CreateUser"));
        assert!(!created.actor_key_id.is_empty() && created.at.is_some() && created.hash.len() == 64);
        assert_eq!((text(updated.before.as_ref(), "user_alias"), text(updated.after.as_ref(), "user_alias")), (Some("A".into()), Some("B".into())));
        assert_eq!(text(updated.after.as_ref(), "user_id"), None, "only what changed");
        assert_eq!((updated.on_behalf_of.as_str(), created.on_behalf_of.as_str()), ("carol", ""));
        assert_eq!((text(deleted.before.as_ref(), "user_alias"), deleted.after.is_none()), (Some("B".into()), true));
    }

    async fn members_blocks_and_cascades_are_entries_of_their_own(world: World) {
        world.user(pb::User { user_id: "alice".into(), ..Default::default() }).await;
        world.team(pb::Team { team_id: "red".into(), ..Default::default() }).await;
        let members = vec![pb::TeamMember { user_id: "alice".into(), ..Default::default() }];
        world.admin.teams().add_team_members(pb::AddTeamMembersRequest { team_id: "red".into(), members, ..Default::default() }).await.answer();
        world.key(pb::Key { user_id: Some("alice".into()), team_id: Some("red".into()), ..Default::default() }).await;
        world.admin.teams().block_team(pb::BlockTeamRequest { team_id: "red".into() }).await.answer();
        // What blocks a blocked team changes nothing, and leaves no entry.
        world.admin.teams().block_team(pb::BlockTeamRequest { team_id: "red".into() }).await.answer();
        world.admin.teams().delete_teams(pb::DeleteTeamsRequest { team_ids: vec!["red".into()] }).await.answer();
        let found = entries(&world.admin, oldest_first()).await;
        let done: Vec<(&str, AuditAction)> = found.iter().map(|entry| (entry.object_type.as_str(), entry.action())).collect();
        let start = done.iter().position(|entry| *entry == ("user", AuditAction::Create)).unwrap();
        let (before, mut cascade) = (done[start..start + 5].to_vec(), done[start + 5..].to_vec());
        assert_eq!(before, [
            ("user", AuditAction::Create), ("team", AuditAction::Create), ("team_member", AuditAction::AddMember),
            ("key", AuditAction::Create), ("team", AuditAction::Block),
        ]);
        cascade.sort_unstable_by_key(|entry| entry.0);
        assert_eq!(cascade, [
            ("key", AuditAction::Delete), ("team", AuditAction::Delete), ("team_member", AuditAction::RemoveMember),
        ]);
        let member = found.iter().find(|entry| entry.object_type == "team_member").unwrap();
        assert_eq!(member.object_id, "red/alice");
    }

    async fn entries_are_numbered_without_gaps_and_chained(world: World) {
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..20 {
            let client = world.admin.clone();
            tasks.spawn(async move {
                let user = pb::User { user_id: format!("u{number}"), ..Default::default() };
                let request = pb::CreateUserRequest { user: Some(user), auto_create_key: Some(false), ..Default::default() };
                client.users().create_user(request).await.answer();
            });
        }
        tasks.join_all().await;
        let found = entries(&world.admin, oldest_first()).await;
        let numbers: Vec<i64> = found.iter().map(|entry| entry.sequence).collect();
        assert_eq!(numbers, (1..=i64::try_from(found.len()).unwrap()).collect::<Vec<_>>());
        assert!(numbers.len() >= 20);
        let hashes: std::collections::BTreeSet<&str> = found.iter().map(|entry| entry.hash.as_str()).collect();
        assert_eq!(hashes.len(), found.len());
    }

    async fn lists_filter_by_actor_and_time_and_page(backend: Backend) {
        let world = World::builder(backend).at("2025-03-01T00:00:00Z").start().await;
        let boss = world.person("boss", pb::Role::ProxyAdmin).await;
        for day in 1..=5 {
            world.hands().set(&format!("2025-03-0{day}T12:00:00Z"));
            let user = pb::User { user_id: format!("u{day}"), ..Default::default() };
            let request = pb::CreateUserRequest { user: Some(user), auto_create_key: Some(false), ..Default::default() };
            boss.users().create_user(request).await.answer();
        }
        let at = |text: &str| Some(prost_types::Timestamp { seconds: crate::support::world::parse_instant(text).micros() / 1_000_000, nanos: 0 });
        let request = pb::ListAuditEntriesRequest {
            actor: "boss".into(), start_time: at("2025-03-02T12:00:00Z"), end_time: at("2025-03-05T12:00:00Z"),
            page_size: 2, include_total: true, ..Default::default()
        };
        let first = world.admin.audit().list_audit_entries(request.clone()).await.answer();
        let ids = |entries: &[pb::AuditEntry]| entries.iter().map(|entry| entry.object_id.clone()).collect::<Vec<_>>();
        assert_eq!((ids(&first.entries), first.total_size), (vec!["u4".to_owned(), "u3".to_owned()], Some(3)));
        let rest = pb::ListAuditEntriesRequest { page_token: first.next_page_token.clone(), ..request.clone() };
        let second = world.admin.audit().list_audit_entries(rest.clone()).await.answer();
        assert_eq!((ids(&second.entries), second.next_page_token), (vec!["u2".to_owned()], String::new()));
        let other_list = pb::ListAuditEntriesRequest { actor: "master".into(), ..rest };
        world.admin.audit().list_audit_entries(other_list).await.refused(Code::InvalidArgument, ErrorReason::PageTokenInvalid);
        for (request, field) in [
            (pb::ListAuditEntriesRequest { object_type: "planet".into(), ..Default::default() }, "object_type"),
            (pb::ListAuditEntriesRequest { order_by: "actor".into(), ..Default::default() }, "order_by"),
            (pb::ListAuditEntriesRequest { end_time: at("2025-01-01T00:00:00Z"), start_time: at("2025-01-02T00:00:00Z"), ..Default::default() }, "end_time"),
        ] {
            assert_eq!(world.admin.audit().list_audit_entries(request).await.bad()[0].0, field);
        }
    }

    async fn no_secret_is_in_any_entry(world: World) {
        let (secret, key) = world.key(pb::Key { key_alias: Some("k".into()), ..Default::default() }).await;
        let boss = world.person("boss", pb::Role::ProxyAdmin).await;
        boss.keys().block_key(pb::BlockKeyRequest { key: secret.clone(), ..Default::default() }).await.answer();
        boss.keys().delete_keys(pb::DeleteKeysRequest { keys: vec![secret.clone()], ..Default::default() }).await.answer();
        let told = format!("{:?}", entries(&world.admin, oldest_first()).await);
        assert!(told.contains(&key.key_id) && !told.contains(&secret) && !told.contains(MASTER));
    }

    async fn only_admins_and_viewers_read_it(world: World) {
        let viewer = world.person("viewer", pb::Role::ProxyAdminViewer).await;
        assert!(!entries(&viewer, oldest_first()).await.is_empty());
        let user = world.person("alice", pb::Role::InternalUser).await;
        user.audit().list_audit_entries(oldest_first()).await.refused(Code::PermissionDenied, ErrorReason::RoleNotAllowed);
        let spoof = user.with_header("bursar-changed-by", "boss");
        spoof.users().list_roles(pb::ListRolesRequest {}).await.refused(Code::PermissionDenied, ErrorReason::OnBehalfOfNotAllowed);
    }
}
