//! `UpdateKey`.

use bursar::pb;
use pb::ErrorReason;
use prost_types::FieldMask;
use tonic::Code;

use super::{generate, in_team};
use crate::gateway::{ask, authorize, denial, reserve, settle};
use crate::support::world::World;
use crate::support::{Answer, Backend, on_both};
use crate::teams::red;

fn update(key_hash: &str, key: pb::Key, paths: &[&str]) -> pb::UpdateKeyRequest {
    let mask = FieldMask { paths: paths.iter().map(ToString::to_string).collect() };
    let key = pb::Key { key_hash: key_hash.into(), ..key };
    pb::UpdateKeyRequest { key: Some(key), update_mask: (!paths.is_empty()).then_some(mask), duration: None }
}

on_both! {
    async fn masks_write_and_clear_and_the_next_call_knows(world: World) {
        let (secret, key) = world.key(pb::Key { max_budget: Some("1".into()), models: vec!["gpt-4o".into()], key_alias: Some("a".into()), ..Default::default() }).await;
        let client = world.with_key(&secret);
        assert_eq!(denial(&authorize(&client, ask("a", "2")).await).0, pb::DenyReason::BudgetExceeded);
        let change = pb::Key { rpm_limit: Some(50), ..Default::default() };
        let after = world.admin.keys().update_key(update(&key.key_hash, change, &["max_budget", "models", "rpm_limit"])).await.answer().key.unwrap();
        assert_eq!((after.max_budget, after.models.len(), after.rpm_limit, after.key_alias.as_deref()), (None, 0, Some(50), Some("a")));
        reserve(&client, "a", "2").await;
        // By the secret, too.
        let after = world.admin.keys().update_key(update(&secret, pb::Key { blocked: Some(true), ..Default::default() }, &[])).await.answer().key.unwrap();
        assert_eq!(after.state(), pb::KeyState::Blocked);
        assert_eq!(after.key_id, key.key_id);
    }

    async fn spend_is_set_to_less_by_whoever_may_reset_it(world: World) {
        let permissions = vec![pb::TeamMemberPermission::KeyResetSpend.into()];
        let (lead, alice) = red(&world, pb::Team { member_permissions: permissions, ..Default::default() }).await;
        let (secret, key) = world.key(pb::Key { team_id: Some("red".into()), max_budget: Some("1".into()), ..Default::default() }).await;
        let client = world.with_key(&secret);
        let spend = |spend: &str| update(&key.key_hash, pb::Key { spend: Some(spend.into()), ..Default::default() }, &[]);
        world.admin.keys().update_key(spend("0.9")).await.answer();
        assert_eq!(denial(&authorize(&client, ask("a", "0.2")).await).0, pb::DenyReason::BudgetExceeded);
        for (who, to) in [(&alice, "0.5"), (&lead, "0.25")] {
            let after = who.keys().update_key(spend(to)).await.answer().key.unwrap();
            assert_eq!(after.spend.as_deref(), Some(to));
            let status = who.keys().update_key(spend("0.9")).await.refused(Code::PermissionDenied, ErrorReason::FieldNotAllowed);
            assert!(status.message().contains(to), "{}", status.message());
        }
        reserve(&client, "b", "0.2").await;
        let none = pb::UpdateTeamMemberPermissionsRequest { team_id: "red".into(), ..Default::default() };
        world.admin.teams().update_team_member_permissions(none).await.answer();
        alice.keys().update_key(spend("0")).await.refused(Code::PermissionDenied, ErrorReason::FieldNotAllowed);
    }

    async fn what_can_not_be_is_refused(world: World) {
        let (_, key) = world.key(pb::Key { max_budget: Some("5".into()), ..Default::default() }).await;
        world.key(pb::Key { key_alias: Some("taken".into()), ..Default::default() }).await;
        let update_key = |change: pb::Key, paths: &[&str]| {
            let (admin, request) = (world.admin.clone(), update(&key.key_hash, change, paths));
            async move { admin.keys().update_key(request).await }
        };
        let none = pb::Key::default;
        update_key(pb::Key { key_alias: Some("taken".into()), ..none() }, &[]).await.refused(Code::AlreadyExists, ErrorReason::KeyAliasExists);
        update_key(pb::Key { soft_budget: Some("5".into()), ..none() }, &[]).await.refused(Code::FailedPrecondition, ErrorReason::SoftBudgetNotBelowMax);
        update_key(pb::Key { etag: "99".into(), tags: vec!["x".into()], ..none() }, &[]).await.refused(Code::Aborted, ErrorReason::EtagStale);
        update_key(pb::Key { team_id: Some("blue".into()), ..none() }, &[]).await.refused(Code::NotFound, ErrorReason::TeamNotFound);
        update_key(pb::Key { user_id: Some("nobody".into()), ..none() }, &[]).await.refused(Code::NotFound, ErrorReason::UserNotFound);
        for path in ["key_name", "key_id", "state", "created_by", "secret"] {
            assert_eq!(update_key(none(), &[path]).await.bad()[0].0, "update_mask", "{path}");
        }
        for (change, field) in [
            (pb::Key { key_type: pb::KeyType::Gateway.into(), ..none() }, "key.key_type"),
            (pb::Key { max_budget: Some("1e9".into()), ..none() }, "key.max_budget"),
            (pb::Key { tpm_limit: Some(-3), ..none() }, "key.tpm_limit"),
            (pb::Key { temp_budget_increase: Some("0".into()), temp_budget_expires_at: crate::spend::at("2100-01-01T00:00:00Z"), ..none() }, "key.temp_budget_increase"),
        ] {
            assert_eq!(update_key(change, &[]).await.bad()[0].0, field);
        }
        let absent = update(&"0".repeat(64), none(), &["tags"]);
        world.admin.keys().update_key(absent).await.refused(Code::NotFound, ErrorReason::KeyNotFound);
        assert_eq!(world.admin.keys().update_key(update("", none(), &["tags"])).await.bad()[0].0, "key.key_hash");
    }

    async fn a_type_is_narrowed_by_the_owner_and_widened_by_admins(world: World) {
        let alice = world.person("alice", pb::Role::InternalUser).await;
        let key = alice.keys().generate_key(generate(pb::Key::default())).await.answer().key.unwrap();
        let become_type = |key_type: pb::KeyType| update(&key.key_hash, pb::Key { key_type: key_type.into(), ..Default::default() }, &[]);
        let narrowed = alice.keys().update_key(become_type(pb::KeyType::ReadOnly)).await.answer().key.unwrap();
        assert_eq!(narrowed.key_type(), pb::KeyType::ReadOnly);
        for wider in [pb::KeyType::Default, pb::KeyType::LlmApi, pb::KeyType::Management] {
            alice.keys().update_key(become_type(wider)).await.refused(Code::PermissionDenied, ErrorReason::FieldNotAllowed);
        }
        world.admin.keys().update_key(become_type(pb::KeyType::Default)).await.answer();
    }

    async fn owners_change_what_costs_nothing(world: World) {
        let alice = world.person("alice", pb::Role::InternalUser).await;
        let key = alice.keys().generate_key(generate(pb::Key { max_budget: Some("5".into()), ..Default::default() })).await.answer().key.unwrap();
        let change = pb::Key { key_alias: Some("mine".into()), tags: vec!["x".into()], ..Default::default() };
        assert_eq!(alice.keys().update_key(update(&key.key_hash, change, &[])).await.answer().key.unwrap().key_alias.as_deref(), Some("mine"));
        for change in [
            pb::Key { max_budget: Some("6".into()), ..Default::default() },
            pb::Key { max_budget: Some("4".into()), ..Default::default() },
            pb::Key { allowed_routes: vec!["*".into()], ..Default::default() },
            pb::Key { spend: Some("0".into()), ..Default::default() },
            // Who may not use tiers is not told which there are.
            pb::Key { budget_id: Some("none".into()), ..Default::default() },
        ] {
            alice.keys().update_key(update(&key.key_hash, change, &[])).await.refused(Code::PermissionDenied, ErrorReason::FieldNotAllowed);
        }
        alice.keys().update_key(update(&key.key_hash, pb::Key { max_budget: Some("5".into()), ..Default::default() }, &[])).await.answer();
        let (_, foreign) = world.key(pb::Key::default()).await;
        let change = pb::Key { tags: vec!["x".into()], ..Default::default() };
        alice.keys().update_key(update(&foreign.key_hash, change, &[])).await.refused(Code::NotFound, ErrorReason::KeyNotFound);
    }

    async fn the_setting_lets_owners_lower_budgets(backend: Backend) {
        let world = World::builder(backend).set("self_serve_budget_policy", "lower_only").start().await;
        let alice = world.person("alice", pb::Role::InternalUser).await;
        let key = alice.keys().generate_key(generate(pb::Key { max_budget: Some("5".into()), ..Default::default() })).await.answer().key.unwrap();
        let budget = |text: &str| update(&key.key_hash, pb::Key { max_budget: Some(text.into()), ..Default::default() }, &[]);
        assert_eq!(alice.keys().update_key(budget("4")).await.answer().key.unwrap().max_budget.as_deref(), Some("4"));
        alice.keys().update_key(budget("4.5")).await.refused(Code::PermissionDenied, ErrorReason::FieldNotAllowed);
        let (_, given) = world.key(pb::Key { user_id: Some("alice".into()), max_budget: Some("5".into()), ..Default::default() }).await;
        let change = update(&given.key_hash, pb::Key { max_budget: Some("4".into()), ..Default::default() }, &[]);
        alice.keys().update_key(change).await.refused(Code::PermissionDenied, ErrorReason::FieldNotAllowed);
    }

    async fn team_admins_change_the_keys_of_their_team(world: World) {
        let (lead, alice) = red(&world, pb::Team::default()).await;
        let (_, shared) = world.key(in_team("alice")).await;
        let (_, of_lead) = world.key(in_team("lead")).await;
        let change = || pb::Key { max_budget: Some("3".into()), ..Default::default() };
        lead.keys().update_key(update(&shared.key_hash, change(), &[])).await.answer();
        alice.keys().update_key(update(&of_lead.key_hash, change(), &[])).await.refused(Code::PermissionDenied, ErrorReason::FieldNotAllowed);
        lead.keys().update_key(update(&shared.key_hash, pb::Key::default(), &["team_id"])).await.refused(Code::PermissionDenied, ErrorReason::FieldNotAllowed);
    }

    async fn a_lifetime_is_counted_from_now_and_revives(backend: Backend) {
        let world = World::builder(backend).at("2025-01-01T00:00:00Z").start().await;
        let request = pb::GenerateKeyRequest { duration: Some("1h".into()), ..Default::default() };
        let answer = world.admin.keys().generate_key(request).await.answer();
        let hash = answer.key.unwrap().key_hash;
        world.hands().set("2025-01-01T02:00:00Z");
        let client = world.with_key(&answer.secret);
        client.keys().get_key(pb::GetKeyRequest::default()).await.refused(Code::Unauthenticated, ErrorReason::KeyExpired);
        let revive = pb::UpdateKeyRequest { duration: Some("1d".into()), ..update(&hash, pb::Key::default(), &[]) };
        let key = world.admin.keys().update_key(revive).await.answer().key.unwrap();
        assert_eq!((key.state(), key.expires_at.unwrap().seconds), (pb::KeyState::Active, 1_735_783_200));
        client.keys().get_key(pb::GetKeyRequest::default()).await.answer();
        let for_ever = update(&hash, pb::Key::default(), &["duration"]);
        assert_eq!(world.admin.keys().update_key(for_ever).await.answer().key.unwrap().expires_at, None);
    }

    async fn a_mask_keeps_a_lifetime_as_it_is(world: World) {
        let request = pb::GenerateKeyRequest { duration: Some("1h".into()), ..Default::default() };
        let key = world.admin.keys().generate_key(request).await.answer().key.unwrap();
        let for_ever = |paths: &[&str]| pb::UpdateKeyRequest { duration: Some("-1".into()), ..update(&key.key_hash, pb::Key::default(), paths) };
        let change = async |paths: &[&str]| world.admin.keys().update_key(for_ever(paths)).await.answer().key.unwrap().expires_at;
        assert_eq!(change(&["tags"]).await, key.expires_at);
        assert_eq!(change(&[]).await, None);
    }

    async fn the_models_of_its_team_are_for_a_key_in_one(world: World) {
        red(&world, pb::Team::default()).await;
        let all = || pb::Key { models: vec!["all-team-models".into()], ..Default::default() };
        let (_, key) = world.key(in_team("alice")).await;
        let after = world.admin.keys().update_key(update(&key.key_hash, all(), &[])).await.answer().key.unwrap();
        assert_eq!(after.models, ["all-team-models"]);
        let leaves = update(&key.key_hash, pb::Key::default(), &["team_id"]);
        assert_eq!(world.admin.keys().update_key(leaves).await.bad()[0].0, "key.models");
        let (_, personal) = world.key(pb::Key::default()).await;
        assert_eq!(world.admin.keys().update_key(update(&personal.key_hash, all(), &[])).await.bad()[0].0, "key.models");
    }

    async fn nobody_who_is_blocked_is_given_a_key(world: World) {
        world.user(pb::User { user_id: "gone".into(), blocked: Some(true), ..Default::default() }).await;
        let (_, key) = world.key(pb::Key::default()).await;
        let give = update(&key.key_hash, pb::Key { user_id: Some("gone".into()), ..Default::default() }, &[]);
        world.admin.keys().update_key(give).await.refused(Code::FailedPrecondition, ErrorReason::UserDeactivated);
    }

    async fn a_key_that_changes_hands_keeps_its_spend(world: World) {
        red(&world, pb::Team { max_budget: Some("1".into()), ..Default::default() }).await;
        let (secret, key) = world.key(pb::Key { user_id: Some("alice".into()), ..Default::default() }).await;
        let client = world.with_key(&secret);
        settle(&client, &reserve(&client, "a", "2").await, 800_000).await;
        let change = pb::Key { team_id: Some("red".into()), ..Default::default() };
        let moved = world.admin.keys().update_key(update(&key.key_hash, change, &[])).await.answer().key.unwrap();
        assert_eq!((moved.spend.as_deref(), moved.team_id.as_deref()), (Some("2"), Some("red")));
        // From now on the team pays; what was spent before is not its.
        settle(&client, &reserve(&client, "b", "0.9").await, 200_000).await;
        assert_eq!(crate::teams::team(&world, "red").await.spend.as_deref(), Some("0.5"));
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty());
    }
}
