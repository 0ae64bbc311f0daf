//! `CreateTeam`.

use bursar::pb;
use pb::ErrorReason;
use tonic::Code;

use super::{member, team};
use crate::organizations::acme;
use crate::support::world::World;
use crate::support::{Answer, Backend, on_both};

fn create(team: pb::Team) -> pb::CreateTeamRequest {
    pb::CreateTeamRequest { team: Some(team), ..Default::default() }
}

fn named(team_id: &str) -> pb::Team {
    pb::Team { team_id: team_id.into(), ..Default::default() }
}

on_both! {
    async fn a_team_is_stored_as_asked(world: World) {
        world.user(pb::User { user_id: "alice".into(), user_email: Some("a@b.c".into()), ..Default::default() }).await;
        let asked = pb::Team {
            team_alias: Some("Reds".into()),
            members: vec![pb::TeamMember { user_email: "A@b.c".into(), max_budget_in_team: Some("2".into()), ..Default::default() }],
            models: vec!["gpt-4o".into(), "openai/*".into()],
            model_aliases: [("fast".to_owned(), "gpt-4o".to_owned())].into(),
            max_budget: Some("10".into()),
            soft_budget: Some("9".into()),
            budget_duration: Some("1mo".into()),
            tpm_limit: Some(5),
            rpm_limit: Some(6),
            max_parallel_requests: Some(7),
            team_member_budget: Some("3".into()),
            team_member_budget_duration: Some("1d".into()),
            team_member_rpm_limit: Some(8),
            team_member_tpm_limit: Some(9),
            team_member_key_duration: Some("90d".into()),
            member_permissions: vec![pb::TeamMemberPermission::KeyList.into()],
            tags: vec!["prod".into()],
            ..named("red")
        };
        let made = world.admin.teams().create_team(create(asked.clone())).await.answer().team.unwrap();
        assert_eq!(made, team(&world, "red").await);
        let joined = &made.members[0];
        assert_eq!((joined.user_id.as_str(), joined.user_email.as_str(), joined.role()), ("alice", "a@b.c", pb::TeamRole::User));
        assert_eq!((joined.max_budget_in_team.as_deref(), joined.budget_duration.as_deref()), (Some("2"), Some("1d")));
        assert_eq!((joined.rpm_limit, joined.tpm_limit), (Some(8), Some(9)), "the rest is copied from the defaults");
        let stored = pb::Team {
            members: asked.members.clone(), blocked: None, spend: None, lifetime_spend: String::new(), budget_resets_at: None,
            member_count: 0, created_at: None, updated_at: None, etag: String::new(), ..made
        };
        assert_eq!(stored, asked);
    }

    async fn what_is_taken_or_unknown_is_refused(world: World) {
        world.team(named("red")).await;
        world.admin.teams().create_team(create(named("red"))).await.refused(Code::AlreadyExists, ErrorReason::TeamIdExists);
        world.user(pb::User { user_id: "alice".into(), user_email: Some("a@b.c".into()), ..Default::default() }).await;
        let twice = pb::Team {
            members: vec![member("alice", pb::TeamRole::User), pb::TeamMember { user_email: "a@b.c".into(), ..Default::default() }],
            ..named("blue")
        };
        world.admin.teams().create_team(create(twice)).await.refused(Code::InvalidArgument, ErrorReason::DuplicateMember);
        let teams = world.admin.teams().list_teams(pb::ListTeamsRequest::default()).await.answer().teams;
        assert_eq!(teams.len(), 1, "nothing was made");
    }

    async fn every_bad_field_is_named(world: World) {
        let bad = pb::Team {
            team_alias: Some("x".repeat(257)),
            members: vec![pb::TeamMember { max_budget_in_team: Some("x".into()), ..member("a", pb::TeamRole::User) }, pb::TeamMember::default()],
            model_aliases: [(String::new(), "m".to_owned())].into(),
            max_budget: Some("1,5".into()),
            tags: vec!["t".repeat(257)],
            member_permissions: vec![77],
            team_member_key_duration: Some("x".into()),
            ..named("bursar-internal")
        };
        let mut fields: Vec<String> = world.admin.teams().create_team(create(bad)).await.bad().into_iter().map(|(field, _)| field).collect();
        fields.sort();
        assert_eq!(fields, [
            "team.max_budget", "team.member_permissions[0]", "team.members[0].max_budget_in_team", "team.members[1]", "team.model_aliases[\"\"]",
            "team.tags[0]", "team.team_alias", "team.team_id", "team.team_member_key_duration",
        ]);
    }

    async fn users_make_teams_within_their_own_limits_where_the_setting_lets_them(backend: Backend) {
        let world = World::start(backend).await;
        let alice = world.person("alice", pb::Role::InternalUser).await;
        alice.teams().create_team(create(named("mine"))).await.refused(Code::PermissionDenied, ErrorReason::RoleNotAllowed);
        let world = World::builder(backend).set("allow_user_created_teams", "true").start().await;
        let user = pb::User {
            user_id: "alice".into(), user_role: pb::Role::InternalUser.into(), max_budget: Some("5".into()), models: vec!["gpt-4o".into()],
            ..Default::default()
        };
        let answer = world.admin.users().create_user(pb::CreateUserRequest { user: Some(user), ..Default::default() }).await.answer();
        let alice = world.with_key(&answer.secret);
        for team in [
            pb::Team { max_budget: Some("6".into()), ..named("a") },
            pb::Team { models: vec!["o3".into()], ..named("b") },
        ] {
            alice.teams().create_team(create(team)).await.refused(Code::FailedPrecondition, ErrorReason::CreatorLimitExceeded);
        }
        let team = alice.teams().create_team(create(named("mine"))).await.answer().team.unwrap();
        assert_eq!((team.max_budget.as_deref(), team.models.as_slice()), (Some("5"), &["gpt-4o".to_owned()][..]));
        assert_eq!((team.members[0].user_id.as_str(), team.members[0].role()), ("alice", pb::TeamRole::Admin));
    }

    async fn defaults_fill_what_is_left_out(backend: Backend) {
        let world = World::builder(backend)
            .set("default_team_params", r#"{ max_budget = "3", budget_duration = "7d", rpm_limit = 5, member_permissions = ["KEY_LIST"] }"#)
            .start().await;
        let made = world.team(pb::Team { rpm_limit: Some(9), ..named("red") }).await;
        assert_eq!((made.max_budget.as_deref(), made.budget_duration.as_deref(), made.rpm_limit), (Some("3"), Some("7d"), Some(9)));
        assert_eq!(made.member_permissions, [i32::from(pb::TeamMemberPermission::KeyList)]);
    }

    async fn a_default_organization_takes_every_new_team(backend: Backend) {
        let world = World::builder(backend).set("default_team_params", r#"{ organization_id = "acme" }"#).start().await;
        world.admin.teams().create_team(create(named("early"))).await.refused(Code::NotFound, ErrorReason::OrganizationNotFound);
        let (olga, omar) = acme(&world, pb::Organization { max_budget: Some("5".into()), ..Default::default() }).await;
        for (number, client) in [&world.admin, &olga].into_iter().enumerate() {
            let made = client.teams().create_team(create(named(&format!("t{number}")))).await.answer().team.unwrap();
            assert_eq!(made.organization_id.as_deref(), Some("acme"));
        }
        // Its rules are those of the organization that it comes into.
        let rich = pb::Team { max_budget: Some("6".into()), ..named("rich") };
        olga.teams().create_team(create(rich)).await.refused(Code::FailedPrecondition, ErrorReason::OrgBudgetExceeded);
        omar.teams().create_team(create(named("his"))).await.refused(Code::PermissionDenied, ErrorReason::RoleNotAllowed);
    }

    async fn a_replay_makes_one_team(world: World) {
        let request = pb::CreateTeamRequest { request_id: "r".into(), ..create(pb::Team::default()) };
        let first = world.admin.teams().create_team(request.clone()).await.answer();
        assert_eq!(world.admin.teams().create_team(request.clone()).await.answer(), first);
        let other = pb::CreateTeamRequest { add_creator: true, ..request };
        world.admin.teams().create_team(other).await.refused(Code::AlreadyExists, ErrorReason::RequestIdReused);
    }

    async fn an_admin_with_a_user_may_join_its_team(world: World) {
        let root = world.person("root", pb::Role::ProxyAdmin).await;
        assert!(root.teams().create_team(create(named("a"))).await.answer().team.unwrap().members.is_empty());
        let joined = pb::CreateTeamRequest { add_creator: true, ..create(named("b")) };
        let team = root.teams().create_team(joined).await.answer().team.unwrap();
        assert_eq!((team.members[0].user_id.as_str(), team.members[0].role()), ("root", pb::TeamRole::Admin));
        // Of a team of an organization it must be in that, too.
        world.organization(pb::Organization { organization_id: "acme".into(), ..Default::default() }).await;
        let in_acme = |id: &str| pb::Team { organization_id: Some("acme".into()), ..named(id) };
        let outside = pb::CreateTeamRequest { add_creator: true, ..create(in_acme("c")) };
        root.teams().create_team(outside.clone()).await.refused(Code::FailedPrecondition, ErrorReason::MemberNotInOrganization);
        let inside = pb::CreateTeamRequest { add_members_to_organization: true, ..outside };
        let team = root.teams().create_team(inside).await.answer().team.unwrap();
        assert_eq!(team.members[0].user_id, "root");
        let members = crate::organizations::organization(&world, "acme").await.members;
        assert_eq!(members.iter().map(|member| member.user_id.as_str()).collect::<Vec<_>>(), ["root"]);
    }

    async fn an_organization_admin_administers_the_team_that_it_makes(world: World) {
        let (olga, _) = crate::organizations::acme(&world, pb::Organization::default()).await;
        let team = crate::organizations::make(&olga, crate::organizations::team("red")).await.answer().team.unwrap();
        assert_eq!((team.members[0].user_id.as_str(), team.members[0].role()), ("olga", pb::TeamRole::Admin));
    }
}
