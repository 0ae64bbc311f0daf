//! `GetTeamMemberPermissions` and `UpdateTeamMemberPermissions`.

use bursar::pb;
use pb::{ErrorReason, TeamMemberPermission as Permission};
use tonic::Code;

use super::red;
use crate::support::world::World;
use crate::support::{Answer, Client, on_both};

async fn read(client: &Client) -> Vec<Permission> {
    let request = pb::GetTeamMemberPermissionsRequest { team_id: "red".into() };
    let answer = client.teams().get_team_member_permissions(request).await.answer();
    assert_eq!(answer.available_permissions.len(), 13);
    answer.member_permissions().collect()
}

fn write(permissions: &[Permission]) -> pb::UpdateTeamMemberPermissionsRequest {
    let member_permissions = permissions.iter().map(|permission| (*permission).into()).collect();
    pb::UpdateTeamMemberPermissionsRequest { team_id: "red".into(), member_permissions, ..Default::default() }
}

on_both! {
    async fn unset_is_the_default_and_empty_is_nothing(world: World) {
        let (lead, alice) = red(&world, pb::Team::default()).await;
        assert_eq!(read(&alice).await, [Permission::KeyInfo, Permission::KeyHealth]);
        lead.teams().update_team_member_permissions(write(&[Permission::KeyGenerate, Permission::KeyList])).await.answer();
        assert_eq!(read(&alice).await, [Permission::KeyList, Permission::KeyGenerate]);
        let key = pb::Key { team_id: Some("red".into()), ..Default::default() };
        alice.keys().generate_key(pb::GenerateKeyRequest { key: Some(key.clone()), ..Default::default() }).await.answer();
        let more = pb::UpdateTeamMemberPermissionsRequest { append: true, ..write(&[Permission::KeyBlock]) };
        assert_eq!(lead.teams().update_team_member_permissions(more).await.answer().member_permissions.len(), 3);
        lead.teams().update_team_member_permissions(write(&[])).await.answer();
        assert!(read(&alice).await.is_empty());
        let refused = alice.keys().generate_key(pb::GenerateKeyRequest { key: Some(key), ..Default::default() }).await;
        refused.refused(Code::PermissionDenied, ErrorReason::TeamPermissionMissing);
    }

    async fn several_teams_at_once_get_the_same_or_more(world: World) {
        let (lead, _) = red(&world, pb::Team::default()).await;
        let blue = pb::Team { team_id: "blue".into(), member_permissions: vec![Permission::SpendLogs.into()], ..Default::default() };
        world.team(blue).await;
        let of_both = |request: pb::UpdateTeamMemberPermissionsRequest| pb::UpdateTeamMemberPermissionsRequest {
            team_id: String::new(), team_ids: vec!["red".into(), "blue".into()], ..request
        };
        let more = pb::UpdateTeamMemberPermissionsRequest { append: true, ..write(&[Permission::KeyList]) };
        let answer = world.admin.teams().update_team_member_permissions(of_both(more)).await.answer();
        assert_eq!(answer.member_permissions().collect::<Vec<_>>(), [Permission::KeyList], "what all of them have");
        let of = async |team_id: &str| crate::teams::team(&world, team_id).await.member_permissions().collect::<Vec<_>>();
        assert_eq!(of("red").await, [Permission::KeyInfo, Permission::KeyHealth, Permission::KeyList]);
        assert_eq!(of("blue").await, [Permission::KeyList, Permission::SpendLogs]);
        // All or none.
        lead.teams().update_team_member_permissions(of_both(write(&[]))).await.refused(Code::NotFound, ErrorReason::TeamNotFound);
        assert_eq!(of("red").await.len(), 3);
        let both = pb::UpdateTeamMemberPermissionsRequest { team_ids: vec!["red".into()], ..write(&[]) };
        assert_eq!(lead.teams().update_team_member_permissions(both).await.bad()[0].0, "team_ids");
    }

    async fn unknown_ones_and_strangers_are_refused(world: World) {
        let (lead, alice) = red(&world, pb::Team::default()).await;
        let unknown = pb::UpdateTeamMemberPermissionsRequest { member_permissions: vec![99], ..write(&[]) };
        assert_eq!(lead.teams().update_team_member_permissions(unknown).await.bad()[0].0, "member_permissions[0]");
        let unnamed = pb::UpdateTeamMemberPermissionsRequest { member_permissions: vec![0], ..write(&[]) };
        assert_eq!(lead.teams().update_team_member_permissions(unnamed).await.bad()[0].0, "member_permissions[0]");
        alice.teams().update_team_member_permissions(write(&[])).await.refused(Code::PermissionDenied, ErrorReason::RoleNotAllowed);
        let zoe = world.person("zoe", pb::Role::InternalUser).await;
        let request = pb::GetTeamMemberPermissionsRequest { team_id: "red".into() };
        zoe.teams().get_team_member_permissions(request).await.refused(Code::NotFound, ErrorReason::TeamNotFound);
    }
}
