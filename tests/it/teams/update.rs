//! `UpdateTeam`: what proxy admins may, and what team admins may.

use bursar::pb;
use pb::ErrorReason;
use prost_types::FieldMask;
use tonic::Code;

use super::{red, team};
use crate::gateway::{ask, authorize, denial, reserve};
use crate::support::world::World;
use crate::support::{Answer, on_both};

fn update(team: pb::Team, paths: &[&str]) -> pb::UpdateTeamRequest {
    let mask = FieldMask { paths: paths.iter().map(ToString::to_string).collect() };
    let team = pb::Team { team_id: "red".into(), ..team };
    pb::UpdateTeamRequest { team: Some(team), update_mask: (!paths.is_empty()).then_some(mask), ..Default::default() }
}

on_both! {
    async fn masks_write_and_clear(world: World) {
        world.team(pb::Team { team_id: "red".into(), team_alias: Some("Reds".into()), max_budget: Some("5".into()), tags: vec!["a".into()], ..Default::default() }).await;
        let change = pb::Team { rpm_limit: Some(3), ..Default::default() };
        let after = world.admin.teams().update_team(update(change, &["max_budget", "tags", "rpm_limit"])).await.answer().team.unwrap();
        assert_eq!((after.team_alias.as_deref(), after.max_budget.as_deref(), after.rpm_limit, after.tags.len()), (Some("Reds"), None, Some(3), 0));
        assert_eq!(world.admin.teams().update_team(update(pb::Team::default(), &["members"])).await.bad()[0].0, "update_mask");
        let stale = pb::Team { etag: "1".into(), team_alias: Some("x".into()), ..Default::default() };
        world.admin.teams().update_team(update(stale, &[])).await.refused(Code::Aborted, ErrorReason::EtagStale);
        let absent = pb::UpdateTeamRequest { team: Some(pb::Team { team_id: "blue".into(), ..Default::default() }), ..Default::default() };
        world.admin.teams().update_team(absent).await.refused(Code::NotFound, ErrorReason::TeamNotFound);
    }

    async fn a_warning_stays_below_the_limit_whatever_a_mask_names(world: World) {
        world.team(pb::Team { team_id: "red".into(), max_budget: Some("20".into()), soft_budget: Some("10".into()), ..Default::default() }).await;
        let both = || pb::Team { max_budget: Some("5".into()), soft_budget: Some("3".into()), ..Default::default() };
        let half = world.admin.teams().update_team(update(both(), &["max_budget"])).await.unwrap_err();
        assert_eq!(half.code(), Code::FailedPrecondition, "{half:?}");
        world.admin.teams().update_team(update(both(), &["max_budget", "soft_budget"])).await.answer();
    }

    async fn a_team_admin_tightens_and_does_not_loosen(world: World) {
        let (lead, alice) = red(&world, pb::Team { max_budget: Some("5".into()), models: vec!["gpt-4o".into(), "o3".into()], rpm_limit: Some(10), ..Default::default() }).await;
        let loosening = [
            (pb::Team { max_budget: Some("6".into()), ..Default::default() }, vec!["max_budget"]),
            (pb::Team::default(), vec!["max_budget"]),
            (pb::Team { rpm_limit: Some(11), ..Default::default() }, vec!["rpm_limit"]),
            (pb::Team { models: vec!["gpt-4o".into(), "gpt-4".into()], ..Default::default() }, vec!["models"]),
            (pb::Team::default(), vec!["models"]),
        ];
        for (change, paths) in loosening {
            lead.teams().update_team(update(change, &paths)).await.refused(Code::PermissionDenied, ErrorReason::BudgetRaiseNeedsAdmin);
        }
        for change in [pb::Team { spend: Some("0".into()), ..Default::default() }, pb::Team { budget_duration: Some("1d".into()), ..Default::default() }] {
            lead.teams().update_team(update(change, &[])).await.refused(Code::PermissionDenied, ErrorReason::FieldNotAllowed);
        }
        let tightened = pb::Team { max_budget: Some("4".into()), models: vec!["o3".into()], team_alias: Some("x".into()), team_member_budget: Some("1".into()), ..Default::default() };
        let after = lead.teams().update_team(update(tightened, &[])).await.answer().team.unwrap();
        assert_eq!((after.max_budget.as_deref(), after.models.len(), after.team_member_budget.as_deref()), (Some("4"), 1, Some("1")));
        alice.teams().update_team(update(pb::Team { team_alias: Some("y".into()), ..Default::default() }, &[])).await.refused(Code::PermissionDenied, ErrorReason::RoleNotAllowed);
        assert_eq!(team(&world, "red").await.team_alias.as_deref(), Some("x"));
    }

    async fn a_member_default_reaches_members_without_limits_of_their_own_at_once(world: World) {
        red(&world, pb::Team::default()).await;
        let own = pb::TeamMember { user_id: "bob".into(), max_budget_in_team: Some("9".into()), ..Default::default() };
        world.user(pb::User { user_id: "bob".into(), ..Default::default() }).await;
        world.admin.teams().add_team_members(pb::AddTeamMembersRequest { team_id: "red".into(), members: vec![own], ..Default::default() }).await.answer();
        let key = |user: &str| pb::Key { user_id: Some(user.into()), team_id: Some("red".into()), ..Default::default() };
        let alice = world.with_key(&world.key(key("alice")).await.0);
        let bob = world.with_key(&world.key(key("bob")).await.0);
        let id = reserve(&alice, "a", "5").await;
        alice.gateway().release(pb::ReleaseRequest { reservation_id: id }).await.answer();
        world.admin.teams().update_team(update(pb::Team { team_member_budget: Some("2".into()), ..Default::default() }, &[])).await.answer();
        assert_eq!(denial(&authorize(&alice, ask("b", "3")).await).1, pb::BudgetScope::TeamMember);
        reserve(&bob, "b", "3").await;
    }

    async fn blocked_is_a_field_too(world: World) {
        red(&world, pb::Team::default()).await;
        let after = world.admin.teams().update_team(update(pb::Team { blocked: Some(true), ..Default::default() }, &[])).await.answer().team.unwrap();
        assert_eq!(after.blocked, Some(true));
    }
}
