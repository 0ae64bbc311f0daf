//! Whose entries a caller sees, and by what they are found.

use bursar::pb;
use pb::{AuditAction, ErrorReason};
use tonic::Code;

use super::{entries, oldest_first};
use crate::organizations::{acme, make, team};
use crate::support::world::World;
use crate::support::{Answer, on_both};

on_both! {
    async fn organization_admins_see_the_entries_of_their_organizations(world: World) {
        let (olga, omar) = acme(&world, pb::Organization::default()).await;
        world.team(pb::Team { team_id: "free".into(), ..Default::default() }).await;
        let member = pb::TeamMember { user_id: "omar".into(), ..Default::default() };
        make(&olga, pb::Team { members: vec![member], ..team("red") }).await.answer();
        world.key(pb::Key { team_id: Some("red".into()), ..Default::default() }).await;
        world.key(pb::Key { team_id: Some("free".into()), ..Default::default() }).await;
        let request = pb::CreateUserRequest {
            user: Some(pb::User { user_id: "nina".into(), ..Default::default() }), organization_ids: vec!["acme".into()], ..Default::default()
        };
        olga.users().create_user(request).await.answer();
        let seen = entries(&olga, oldest_first()).await;
        let mut kinds: Vec<&str> = seen.iter().map(|entry| entry.object_type.as_str()).collect();
        kinds.sort_unstable();
        assert_eq!(kinds, ["key", "organization", "organization_member", "organization_member", "organization_member", "team", "team_member", "team_member", "user"]);
        assert!(seen.iter().all(|entry| entry.organization_id == "acme"), "{seen:?}");
        assert!(seen.iter().filter(|entry| ["key", "team", "team_member"].contains(&entry.object_type.as_str())).all(|entry| entry.team_id == "red"));
        omar.audit().list_audit_entries(oldest_first()).await.refused(Code::PermissionDenied, ErrorReason::RoleNotAllowed);
        let all = entries(&world.admin, oldest_first()).await;
        let foreign = all.iter().find(|entry| entry.object_id == "free").unwrap();
        let get = |id: &str| pb::GetAuditEntryRequest { audit_id: id.into() };
        olga.audit().get_audit_entry(get(&foreign.audit_id)).await.refused(Code::NotFound, ErrorReason::AuditEntryNotFound);
        let own = olga.audit().get_audit_entry(get(&seen[0].audit_id)).await.answer().entry.unwrap();
        assert_eq!(own, seen[0]);
        world.admin.audit().get_audit_entry(get("none")).await.refused(Code::NotFound, ErrorReason::AuditEntryNotFound);
        assert_eq!(world.admin.audit().get_audit_entry(get("")).await.bad()[0].0, "audit_id");
        // What a deleted team left is still its organization's to see.
        olga.teams().delete_teams(pb::DeleteTeamsRequest { team_ids: vec!["red".into()] }).await.answer();
        let deleted = entries(&olga, pb::ListAuditEntriesRequest { action: AuditAction::Delete.into(), ..oldest_first() }).await;
        assert_eq!(deleted.iter().map(|entry| (entry.object_type.as_str(), entry.team_id.as_str())).collect::<Vec<_>>(), [("key", "red"), ("team", "red")]);
    }

    async fn entries_are_found_by_what_they_are_about(world: World) {
        acme(&world, pb::Organization::default()).await;
        make(&world.admin, team("red")).await.answer();
        let boss = world.person("boss", pb::Role::ProxyAdmin).await;
        boss.teams().block_team(pb::BlockTeamRequest { team_id: "red".into() }).await.answer();
        let found = |request: pb::ListAuditEntriesRequest| {
            let admin = world.admin.clone();
            async move { entries(&admin, request).await.into_iter().map(|entry| entry.action()).collect::<Vec<_>>() }
        };
        let by = oldest_first;
        assert_eq!(found(pb::ListAuditEntriesRequest { team_id: "red".into(), ..by() }).await, [AuditAction::Create, AuditAction::Block]);
        assert_eq!(found(pb::ListAuditEntriesRequest { action: AuditAction::Block.into(), ..by() }).await, [AuditAction::Block]);
        assert_eq!(found(pb::ListAuditEntriesRequest { rpc: "bursar.v1.TeamService/BlockTeam".into(), ..by() }).await, [AuditAction::Block]);
        let block = entries(&world.admin, pb::ListAuditEntriesRequest { action: AuditAction::Block.into(), ..by() }).await.remove(0);
        assert_eq!(found(pb::ListAuditEntriesRequest { actor_key_id: block.actor_key_id, ..by() }).await, [AuditAction::Block]);
        let of_acme = pb::ListAuditEntriesRequest { organization_id: "acme".into(), object_type: "organization_member".into(), ..by() };
        assert_eq!(found(of_acme).await.len(), 2);
    }
}
