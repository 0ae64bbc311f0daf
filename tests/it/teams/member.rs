//! `UpdateTeamMember`.

use bursar::pb;
use pb::{ErrorReason, TeamRole};
use tonic::Code;

use super::{member, red, team};
use crate::gateway::{ask, authorize, denial};
use crate::support::world::World;
use crate::support::{Answer, on_both};

fn update(member: pb::TeamMember, paths: &[&str]) -> pb::UpdateTeamMemberRequest {
    let mask = prost_types::FieldMask { paths: paths.iter().map(ToString::to_string).collect() };
    pb::UpdateTeamMemberRequest {
        team_id: "red".into(),
        member: Some(member),
        update_mask: (!paths.is_empty()).then_some(mask),
    }
}

fn named(user_id: &str) -> pb::TeamMember {
    pb::TeamMember { user_id: user_id.into(), ..Default::default() }
}

on_both! {
    async fn limits_come_from_the_defaults_until_they_are_its_own(world: World) {
        let (lead, _) = red(&world, pb::Team { team_member_budget: Some("5".into()), team_member_rpm_limit: Some(3), ..Default::default() }).await;
        let change = |request| {
            let lead = lead.clone();
            async move { lead.teams().update_team_member(request).await.answer().member.unwrap() }
        };
        let own = change(update(pb::TeamMember { max_budget_in_team: Some("0".into()), ..named("alice") }, &[])).await;
        assert_eq!((own.max_budget_in_team.as_deref(), own.rpm_limit, own.role()), (Some("0"), Some(3), TeamRole::User));
        let (secret, _) = world.key(pb::Key { user_id: Some("alice".into()), team_id: Some("red".into()), ..Default::default() }).await;
        let asked = pb::AuthorizeRequest { key: secret, ..ask("a", "0.1") };
        assert_eq!(denial(&authorize(&world.admin, asked.clone()).await).1, pb::BudgetScope::TeamMember);
        let promoted = change(update(member("alice", TeamRole::Admin), &[])).await;
        assert_eq!((promoted.role(), promoted.max_budget_in_team.as_deref()), (TeamRole::Admin, Some("0")), "a new role keeps the budget");
        let back = change(update(named("alice"), &["max_budget_in_team", "rpm_limit"])).await;
        assert_eq!((back.max_budget_in_team, back.rpm_limit), (None, None));
        assert_eq!(authorize(&world.admin, asked.clone()).await.decision(), pb::Decision::Allow, "the default holds again");
        // A default reaches whoever follows it.
        let lower = pb::Team { team_id: "red".into(), team_member_budget: Some("0".into()), ..Default::default() };
        lead.teams().update_team(pb::UpdateTeamRequest { team: Some(lower), ..Default::default() }).await.answer();
        let asked = pb::AuthorizeRequest { request_id: "b".into(), ..asked };
        assert_eq!(denial(&authorize(&world.admin, asked).await).1, pb::BudgetScope::TeamMember);
    }

    async fn impossible_changes_are_refused(world: World) {
        let (lead, alice) = red(&world, pb::Team { tpm_limit: Some(10), ..Default::default() }).await;
        let rich = |user: &str| update(pb::TeamMember { tpm_limit: Some(11), ..named(user) }, &[]);
        lead.teams().update_team_member(rich("alice")).await.refused(Code::FailedPrecondition, ErrorReason::LimitAboveTeam);
        lead.teams().update_team_member(update(named("nobody"), &[])).await.refused(Code::NotFound, ErrorReason::MemberNotFound);
        alice.teams().update_team_member(update(named("alice"), &[])).await.refused(Code::PermissionDenied, ErrorReason::RoleNotAllowed);
        let unknown_team = pb::UpdateTeamMemberRequest { team_id: "blue".into(), ..update(named("alice"), &[]) };
        lead.teams().update_team_member(unknown_team).await.refused(Code::NotFound, ErrorReason::TeamNotFound);
        assert_eq!(lead.teams().update_team_member(update(pb::TeamMember::default(), &[])).await.bad()[0].0, "member");
        assert_eq!(lead.teams().update_team_member(update(named("alice"), &["spend"])).await.bad()[0].0, "update_mask");
        let lower = |user: &str, max: &str| update(pb::TeamMember { max_budget_in_team: Some(max.into()), ..named(user) }, &[]);
        lead.teams().update_team_member(lower("lead", "5")).await.answer();
        lead.teams().update_team_member(lower("lead", "6")).await.refused(Code::PermissionDenied, ErrorReason::BudgetRaiseNeedsAdmin);
        lead.teams().update_team_member(update(named("lead"), &["max_budget_in_team"])).await.refused(Code::PermissionDenied, ErrorReason::BudgetRaiseNeedsAdmin);
        world.admin.teams().update_team_member(lower("lead", "6")).await.answer();
    }

    async fn the_last_admin_stays_however_many_demote_at_once(world: World) {
        let (lead, alice) = red(&world, pb::Team::default()).await;
        let demote = |user: &str| update(member(user, TeamRole::User), &[]);
        lead.teams().update_team_member(demote("lead")).await.refused(Code::FailedPrecondition, ErrorReason::LastTeamAdmin);
        lead.teams().update_team_member(update(member("alice", TeamRole::Admin), &[])).await.answer();
        let both = tokio::join!(
            async { lead.teams().update_team_member(demote("lead")).await },
            async { alice.teams().update_team_member(demote("alice")).await },
        );
        assert_eq!(i32::from(both.0.is_ok()) + i32::from(both.1.is_ok()), 1, "{both:?}");
        let admins: Vec<String> = team(&world, "red").await.members.into_iter().filter(|member| member.role() == TeamRole::Admin).map(|member| member.user_id).collect();
        assert_eq!(admins.len(), 1);
        world.admin.teams().update_team_member(demote(&admins[0])).await.answer();
    }

    async fn of_50_who_join_at_once_nobody_is_lost(world: World) {
        red(&world, pb::Team::default()).await;
        let mut makers = tokio::task::JoinSet::new();
        for number in 0..50 {
            let client = crate::support::Client::anonymous(world.connect().await).with_key(crate::support::world::MASTER);
            makers.spawn(async move {
                let members = vec![named(&format!("u{number}"))];
                let request = pb::AddTeamMembersRequest { team_id: "red".into(), members, ..Default::default() };
                client.teams().add_team_members(request).await.answer().added_count
            });
        }
        assert_eq!(makers.join_all().await.into_iter().sum::<i64>(), 50);
        assert_eq!(team(&world, "red").await.member_count, 52);
        let mut again = tokio::task::JoinSet::new();
        for _ in 0..20 {
            let admin = world.admin.clone();
            again.spawn(async move {
                let request = pb::AddTeamMembersRequest { team_id: "red".into(), members: vec![named("late")], ..Default::default() };
                let answer = admin.teams().add_team_members(request).await.answer();
                (answer.added_count, answer.unchanged_count)
            });
        }
        let sums = again.join_all().await.into_iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        assert_eq!(sums, (1, 19));
    }

    async fn two_admins_who_edit_one_team_with_its_etag_are_one_edit(world: World) {
        red(&world, pb::Team::default()).await;
        let etag = team(&world, "red").await.etag;
        let mut editors = tokio::task::JoinSet::new();
        for number in 0..8 {
            let (admin, etag) = (world.admin.clone(), etag.clone());
            editors.spawn(async move {
                let team = pb::Team { team_id: "red".into(), team_alias: Some(number.to_string()), etag, ..Default::default() };
                admin.teams().update_team(pb::UpdateTeamRequest { team: Some(team), ..Default::default() }).await
            });
        }
        let (made, refused): (Vec<_>, Vec<_>) = editors.join_all().await.into_iter().partition(Result::is_ok);
        assert_eq!((made.len(), refused.len()), (1, 7));
        for refusal in refused {
            refusal.refused(Code::Aborted, ErrorReason::EtagStale);
        }
    }
}
