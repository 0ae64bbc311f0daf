//! `GenerateKey`: who may make which key, with which limits.

use bursar::pb;
use pb::ErrorReason;
use sha2::{Digest, Sha256};
use tonic::Code;

use super::{generate, in_team};
use crate::support::world::World;
use crate::support::{Answer, Backend, on_both};
use crate::teams::red;

fn owned_by(user_id: &str) -> pb::Key {
    pb::Key { user_id: Some(user_id.into()), ..Default::default() }
}

on_both! {
    async fn a_repeat_with_maps_gets_the_first_answer(world: World) {
        let names = ["a", "b", "c", "d", "e"];
        let key = pb::Key {
            model_aliases: names.map(|name| (name.to_owned(), "gpt-4o".to_owned())).into(),
            model_rpm_limit: names.map(|name| (name.to_owned(), 9)).into(),
            ..Default::default()
        };
        let request = pb::GenerateKeyRequest { request_id: "once".into(), ..generate(key) };
        let first = world.admin.keys().generate_key(request.clone()).await.answer();
        for _ in 0..5 {
            assert_eq!(world.admin.keys().generate_key(request.clone()).await.answer().secret, first.secret);
        }
    }

    async fn a_key_is_stored_as_asked_and_its_secret_shown_once(world: World) {
        red(&world, pb::Team::default()).await;
        let asked = pb::Key {
            key_type: pb::KeyType::LlmApi.into(),
            key_alias: Some("Billing @ night/1".into()),
            models: vec!["gpt-4o".into(), "all-team-models".into()],
            model_aliases: [("fast".to_owned(), "gpt-4o".to_owned())].into(),
            max_budget: Some("10".into()),
            soft_budget: Some("8".into()),
            budget_duration: Some("1w".into()),
            tpm_limit: Some(1),
            rpm_limit: Some(2),
            max_parallel_requests: Some(3),
            allowed_routes: vec!["bursar.v1.GatewayService/*".into()],
            tags: vec!["a".into(), "b".into()],
            ..in_team("alice")
        };
        let request = pb::GenerateKeyRequest { duration: Some("30d".into()), ..generate(asked.clone()) };
        let answer = world.admin.keys().generate_key(request).await.answer();
        let key = answer.key.unwrap();
        let hash = hex::encode(Sha256::digest(answer.secret.as_bytes()));
        assert_eq!(key.key_hash, hash);
        let (created, expires) = (key.created_at.unwrap(), key.expires_at.unwrap());
        assert_eq!(expires.seconds - created.seconds, 30 * 86_400);
        assert_eq!((key.state(), key.created_by.as_str(), key.key_id.len()), (pb::KeyState::Active, "master", 36));
        assert_eq!(world.admin.keys().get_key(pb::GetKeyRequest { key: hash }).await.answer().key.unwrap(), key);
        let stored = pb::Key {
            key_id: String::new(), key_hash: String::new(), key_name: String::new(), state: 0, blocked: None, spend: None,
            lifetime_spend: String::new(), budget_resets_at: None, expires_at: None, created_at: None, created_by: String::new(),
            updated_at: None, auto_rotate: None, etag: String::new(), ..key
        };
        assert_eq!(stored, asked);
    }

    async fn proxy_admins_choose_secrets_and_others_by_setting(backend: Backend) {
        let world = World::start(backend).await;
        let alice = world.person("alice", pb::Role::InternalUser).await;
        let chosen = |secret: &str| pb::GenerateKeyRequest { new_secret: Some(secret.into()), ..Default::default() };
        let answer = world.admin.keys().generate_key(chosen("sk-my-own-secret-1")).await.answer();
        assert_eq!((answer.secret.as_str(), answer.key.unwrap().key_name.as_str()), ("sk-my-own-secret-1", "sk-...et-1"));
        let status = world.admin.keys().generate_key(chosen("sk-my-own-secret-1")).await.refused(Code::AlreadyExists, ErrorReason::KeyExists);
        assert!(!status.message().contains("my-own"), "{}", status.message());
        for bad in ["sk-short", "my-own-secret-without-prefix", "sk-with space-0123456789", &format!("sk-{}", "x".repeat(254))] {
            let fields = world.admin.keys().generate_key(chosen(bad)).await.bad();
            assert_eq!(fields[0].0, "new_secret", "{bad}");
        }
        alice.keys().generate_key(chosen("sk-my-own-secret-2")).await.refused(Code::PermissionDenied, ErrorReason::CustomKeysDisabled);
        let world = World::builder(backend).set("allow_custom_keys", "true").start().await;
        let alice = world.person("alice", pb::Role::InternalUser).await;
        alice.keys().generate_key(chosen("sk-my-own-secret-2")).await.answer();
    }

    async fn users_make_keys_for_themselves_only(world: World) {
        let alice = world.person("alice", pb::Role::InternalUser).await;
        world.person("bob", pb::Role::InternalUser).await;
        let viewer = world.person("eve", pb::Role::InternalUserViewer).await;
        let answer = alice.keys().generate_key(generate(pb::Key::default())).await.answer();
        let key = answer.key.unwrap();
        assert_eq!((key.user_id.as_deref(), key.created_by.as_str()), (Some("alice"), "alice"));
        alice.keys().generate_key(generate(owned_by("bob"))).await.refused(Code::PermissionDenied, ErrorReason::NotYourUser);
        alice.keys().generate_key(generate(owned_by("nobody"))).await.refused(Code::PermissionDenied, ErrorReason::NotYourUser);
        viewer.keys().generate_key(generate(pb::Key::default())).await.refused(Code::PermissionDenied, ErrorReason::RoleNotAllowed);
        for (key, reason) in [
            (pb::Key { allowed_routes: vec!["*".into()], ..Default::default() }, ErrorReason::FieldNotAllowed),
            (pb::Key { key_type: pb::KeyType::Management.into(), ..Default::default() }, ErrorReason::FieldNotAllowed),
            (pb::Key { key_type: pb::KeyType::Gateway.into(), ..Default::default() }, ErrorReason::FieldNotAllowed),
            (pb::Key { spend: Some("0".into()), ..Default::default() }, ErrorReason::FieldNotAllowed),
        ] {
            alice.keys().generate_key(generate(key)).await.refused(Code::PermissionDenied, reason);
        }
        world.admin.keys().generate_key(generate(owned_by("nobody"))).await.refused(Code::NotFound, ErrorReason::UserNotFound);
    }

    async fn a_model_of_an_access_group_is_among_those_of_the_team(world: World) {
        let (lead, _) = red(&world, pb::Team { models: vec!["beta".into()], ..Default::default() }).await;
        let beta = pb::Model { access_groups: vec!["beta".into()], ..crate::models::model("m", "", &[]) };
        crate::models::create(&world, beta).await;
        lead.keys().generate_key(generate(pb::Key { models: vec!["m".into(), "beta".into()], ..in_team("alice") })).await.answer();
        let beyond = pb::Key { models: vec!["gpt-4o".into()], ..in_team("alice") };
        lead.keys().generate_key(generate(beyond)).await.refused(Code::FailedPrecondition, ErrorReason::ModelOutsideOwner);
    }

    async fn nobody_gives_more_than_it_stands_on(backend: Backend) {
        let world = World::builder(backend).set("default_key_generate_params", "{ max_budget = \"50\" }").start().await;
        let login = crate::users::sessions::signed_in(&world, "lead", pb::Role::InternalUser).await;
        let own = pb::User { user_id: "lead".into(), max_budget: Some("5".into()), ..Default::default() };
        world.admin.users().update_user(pb::UpdateUserRequest { user: Some(own), ..Default::default() }).await.answer();
        world.person("alice", pb::Role::InternalUser).await;
        let members = vec![crate::teams::member("lead", pb::TeamRole::Admin), crate::teams::member("alice", pb::TeamRole::User)];
        world.team(pb::Team { team_id: "red".into(), max_budget: Some("20".into()), members, ..Default::default() }).await;
        let costs = |max_budget: &str, key: pb::Key| generate(pb::Key { max_budget: Some(max_budget.into()), ..key });
        let personal = owned_by("lead");
        // In a session, of a key in a team the team's budget counts, else the user's own.
        for (key, most, more) in [(in_team("alice"), "20", "20.1"), (personal, "5", "5.1")] {
            login.keys().generate_key(costs(most, key.clone())).await.answer();
            let refused = login.keys().generate_key(costs(more, key.clone())).await;
            refused.refused(Code::PermissionDenied, ErrorReason::AboveOwnBudget);
            // A default is no wish: it gives way, and is told once.
            let filled = login.keys().generate_key(generate(key)).await.answer();
            assert_eq!(filled.key.unwrap().max_budget.as_deref(), Some(most));
            let told: Vec<_> = filled.adjusted_fields.iter().map(|field| (field.path.as_str(), field.requested.as_str(), field.applied.as_str())).collect();
            assert_eq!(told, [("key.max_budget", "", most)]);
        }
        // With a key, it is the key's.
        let (secret, _) = world.key(pb::Key { max_budget: Some("2".into()), ..owned_by("lead") }).await;
        world.with_key(&secret).keys().generate_key(costs("2.1", in_team("alice"))).await.refused(Code::PermissionDenied, ErrorReason::AboveOwnBudget);
    }

    async fn in_a_team_its_admins_make_keys_for_members(world: World) {
        let (lead, alice) = red(&world, pb::Team { models: vec!["gpt-4o".into()], ..Default::default() }).await;
        world.person("bob", pb::Role::InternalUser).await;
        assert_eq!(lead.keys().generate_key(generate(in_team("alice"))).await.answer().key.unwrap().user_id.as_deref(), Some("alice"));
        lead.keys().generate_key(generate(in_team("bob"))).await.refused(Code::FailedPrecondition, ErrorReason::UserNotInTeam);
        lead.keys().generate_key(generate(owned_by("alice"))).await.refused(Code::PermissionDenied, ErrorReason::NotYourUser);
        let beyond = pb::Key { models: vec!["o3".into()], ..in_team("alice") };
        lead.keys().generate_key(generate(beyond)).await.refused(Code::FailedPrecondition, ErrorReason::ModelOutsideOwner);
        alice.keys().generate_key(generate(in_team("alice"))).await.refused(Code::PermissionDenied, ErrorReason::TeamPermissionMissing);
        let permissions = vec![pb::TeamMemberPermission::KeyGenerate.into()];
        let team = pb::Team { team_id: "red".into(), member_permissions: permissions, ..Default::default() };
        lead.teams().update_team(pb::UpdateTeamRequest { team: Some(team), ..Default::default() }).await.answer();
        alice.keys().generate_key(generate(in_team("alice"))).await.answer();
        alice.keys().generate_key(generate(in_team("lead"))).await.refused(Code::PermissionDenied, ErrorReason::NotYourUser);
        let service = pb::GenerateKeyRequest { service_account: true, ..generate(pb::Key { team_id: Some("red".into()), ..Default::default() }) };
        alice.keys().generate_key(service.clone()).await.refused(Code::PermissionDenied, ErrorReason::TeamPermissionMissing);
        let key = lead.keys().generate_key(service).await.answer().key.unwrap();
        assert!(key.user_id.is_none() && key.service_account_id.is_some());
        let stranger = world.person("mallory", pb::Role::InternalUser).await;
        stranger.keys().generate_key(generate(in_team("mallory"))).await.refused(Code::NotFound, ErrorReason::TeamNotFound);
    }

    async fn service_accounts_and_sidecars_have_no_owner(world: World) {
        red(&world, pb::Team::default()).await;
        for (request, field) in [
            (pb::GenerateKeyRequest { service_account: true, ..generate(in_team("alice")) }, "key.user_id"),
            (pb::GenerateKeyRequest { service_account: true, ..generate(pb::Key::default()) }, "key.team_id"),
            (generate(pb::Key { service_account_id: Some("x".into()), ..Default::default() }), "key.service_account_id"),
            (generate(pb::Key { key_type: pb::KeyType::Gateway.into(), max_budget: Some("1".into()), ..Default::default() }), "key.max_budget"),
            (generate(pb::Key { key_type: pb::KeyType::Gateway.into(), ..owned_by("alice") }), "key.user_id"),
        ] {
            assert_eq!(world.admin.keys().generate_key(request).await.bad()[0].0, field);
        }
    }

    async fn nobody_gives_away_more_than_the_key_it_holds(world: World) {
        world.person("alice", pb::Role::InternalUser).await;
        let (secret, _) = world.key(pb::Key { max_budget: Some("5".into()), ..owned_by("alice") }).await;
        let alice = world.with_key(&secret);
        let larger = pb::Key { max_budget: Some("5.01".into()), ..Default::default() };
        alice.keys().generate_key(generate(larger)).await.refused(Code::PermissionDenied, ErrorReason::AboveOwnBudget);
        let silent = alice.keys().generate_key(generate(pb::Key::default())).await.answer();
        assert_eq!(silent.key.unwrap().max_budget.as_deref(), Some("5"));
        assert_eq!((silent.adjusted_fields[0].path.as_str(), silent.adjusted_fields[0].applied.as_str()), ("key.max_budget", "5"));
    }

    async fn bounds_clamp_or_reject(backend: Backend) {
        let bounds = r#"{ max_budget = "10", duration = "30d", rpm_limit = 5 }"#;
        let world = World::builder(backend).set("upperbound_key_generate_params", bounds).start().await;
        let asked = || pb::GenerateKeyRequest {
            duration: Some("1y".into()), ..generate(pb::Key { max_budget: Some("50".into()), rpm_limit: Some(3), ..Default::default() })
        };
        let answer = world.admin.keys().generate_key(asked()).await.answer();
        let mut told: Vec<_> = answer.adjusted_fields.iter().map(|field| (field.path.as_str(), field.requested.as_str(), field.applied.as_str())).collect();
        told.sort_unstable();
        assert_eq!(told, [("duration", "1y", "30d"), ("key.max_budget", "50", "10")]);
        assert_eq!((answer.key.as_ref().unwrap().max_budget.as_deref(), answer.key.as_ref().unwrap().rpm_limit), (Some("10"), Some(3)));
        let world = World::builder(backend).set("upperbound_key_generate_params", bounds).set("upperbound_mode", "reject").start().await;
        let bad = world.admin.keys().generate_key(asked()).await.bad();
        assert_eq!(bad.iter().map(|(_, reason)| reason.as_str()).collect::<Vec<_>>(), ["ABOVE_UPPER_BOUND", "ABOVE_UPPER_BOUND"]);
    }

    async fn settings_say_who_makes_keys_and_which_fields_they_set(backend: Backend) {
        let setting = r#"{ personal_key_generation = { allowed_user_roles = ["proxy_admin"] }, team_key_generation = { required_params = ["tags", "key_alias"] } }"#;
        let world = World::builder(backend).set("key_generation_settings", setting).start().await;
        let (lead, _) = red(&world, pb::Team::default()).await;
        lead.keys().generate_key(generate(pb::Key::default())).await.refused(Code::PermissionDenied, ErrorReason::GenerationNotAllowed);
        let bad = lead.keys().generate_key(generate(pb::Key { tags: vec!["x".into()], ..in_team("alice") })).await.bad();
        assert_eq!(bad, [("key.key_alias".to_owned(), "REQUIRED_PARAM_MISSING".to_owned())]);
        lead.keys().generate_key(generate(pb::Key { tags: vec!["x".into()], key_alias: Some("a".into()), ..in_team("alice") })).await.answer();
        world.key(in_team("alice")).await;
    }

    async fn defaults_fill_what_is_left_out(backend: Backend) {
        let world = World::builder(backend)
            .set("default_key_generate_params", r#"{ max_budget = "2", budget_duration = "1d", duration = "7d", models = ["gpt-4o"], metadata = { origin = "default" } }"#)
            .start().await;
        let (_, key) = world.key(pb::Key { max_budget: Some("3".into()), ..Default::default() }).await;
        assert_eq!((key.max_budget.as_deref(), key.budget_duration.as_deref(), key.models.len()), (Some("3"), Some("1d"), 1));
        assert!(key.expires_at.is_some() && key.metadata.unwrap().fields.contains_key("origin"));
        let request = pb::GenerateKeyRequest { duration: Some("-1".into()), ..generate(pb::Key::default()) };
        assert!(world.admin.keys().generate_key(request).await.answer().key.unwrap().expires_at.is_none(), "for ever, explicitly");
    }

    async fn an_alias_is_unique_among_live_keys(world: World) {
        let named = || pb::Key { key_alias: Some("billing".into()), ..Default::default() };
        let (secret, _) = world.key(named()).await;
        world.admin.keys().generate_key(generate(named())).await.refused(Code::AlreadyExists, ErrorReason::KeyAliasExists);
        world.admin.keys().delete_keys(pb::DeleteKeysRequest { keys: vec![secret], ..Default::default() }).await.answer();
        world.key(named()).await;
        for bad in ["sk-looks-like-a-secret\u{7}", " padded", "tab\there", "emoji🦀", &"x".repeat(256)] {
            let fields = world.admin.keys().generate_key(generate(pb::Key { key_alias: Some(bad.into()), ..Default::default() })).await.bad();
            assert_eq!(fields[0].0, "key.key_alias", "{bad:?}");
        }
    }

    async fn a_group_of_routes_is_what_its_name_says(world: World) {
        world.user(pb::User { user_id: "alice".into(), user_role: pb::Role::InternalUser.into(), ..Default::default() }).await;
        for (group, reads, makes, calls) in [
            ("info_routes", true, false, false), ("management_routes", true, true, false), ("llm_api_routes", false, false, true),
        ] {
            let key = pb::Key { user_id: Some("alice".into()), allowed_routes: vec![group.into()], ..Default::default() };
            let (secret, _) = world.key(key).await;
            let client = world.with_key(&secret);
            assert_eq!(client.keys().get_key(pb::GetKeyRequest::default()).await.is_ok(), reads, "{group}");
            assert_eq!(client.keys().generate_key(pb::GenerateKeyRequest::default()).await.is_ok(), makes, "{group}");
            let own = client.gateway().authorize(crate::gateway::ask(group, "0")).await;
            assert_eq!(own.is_ok(), calls, "{group}");
            let asked = pb::AuthorizeRequest { key: secret, ..crate::gateway::ask(&format!("admin/{group}"), "0") };
            let judged = crate::gateway::authorize(&world.admin, asked).await;
            assert_eq!(judged.decision() == pb::Decision::Allow, calls, "{group}: {}", judged.message);
        }
    }

    async fn every_bad_field_is_named(world: World) {
        let key = pb::Key {
            key_type: 88, models: vec!["all-team-models".into()], max_budget: Some("x".into()), soft_budget: Some("y".into()),
            budget_duration: Some("0d".into()), tpm_limit: Some(-1), allowed_routes: vec!["GET /keys".into()],
            tags: vec![String::new()], ..Default::default()
        };
        let request = pb::GenerateKeyRequest { duration: Some("forever".into()), ..generate(key) };
        let mut fields: Vec<String> = world.admin.keys().generate_key(request).await.bad().into_iter().map(|(field, _)| field).collect();
        fields.sort();
        assert_eq!(fields, [
            "duration", "key.allowed_routes[0]", "key.budget_duration", "key.key_type", "key.max_budget", "key.models[0]", "key.soft_budget",
            "key.tags[0]", "key.tpm_limit",
        ]);
    }
}
