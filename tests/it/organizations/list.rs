//! `ListOrganizations`.

use bursar::pb;
use pb::ErrorReason;
use tonic::Code;

use super::acme;
use crate::support::world::World;
use crate::support::{Answer, Client, on_both};

async fn ids(client: &Client, request: pb::ListOrganizationsRequest) -> Vec<String> {
    let answer = client.organizations().list_organizations(request).await.answer();
    answer.organizations.into_iter().map(|organization| organization.organization_id).collect()
}

fn by_id() -> pb::ListOrganizationsRequest {
    pb::ListOrganizationsRequest { order_by: "organization_id".into(), ..Default::default() }
}

on_both! {
    async fn each_caller_sees_its_own(world: World) {
        let (olga, omar) = acme(&world, pb::Organization { max_budget: Some("5".into()), ..Default::default() }).await;
        world.organization(pb::Organization { organization_id: "zeta".into(), blocked: Some(true), ..Default::default() }).await;
        assert_eq!(ids(&world.admin, by_id()).await, ["acme", "zeta"]);
        assert_eq!((ids(&olga, by_id()).await, ids(&omar, by_id()).await), (vec!["acme".to_owned()], vec!["acme".to_owned()]));
        let stranger = world.person("zoe", pb::Role::InternalUser).await;
        assert!(ids(&stranger, by_id()).await.is_empty());
        let max = |client: &Client| {
            let client = client.clone();
            async move { client.organizations().list_organizations(by_id()).await.answer().organizations[0].max_budget.clone() }
        };
        assert_eq!((max(&olga).await.as_deref(), max(&omar).await), (Some("5"), None), "a plain member sees the name");
        let of = |user: &str| pb::ListOrganizationsRequest { user_id: user.into(), ..by_id() };
        assert_eq!(ids(&world.admin, of("omar")).await, ["acme"]);
        assert_eq!(ids(&omar, of("omar")).await, ["acme"]);
        omar.organizations().list_organizations(of("olga")).await.refused(Code::PermissionDenied, ErrorReason::NotYourUser);
    }

    async fn filters_orders_and_pages_hold(world: World) {
        for number in 0..7 {
            world.organization(pb::Organization { organization_id: format!("o{number}"), blocked: Some(number % 2 == 0), ..Default::default() }).await;
        }
        let blocked = pb::ListOrganizationsRequest { blocked: Some(true), ..by_id() };
        assert_eq!(ids(&world.admin, blocked).await, ["o0", "o2", "o4", "o6"]);
        let part = pb::ListOrganizationsRequest { organization_alias_contains: "O3".into(), ..by_id() };
        assert_eq!(ids(&world.admin, part).await, ["o3"]);
        let these = pb::ListOrganizationsRequest { organization_ids: vec!["o5".into(), "none".into()], ..by_id() };
        assert_eq!(ids(&world.admin, these).await, ["o5"]);
        let mut request = pb::ListOrganizationsRequest { page_size: 3, include_total: true, order_by: "organization_alias desc".into(), ..Default::default() };
        let mut walked = Vec::new();
        loop {
            let answer = world.admin.organizations().list_organizations(request.clone()).await.answer();
            assert_eq!(answer.total_size, Some(7));
            walked.extend(answer.organizations.into_iter().map(|organization| organization.organization_id));
            if answer.next_page_token.is_empty() {
                break;
            }
            request.page_token = answer.next_page_token;
        }
        assert_eq!(walked, ["o6", "o5", "o4", "o3", "o2", "o1", "o0"]);
        let unknown = pb::ListOrganizationsRequest { order_by: "secret".into(), ..Default::default() };
        assert_eq!(world.admin.organizations().list_organizations(unknown).await.bad()[0].0, "order_by");
    }
}
