//! `CreateUser`.

use bursar::pb;
use pb::ErrorReason;
use tonic::Code;

use crate::support::world::World;
use crate::support::{Answer, Backend, on_both, reason_of};

fn named(user_id: &str) -> pb::User {
    pb::User { user_id: user_id.into(), ..Default::default() }
}

fn create(user: pb::User) -> pb::CreateUserRequest {
    pb::CreateUserRequest { user: Some(user), ..Default::default() }
}

on_both! {
    async fn the_key_that_comes_along_keeps_the_rules_of_keys(world: World) {
        world.team(pb::Team { team_id: "red".into(), ..Default::default() }).await;
        let with = |key: pb::Key| pb::CreateUserRequest { key: Some(key), ..create(named("alice")) };
        let outside = with(pb::Key { team_id: Some("red".into()), ..Default::default() });
        world.admin.users().create_user(outside).await.refused(Code::FailedPrecondition, ErrorReason::UserNotInTeam);
        let unknown = with(pb::Key { team_id: Some("blue".into()), ..Default::default() });
        world.admin.users().create_user(unknown).await.refused(Code::FailedPrecondition, ErrorReason::UserNotInTeam);
        let half = with(pb::Key { temp_budget_increase: Some("1".into()), ..Default::default() });
        assert_eq!(world.admin.users().create_user(half).await.bad()[0].0, "key.temp_budget_expires_at");
        // A key that may call one RPC makes keys that may call no other.
        world.person("root", pb::Role::ProxyAdmin).await;
        let narrow = pb::Key { user_id: Some("root".into()), allowed_routes: vec!["bursar.v1.UserService/CreateUser".into()], ..Default::default() };
        let (secret, _) = world.key(narrow).await;
        let made = world.with_key(&secret).users().create_user(with(pb::Key::default())).await.answer();
        assert_eq!(made.key.unwrap().allowed_routes, ["bursar.v1.UserService/CreateUser"]);
        let inside = pb::User { team_ids: vec!["red".into()], ..named("bob") };
        let member = pb::CreateUserRequest { key: Some(pb::Key { team_id: Some("red".into()), ..Default::default() }), ..create(inside) };
        world.admin.users().create_user(member).await.answer();
    }

    async fn a_user_is_stored_as_asked_and_gets_a_key(world: World) {
        let asked = pb::User {
            user_id: "alice".into(),
            user_email: Some("Alice@Example.com".into()),
            user_alias: Some("Al".into()),
            user_role: pb::Role::InternalUser.into(),
            models: vec!["gpt-4o".into()],
            max_budget: Some("12.5".into()),
            soft_budget: Some("10".into()),
            budget_duration: Some("7d".into()),
            tpm_limit: Some(1_000),
            rpm_limit: Some(0),
            max_parallel_requests: Some(3),
            ..Default::default()
        };
        let answer = world.admin.users().create_user(create(asked.clone())).await.answer();
        let user = answer.user.unwrap();
        let again = world.admin.users().get_user(pb::GetUserRequest { user_id: "alice".into(), ..Default::default() }).await.answer();
        assert_eq!(again.user.as_ref().unwrap(), &pb::User { key_count: 1, ..user.clone() });
        assert!(user.created_at.is_some() && user.budget_resets_at.is_some() && !user.etag.is_empty());
        let stored = pb::User {
            spend: None, personal_spend: String::new(), lifetime_spend: String::new(), blocked: None, key_count: 0,
            created_at: None, updated_at: None, budget_resets_at: None, etag: String::new(), ..user
        };
        assert_eq!(stored, asked);
        let key = answer.key.unwrap();
        assert_eq!(key.user_id.as_deref(), Some("alice"));
        assert!(answer.secret.starts_with("sk-") && answer.secret.len() >= 40);
        assert_eq!(key.key_name, format!("sk-...{}", &answer.secret[answer.secret.len() - 4..]));
        let me = world.with_key(&answer.secret).users().get_user(pb::GetUserRequest::default()).await.answer();
        assert_eq!(me.user.unwrap().user_id, "alice");
    }

    async fn without_an_id_one_is_made_and_without_a_wish_no_key(world: World) {
        let request = pb::CreateUserRequest { auto_create_key: Some(false), ..Default::default() };
        let answer = world.admin.users().create_user(request).await.answer();
        assert!(answer.key.is_none() && answer.secret.is_empty());
        assert_eq!(answer.user.unwrap().user_id.len(), 36);
    }

    async fn a_taken_id_or_address_is_refused_and_nothing_is_made(world: World) {
        let alice = pb::User { user_email: Some("a@b.c".into()), ..named("alice") };
        world.user(alice).await;
        let status = world.admin.users().create_user(create(named("alice"))).await.refused(Code::AlreadyExists, ErrorReason::UserIdExists);
        assert!(status.message().contains("alice"), "{}", status.message());
        let same_address = pb::User { user_email: Some("A@B.C".into()), ..named("bob") };
        world.admin.users().create_user(create(same_address)).await.refused(Code::AlreadyExists, ErrorReason::UserEmailExists);
        world.admin.users().get_user(pb::GetUserRequest { user_id: "bob".into(), ..Default::default() }).await.refused(Code::NotFound, ErrorReason::UserNotFound);
        world.key(pb::Key { key_alias: Some("taken".into()), ..Default::default() }).await;
        let key = pb::Key { key_alias: Some("taken".into()), ..Default::default() };
        let request = pb::CreateUserRequest { key: Some(key), ..create(named("carol")) };
        world.admin.users().create_user(request).await.refused(Code::AlreadyExists, ErrorReason::KeyAliasExists);
        world.admin.users().get_user(pb::GetUserRequest { user_id: "carol".into(), ..Default::default() }).await.refused(Code::NotFound, ErrorReason::UserNotFound);
    }

    async fn teams_are_joined_all_or_none(world: World) {
        world.team(pb::Team { team_id: "red".into(), ..Default::default() }).await;
        let user = pb::User { team_ids: vec!["red".into(), "blue".into()], ..named("alice") };
        world.admin.users().create_user(create(user.clone())).await.refused(Code::NotFound, ErrorReason::TeamNotFound);
        world.team(pb::Team { team_id: "blue".into(), ..Default::default() }).await;
        let answer = world.admin.users().create_user(create(user)).await.answer();
        assert_eq!(answer.user.unwrap().team_ids, ["blue", "red"]);
        let team = world.admin.teams().get_team(pb::GetTeamRequest { team_id: "red".into(), ..Default::default() }).await.answer().team.unwrap();
        assert_eq!((team.members[0].user_id.as_str(), team.members[0].role()), ("alice", pb::TeamRole::User));
    }

    async fn a_replay_gets_the_first_answer_and_another_payload_is_refused(world: World) {
        let request = pb::CreateUserRequest { request_id: "r1".into(), ..create(named("alice")) };
        let first = world.admin.users().create_user(request.clone()).await.answer();
        let second = world.admin.users().create_user(request.clone()).await.answer();
        assert_eq!(first, second);
        assert!(!second.secret.is_empty());
        let other = pb::CreateUserRequest { user: Some(named("bob")), ..request };
        world.admin.users().create_user(other).await.refused(Code::AlreadyExists, ErrorReason::RequestIdReused);
    }

    async fn the_secret_of_a_replay_is_shown_for_ten_minutes_and_the_answer_for_a_day(backend: Backend) {
        let world = World::builder(backend).at("2025-01-01T00:00:00Z").start().await;
        let request = pb::CreateUserRequest { request_id: "r1".into(), ..create(named("alice")) };
        let first = world.admin.users().create_user(request.clone()).await.answer();
        world.hands().advance(599);
        assert_eq!(world.admin.users().create_user(request.clone()).await.answer().secret, first.secret);
        world.hands().advance(2);
        let later = world.admin.users().create_user(request.clone()).await.answer();
        assert_eq!((later.secret.as_str(), later.user), ("", first.user));
        world.hands().advance(24 * 3_600);
        world.admin.users().create_user(request).await.refused(Code::AlreadyExists, ErrorReason::UserIdExists);
    }

    async fn defaults_fill_what_is_left_out(backend: Backend) {
        let world = World::builder(backend)
            .set("default_internal_user_params", r#"{ user_role = "internal_user", max_budget = "5", budget_duration = "30d", models = ["gpt-4o"] }"#)
            .start().await;
        let user = world.user(named("alice")).await;
        assert_eq!(user.user_role(), pb::Role::InternalUser);
        assert_eq!((user.max_budget.as_deref(), user.budget_duration.as_deref()), (Some("5"), Some("30d")));
        assert_eq!(user.models, ["gpt-4o"]);
        let rich = world.user(pb::User { max_budget: Some("7".into()), ..named("bob") }).await;
        assert_eq!(rich.max_budget.as_deref(), Some("7"));
        let admin = world.user(pb::User { user_role: pb::Role::ProxyAdmin.into(), ..named("root") }).await;
        assert_eq!((admin.max_budget, admin.budget_duration), (None, None), "no defaults for proxy admins");
    }

    async fn spend_of_an_import_counts_and_is_an_event(world: World) {
        let user = world.user(pb::User { spend: Some("3".into()), max_budget: Some("4".into()), ..named("alice") }).await;
        assert_eq!((user.spend.as_deref(), user.personal_spend.as_str(), user.lifetime_spend.as_str()), (Some("3"), "3", "3"));
        let (secret, _) = world.key(pb::Key { user_id: Some("alice".into()), ..Default::default() }).await;
        let answer = crate::gateway::authorize(&world.with_key(&secret), crate::gateway::ask("a", "1.5")).await;
        assert_eq!(crate::gateway::denial(&answer), (pb::DenyReason::BudgetExceeded, pb::BudgetScope::User));
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty());
    }

    async fn a_first_key_is_promised_nothing_and_evades_no_bound(world: World) {
        let dynamic = pb::LimitType::Dynamic.into();
        let key = pb::Key { rpm_limit: Some(1), rpm_limit_type: dynamic, tpm_limit_type: dynamic, ..Default::default() };
        let request = pb::CreateUserRequest { key: Some(key), ..create(pb::User::default()) };
        let fields: Vec<String> = world.admin.users().create_user(request).await.bad().into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["key.tpm_limit_type", "key.rpm_limit_type"]);
    }

    async fn every_bad_field_is_named_at_once_and_nothing_is_written(world: World) {
        let user = pb::User {
            user_id: "a\u{0}b".into(),
            user_email: Some("nobody".into()),
            user_role: 99,
            models: vec![String::new()],
            max_budget: Some("-1".into()),
            budget_duration: Some("soon".into()),
            tpm_limit: Some(-5),
            ..Default::default()
        };
        let request = pb::CreateUserRequest { key_duration: Some("1 fortnight".into()), request_id: "r\n".into(), ..create(user) };
        let mut fields: Vec<String> = world.admin.users().create_user(request).await.bad().into_iter().map(|(field, _)| field).collect();
        fields.sort();
        assert_eq!(fields, [
            "key_duration", "request_id", "user.budget_duration", "user.max_budget", "user.models[0]", "user.tpm_limit", "user.user_email",
            "user.user_id", "user.user_role",
        ]);
        let listed = world.admin.users().list_users(pb::ListUsersRequest { include_total: true, ..Default::default() }).await.answer();
        assert_eq!(listed.total_size, Some(0));
    }

    async fn money_that_is_not_exact_is_refused(world: World) {
        for (text, fits) in [
            ("0", true), ("0.000000001", true), ("9999999999", false), ("1.5", true), ("007", false), ("1.", false), (".5", false),
            ("1e3", false), ("+1", false), ("0.0000000001", false), ("12345678901", false), ("", false), (" 1", false), ("NaN", false), ("١", false),
        ] {
            let user = pb::User { max_budget: Some(text.into()), ..Default::default() };
            let request = pb::CreateUserRequest { auto_create_key: Some(false), ..create(user) };
            let answer = world.admin.users().create_user(request).await;
            match (fits, answer) {
                (true, Ok(answer)) => assert_eq!(answer.into_inner().user.unwrap().max_budget.as_deref(), Some(text)),
                (false, Err(status)) => assert_eq!(status.code(), Code::InvalidArgument, "{text:?}"),
                (_, answer) => panic!("{text:?}: {:?}", answer.map_err(|status| reason_of(&status))),
            }
        }
    }
}
