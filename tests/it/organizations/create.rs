//! `CreateOrganization`.

use bursar::pb;
use pb::{ErrorReason, OrganizationRole};
use tonic::Code;

use super::{member, organization};
use crate::support::world::World;
use crate::support::{Answer, on_both};

fn create(organization: pb::Organization) -> pb::CreateOrganizationRequest {
    pb::CreateOrganizationRequest { organization: Some(organization), ..Default::default() }
}

fn named(id: &str) -> pb::Organization {
    pb::Organization { organization_id: id.into(), organization_alias: "Acme".into(), ..Default::default() }
}

on_both! {
    async fn an_organization_is_stored_as_asked(world: World) {
        let olga = pb::User { user_id: "olga".into(), user_email: Some("o@b.c".into()), user_role: pb::Role::InternalUser.into(), ..Default::default() };
        world.user(olga).await;
        let asked = pb::Organization {
            members: vec![pb::OrganizationMember {
                user_email: "O@b.c".into(), role: OrganizationRole::Admin.into(), max_budget_in_organization: Some("5".into()), ..Default::default()
            }],
            models: vec!["gpt-4o".into(), "openai/*".into()],
            max_budget: Some("10".into()),
            soft_budget: Some("9".into()),
            budget_duration: Some("1mo".into()),
            tpm_limit: Some(5),
            rpm_limit: Some(6),
            max_parallel_requests: Some(7),
            model_tpm_limit: [("gpt-4o".to_owned(), 3)].into(),
            model_rpm_limit: [("gpt-4o".to_owned(), 2)].into(),
            ..named("acme")
        };
        let made = world.admin.organizations().create_organization(create(asked.clone())).await.answer().organization.unwrap();
        assert_eq!(made, organization(&world, "acme").await);
        assert!(made.budget_resets_at.is_some() && made.created_at.is_some() && made.member_count == 1);
        let joined = &made.members[0];
        assert_eq!((joined.user_id.as_str(), joined.role(), joined.max_budget_in_organization.as_deref()), ("olga", OrganizationRole::Admin, Some("5")));
        let stored = pb::Organization {
            members: asked.members.clone(), blocked: None, spend: None, lifetime_spend: String::new(), budget_resets_at: None,
            member_count: 0, created_at: None, updated_at: None, etag: String::new(), ..made
        };
        assert_eq!(stored, asked);
    }

    async fn what_is_taken_wrong_or_not_allowed_is_refused(world: World) {
        let call = |request| {
            let admin = world.admin.clone();
            async move { admin.organizations().create_organization(request).await }
        };
        call(create(named("acme"))).await.answer();
        call(create(named("acme"))).await.refused(Code::AlreadyExists, ErrorReason::OrganizationIdExists);
        for (request, field) in [
            (create(pb::Organization { organization_alias: " ".into(), ..named("x") }), "organization.organization_alias"),
            (create(pb::Organization { organization_alias: String::new(), ..named("x") }), "organization.organization_alias"),
            (create(pb::Organization { soft_budget: Some("5".into()), max_budget: Some("5".into()), ..named("x") }), "organization.soft_budget"),
            (create(pb::Organization { max_budget: Some("-1".into()), ..named("x") }), "organization.max_budget"),
            (create(pb::Organization { model_tpm_limit: [("m".to_owned(), -1)].into(), ..named("x") }), "organization.model_tpm_limit[\"m\"]"),
            (create(pb::Organization { members: vec![pb::OrganizationMember::default()], ..named("x") }), "organization.members[0]"),
            (create(pb::Organization { members: vec![member("u", OrganizationRole::Admin); 2], ..named("x") }), "organization.members[1]"),
            (create(pb::Organization { members: vec![member("u", OrganizationRole::Admin); 501], ..named("x") }), "organization.members"),
        ] {
            assert_eq!(call(request).await.bad()[0].0, field);
        }
        world.user(pb::User { user_id: "ivy".into(), user_role: pb::Role::InternalUserViewer.into(), ..Default::default() }).await;
        let viewer_admin = pb::Organization { members: vec![member("ivy", OrganizationRole::Admin)], ..named("x") };
        call(create(viewer_admin)).await.refused(Code::FailedPrecondition, ErrorReason::ViewerCannotAdminister);
        let above = pb::OrganizationMember { max_budget_in_organization: Some("2".into()), ..member("ivy", OrganizationRole::InternalUser) };
        let above = pb::Organization { max_budget: Some("1".into()), members: vec![above], ..named("x") };
        call(create(above)).await.refused(Code::FailedPrecondition, ErrorReason::MemberBudgetExceedsOrg);
        let missing = pb::GetOrganizationRequest { organization_id: "x".into(), ..Default::default() };
        world.admin.organizations().get_organization(missing).await.refused(Code::NotFound, ErrorReason::OrganizationNotFound);
        let user = world.person("alice", pb::Role::InternalUser).await;
        user.organizations().create_organization(create(named("y"))).await.refused(Code::PermissionDenied, ErrorReason::RoleNotAllowed);
    }

    async fn a_replay_answers_as_before(world: World) {
        let request = pb::CreateOrganizationRequest { request_id: "r".into(), ..create(pb::Organization { organization_alias: "A".into(), ..Default::default() }) };
        let first = world.admin.organizations().create_organization(request.clone()).await.answer();
        let second = world.admin.organizations().create_organization(request).await.answer();
        assert_eq!(first, second);
        assert!(!first.organization.unwrap().organization_id.is_empty(), "an id is made");
    }

    async fn an_id_that_is_used_again_begins_at_zero(world: World) {
        let old = pb::Organization { spend: Some("7".into()), ..named("acme") };
        world.admin.organizations().create_organization(create(old)).await.answer();
        assert_eq!(organization(&world, "acme").await.spend.as_deref(), Some("7"));
        let delete = pb::DeleteOrganizationsRequest { organization_ids: vec!["acme".into()], ..Default::default() };
        world.admin.organizations().delete_organizations(delete).await.answer();
        world.admin.organizations().create_organization(create(named("acme"))).await.answer();
        let again = organization(&world, "acme").await;
        assert_eq!((again.spend.as_deref(), again.lifetime_spend.as_str()), (Some("0"), "0"));
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty());
    }
}
