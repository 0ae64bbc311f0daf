//! `DeleteOrganizations`: everything in it goes with it, or nothing.

use bursar::pb;
use pb::ErrorReason;
use tonic::Code;

use super::{acme, make, organization, team};
use crate::gateway::{ask, authorize, denial};
use crate::support::world::World;
use crate::support::{Answer, on_both};

fn delete(ids: &[&str]) -> pb::DeleteOrganizationsRequest {
    pb::DeleteOrganizationsRequest {
        organization_ids: ids.iter().map(ToString::to_string).collect(),
        ..Default::default()
    }
}

on_both! {
    async fn teams_keys_and_memberships_go_with_it(world: World) {
        let (olga, _) = acme(&world, pb::Organization::default()).await;
        let member = pb::TeamMember { user_id: "omar".into(), ..Default::default() };
        make(&world.admin, pb::Team { members: vec![member], ..team("red") }).await.answer();
        let (secret, _) = world.key(pb::Key { user_id: Some("omar".into()), team_id: Some("red".into()), ..Default::default() }).await;
        let (personal, _) = world.key(pb::Key { user_id: Some("omar".into()), ..Default::default() }).await;
        let caller = world.with_key(&secret);
        assert_eq!(authorize(&caller, ask("a", "0.1")).await.identity.unwrap().organization_id, "acme");
        olga.organizations().delete_organizations(delete(&["acme"])).await.refused(Code::PermissionDenied, ErrorReason::RoleNotAllowed);
        let kept = pb::DeleteOrganizationsRequest { require_empty: true, ..delete(&["acme"]) };
        world.admin.organizations().delete_organizations(kept).await.refused(Code::FailedPrecondition, ErrorReason::OrganizationNotEmpty);
        world.admin.organizations().delete_organizations(delete(&["acme", "unknown"])).await.refused(Code::NotFound, ErrorReason::OrganizationNotFound);
        assert_eq!(organization(&world, "acme").await.team_count, 1, "all or none");

        let answer = world.admin.organizations().delete_organizations(delete(&["acme", "acme"])).await.answer();
        assert_eq!((answer.deleted_organization_ids.len(), answer.deleted_team_count, answer.deleted_key_count), (1, 1, 1));
        assert_eq!(denial(&authorize(&world.admin, pb::AuthorizeRequest { key: secret, ..ask("b", "0.1") }).await).0, pb::DenyReason::KeyUnknown);
        let left = authorize(&world.with_key(&personal), ask("c", "0.1")).await;
        assert_eq!((left.decision(), left.identity.unwrap().organization_id.as_str()), (pb::Decision::Allow, ""));
        let archive = pb::ListTeamsRequest { status: pb::TeamStatus::Deleted.into(), organization_id: "acme".into(), ..Default::default() };
        let archived = world.admin.teams().list_teams(archive).await.answer().teams;
        assert_eq!(archived.iter().map(|team| (team.team_id.as_str(), team.members.len())).collect::<Vec<_>>(), [("red", 1)]);
        // Users stay, and lose the rights that the membership gave.
        olga.organizations().update_organization(pb::UpdateOrganizationRequest::default()).await.refused(Code::PermissionDenied, ErrorReason::RoleNotAllowed);
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty());
    }

    async fn the_home_of_its_users_is_gone(world: World) {
        let (olga, _) = acme(&world, pb::Organization::default()).await;
        let request = pb::CreateUserRequest {
            user: Some(pb::User { user_id: "nina".into(), ..Default::default() }), organization_ids: vec!["acme".into()], ..Default::default()
        };
        assert_eq!(olga.users().create_user(request).await.answer().user.unwrap().home_organization_id.as_deref(), Some("acme"));
        world.admin.organizations().delete_organizations(delete(&["acme"])).await.answer();
        let nina = world.admin.users().get_user(pb::GetUserRequest { user_id: "nina".into(), ..Default::default() }).await.answer().user.unwrap();
        assert_eq!(nina.home_organization_id, None);
    }
}
