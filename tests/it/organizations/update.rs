//! `UpdateOrganization`.

use bursar::pb;
use pb::ErrorReason;
use tonic::Code;

use super::{acme, make, member, organization, team};
use crate::support::world::World;
use crate::support::{Answer, on_both};

fn update(organization: pb::Organization, paths: &[&str]) -> pb::UpdateOrganizationRequest {
    let mask = prost_types::FieldMask { paths: paths.iter().map(ToString::to_string).collect() };
    let organization = pb::Organization { organization_id: "acme".into(), ..organization };
    pb::UpdateOrganizationRequest { organization: Some(organization), update_mask: (!paths.is_empty()).then_some(mask) }
}

on_both! {
    async fn masks_write_and_clear(world: World) {
        acme(&world, pb::Organization { max_budget: Some("5".into()), budget_duration: Some("1d".into()), models: vec!["m".into()], ..Default::default() }).await;
        let change = |request| {
            let admin = world.admin.clone();
            async move { admin.organizations().update_organization(request).await }
        };
        change(update(pb::Organization { max_budget: Some("0".into()), ..Default::default() }, &[])).await.answer();
        assert_eq!(organization(&world, "acme").await.max_budget.as_deref(), Some("0"));
        change(update(pb::Organization::default(), &["max_budget", "budget_duration", "models"])).await.answer();
        let cleared = organization(&world, "acme").await;
        assert_eq!((cleared.max_budget, cleared.budget_resets_at, cleared.models.len()), (None, None, 0));
        let blank = update(pb::Organization::default(), &["organization_alias"]);
        assert_eq!(change(blank).await.bad()[0].0, "organization.organization_alias");
        assert_eq!(change(update(pb::Organization::default(), &["members"])).await.bad()[0].0, "update_mask");
        let stale = update(pb::Organization { organization_alias: "x".into(), etag: "1".into(), ..Default::default() }, &[]);
        change(stale).await.refused(Code::Aborted, ErrorReason::EtagStale);
        let unknown = pb::UpdateOrganizationRequest {
            organization: Some(pb::Organization { organization_id: "none".into(), ..Default::default() }), ..Default::default()
        };
        change(unknown).await.refused(Code::NotFound, ErrorReason::OrganizationNotFound);
        change(update(pb::Organization { soft_budget: Some("3".into()), ..Default::default() }, &[])).await.answer();
        let below = update(pb::Organization { max_budget: Some("3".into()), ..Default::default() }, &[]);
        change(below).await.refused(Code::FailedPrecondition, ErrorReason::SoftBudgetNotBelowMax);
    }

    async fn its_own_admins_label_it_and_raise_nothing(world: World) {
        let (olga, omar) = acme(&world, pb::Organization { max_budget: Some("5".into()), ..Default::default() }).await;
        let label = update(pb::Organization { organization_alias: "New".into(), ..Default::default() }, &[]);
        assert_eq!(olga.organizations().update_organization(label.clone()).await.answer().organization.unwrap().organization_alias, "New");
        for request in [
            update(pb::Organization { max_budget: Some("6".into()), ..Default::default() }, &[]),
            update(pb::Organization { max_budget: Some("4".into()), ..Default::default() }, &[]),
            update(pb::Organization::default(), &["max_budget"]),
            update(pb::Organization { models: vec!["m".into()], ..Default::default() }, &[]),
            update(pb::Organization { tpm_limit: Some(1), ..Default::default() }, &[]),
            update(pb::Organization { blocked: Some(true), ..Default::default() }, &[]),
            update(pb::Organization { spend: Some("0".into()), ..Default::default() }, &[]),
        ] {
            olga.organizations().update_organization(request).await.refused(Code::PermissionDenied, ErrorReason::FieldNotAllowed);
        }
        omar.organizations().update_organization(label.clone()).await.refused(Code::PermissionDenied, ErrorReason::RoleNotAllowed);
        let viewer = world.person("viewer", pb::Role::ProxyAdminViewer).await;
        viewer.organizations().update_organization(label.clone()).await.refused(Code::PermissionDenied, ErrorReason::RoleNotAllowed);
        // An admin of another organization does not learn of this one.
        let other = world.person("otto", pb::Role::InternalUser).await;
        world.organization(pb::Organization { organization_id: "other".into(), members: vec![member("otto", pb::OrganizationRole::Admin)], ..Default::default() }).await;
        other.organizations().update_organization(label).await.refused(Code::NotFound, ErrorReason::OrganizationNotFound);
    }

    async fn it_does_not_shrink_below_what_it_guarantees(world: World) {
        acme(&world, pb::Organization { tpm_limit: Some(1_000), ..Default::default() }).await;
        let guaranteed = pb::LimitType::GuaranteedThroughput.into();
        make(&world.admin, pb::Team { tpm_limit: Some(600), tpm_limit_type: guaranteed, ..team("red") }).await.answer();
        make(&world.admin, pb::Team { tpm_limit: Some(900), ..team("blue") }).await.answer();
        let shrink = |tpm| update(pb::Organization { tpm_limit: Some(tpm), ..Default::default() }, &[]);
        let status = world.admin.organizations().update_organization(shrink(599)).await.refused(Code::FailedPrecondition, ErrorReason::OrgThroughputOverallocated);
        assert!(status.message().contains("600"), "{}", status.message());
        let answer = world.admin.organizations().update_organization(shrink(600)).await.answer();
        assert_eq!(answer.warning_team_ids, ["blue"], "which has more than the organization now");
    }
}
