//! What an organization lets its teams have, and what binds its keys.

use bursar::pb;
use pb::ErrorReason;
use tokio::task::JoinSet;
use tonic::Code;

use super::{acme, make, organization, team};
use crate::gateway::{ask, authorize, denial, reserve, settle};
use crate::support::world::World;
use crate::support::{Answer, Backend, on_both};

fn change(team: pb::Team) -> pb::UpdateTeamRequest {
    pb::UpdateTeamRequest { team: Some(team), ..Default::default() }
}

on_both! {
    async fn a_team_may_have_what_its_organization_has_and_no_more(world: World) {
        let limits = pb::Organization {
            max_budget: Some("100".into()), tpm_limit: Some(10), rpm_limit: Some(5), models: vec!["a".into(), "b/*".into()], ..Default::default()
        };
        let (olga, _) = acme(&world, limits).await;
        for (team, reason) in [
            (pb::Team { max_budget: Some("100".into()), tpm_limit: Some(10), rpm_limit: Some(5), models: vec!["a".into(), "b/c".into()], ..team("fits") }, None),
            (pb::Team { max_budget: Some("100.000000001".into()), ..team("x") }, Some(ErrorReason::OrgBudgetExceeded)),
            (pb::Team { tpm_limit: Some(11), ..team("x") }, Some(ErrorReason::OrgTpmExceeded)),
            (pb::Team { rpm_limit: Some(6), ..team("x") }, Some(ErrorReason::OrgRpmExceeded)),
            (pb::Team { models: vec!["c".into()], ..team("x") }, Some(ErrorReason::OrgModelNotAllowed)),
            (pb::Team { models: vec!["all-proxy-models".into()], ..team("x") }, Some(ErrorReason::OrgModelNotAllowed)),
            (team("without-limits"), None),
        ] {
            let answer = make(&olga, team.clone()).await;
            match reason {
                None => drop(answer.answer()),
                Some(reason) => drop(answer.refused(Code::FailedPrecondition, reason)),
            }
        }
        let raise = |team| {
            let olga = olga.clone();
            async move { olga.teams().update_team(change(team)).await }
        };
        raise(pb::Team { team_id: "fits".into(), max_budget: Some("101".into()), ..Default::default() }).await.refused(Code::FailedPrecondition, ErrorReason::OrgBudgetExceeded);
        raise(pb::Team { team_id: "fits".into(), models: vec!["c".into()], ..Default::default() }).await.refused(Code::FailedPrecondition, ErrorReason::OrgModelNotAllowed);
        raise(pb::Team { team_id: "fits".into(), team_alias: Some("F".into()), ..Default::default() }).await.answer();
    }

    async fn a_default_above_the_organization_is_refused(backend: Backend) {
        let world = World::builder(backend).set("default_team_params", "{ max_budget = \"50\" }").start().await;
        acme(&world, pb::Organization { max_budget: Some("40".into()), ..Default::default() }).await;
        make(&world.admin, team("red")).await.refused(Code::FailedPrecondition, ErrorReason::OrgBudgetExceeded);
        make(&world.admin, pb::Team { max_budget: Some("40".into()), ..team("red") }).await.answer();
    }

    async fn guaranteed_throughput_adds_up_without_the_teams_own_share(world: World) {
        acme(&world, pb::Organization { tpm_limit: Some(1_000), ..Default::default() }).await;
        let guaranteed = |team_id: &str, tpm| pb::Team { tpm_limit: Some(tpm), tpm_limit_type: pb::LimitType::GuaranteedThroughput.into(), ..team(team_id) };
        make(&world.admin, guaranteed("red", 600)).await.answer();
        make(&world.admin, guaranteed("blue", 401)).await.refused(Code::FailedPrecondition, ErrorReason::OrgThroughputOverallocated);
        make(&world.admin, guaranteed("blue", 400)).await.answer();
        let set = |team_id: &str, tpm| change(pb::Team { team_id: team_id.into(), tpm_limit: Some(tpm), ..Default::default() });
        world.admin.teams().update_team(set("blue", 401)).await.refused(Code::FailedPrecondition, ErrorReason::OrgThroughputOverallocated);
        world.admin.teams().update_team(set("red", 600)).await.answer();
        world.admin.teams().update_team(set("red", 500)).await.answer();
        world.admin.teams().update_team(set("blue", 500)).await.answer();
    }

    async fn of_20_guarantees_at_once_with_room_for_10_exactly_10_are_given(world: World) {
        acme(&world, pb::Organization { tpm_limit: Some(1_000), ..Default::default() }).await;
        let mut makers = JoinSet::new();
        for number in 0..20 {
            let admin = world.admin.clone();
            let wanted = pb::Team { tpm_limit: Some(100), tpm_limit_type: pb::LimitType::GuaranteedThroughput.into(), ..team(&format!("t{number}")) };
            makers.spawn(async move { make(&admin, wanted).await });
        }
        let (made, refused): (Vec<_>, Vec<_>) = makers.join_all().await.into_iter().partition(Result::is_ok);
        assert_eq!(made.len(), 10);
        for refusal in refused {
            refusal.refused(Code::FailedPrecondition, ErrorReason::OrgThroughputOverallocated);
        }
    }

    async fn its_budget_binds_the_keys_of_its_teams_and_members(world: World) {
        let (_, omar) = acme(&world, pb::Organization { max_budget: Some("1".into()), ..Default::default() }).await;
        make(&world.admin, team("red")).await.answer();
        let (shared, _) = world.key(pb::Key { team_id: Some("red".into()), ..Default::default() }).await;
        let caller = world.with_key(&shared);
        let first = reserve(&caller, "a", "0.6").await;
        // The personal key of a member of no other organization counts, too.
        let answer = authorize(&omar, ask("b", "0.5")).await;
        assert_eq!(denial(&answer), (pb::DenyReason::BudgetExceeded, pb::BudgetScope::Organization));
        assert_eq!(settle(&caller, &first, 200_000).await.cost, "0.5");
        let second = reserve(&omar, "c", "0.5").await;
        assert_eq!(settle(&omar, &second, 200_000).await.cost, "0.5");
        let answer = authorize(&caller, ask("d", "0")).await;
        assert_eq!(denial(&answer), (pb::DenyReason::BudgetExceeded, pb::BudgetScope::Organization));
        let acme = organization(&world, "acme").await;
        assert_eq!((acme.spend.as_deref(), acme.members.iter().find(|member| member.user_id == "omar").unwrap().spend.as_str()), (Some("1"), "0.5"));
        let asked = pb::GetBudgetStatusRequest { subject: Some(pb::get_budget_status_request::Subject::OrganizationId("acme".into())) };
        let status = world.admin.budgets().get_budget_status(asked.clone()).await.answer().budgets;
        assert_eq!((status[0].scope(), status[0].remaining.as_deref()), (pb::BudgetScope::Organization, Some("0")));
        omar.budgets().get_budget_status(asked).await.refused(Code::NotFound, ErrorReason::OrganizationNotFound);
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty());
    }

    async fn a_members_budget_in_the_organization_binds_that_member(world: World) {
        let (olga, omar) = acme(&world, pb::Organization::default()).await;
        let limited = pb::OrganizationMember { user_id: "omar".into(), max_budget_in_organization: Some("0.1".into()), ..Default::default() };
        let request = pb::UpdateOrganizationMemberRequest { organization_id: "acme".into(), member: Some(limited), ..Default::default() };
        olga.organizations().update_organization_member(request).await.answer();
        let answer = authorize(&omar, ask("a", "0.2")).await;
        assert_eq!(denial(&answer), (pb::DenyReason::BudgetExceeded, pb::BudgetScope::OrganizationMember));
        assert_eq!(answer.budgets[0].id, "acme/omar");
        assert_eq!(authorize(&olga, ask("b", "0.2")).await.decision(), pb::Decision::Allow);
    }

    async fn a_blocked_organization_is_refused_at_once(world: World) {
        let (olga, omar) = acme(&world, pb::Organization::default()).await;
        make(&world.admin, team("red")).await.answer();
        let (shared, _) = world.key(pb::Key { team_id: Some("red".into()), ..Default::default() }).await;
        let caller = world.with_key(&shared);
        assert_eq!(authorize(&caller, ask("a", "0")).await.decision(), pb::Decision::Allow);
        let block = |blocked| pb::UpdateOrganizationRequest {
            organization: Some(pb::Organization { organization_id: "acme".into(), blocked: Some(blocked), ..Default::default() }), ..Default::default()
        };
        world.admin.organizations().update_organization(block(true)).await.answer();
        caller.gateway().authorize(ask("b", "0")).await.refused(Code::PermissionDenied, ErrorReason::OrganizationBlocked);
        let asked = pb::AuthorizeRequest { key: shared.clone(), ..ask("c", "0") };
        assert_eq!(denial(&authorize(&world.admin, asked).await), (pb::DenyReason::TeamBlocked, pb::BudgetScope::Organization));
        assert_eq!(denial(&authorize(&omar, ask("d", "0")).await).0, pb::DenyReason::TeamBlocked);
        // Its admins go on managing it.
        let get = pb::GetOrganizationRequest { organization_id: "acme".into(), ..Default::default() };
        olga.organizations().get_organization(get).await.answer();
        world.admin.organizations().update_organization(block(false)).await.answer();
        assert_eq!(authorize(&caller, ask("e", "0")).await.decision(), pb::Decision::Allow);
    }

    async fn its_models_bind_too(world: World) {
        let (_, omar) = acme(&world, pb::Organization { models: vec!["gpt-4o-mini".into()], ..Default::default() }).await;
        let answer = authorize(&omar, ask("a", "0")).await;
        assert_eq!(denial(&answer), (pb::DenyReason::ModelNotAllowed, pb::BudgetScope::Organization));
    }
}
