//! `RegenerateKey`: another secret, the same key.

use std::time::Duration;

use bursar::pb;
use pb::{ErrorReason, KeyType};
use prost_types::FieldMask;
use tokio::task::JoinSet;
use tonic::Code;

use super::in_team;
use crate::gateway::{ask, authorize, denial, reserve, settle};
use crate::spend::{at, event, record};
use crate::support::world::World;
use crate::support::{Answer, Backend, Client, on_both};
use crate::teams::red;

fn rotate(key: &str, grace: Option<&str>) -> pb::RegenerateKeyRequest {
    pb::RegenerateKeyRequest { key: key.into(), grace_period: grace.map(Into::into), ..Default::default() }
}

async fn rotated(client: &Client, request: pb::RegenerateKeyRequest) -> (String, pb::Key) {
    let answer = client.keys().regenerate_key(request).await.answer();
    (answer.secret, answer.key.unwrap())
}

async fn get(client: &Client, key: &str) -> pb::Key {
    client.keys().get_key(pb::GetKeyRequest { key: key.into() }).await.answer().key.unwrap()
}

/// Whether a secret is good for a model call; the credential must be the same.
async fn is_good(world: &World, secret: &str) -> bool {
    let client = world.with_key(secret);
    let reads_itself = client.keys().get_key(pb::GetKeyRequest::default()).await.is_ok();
    let request =
        pb::AuthorizeRequest { key: secret.into(), model: crate::support::world::MODEL.into(), ..Default::default() };
    let answer = authorize(&world.admin, request).await;
    let calls = answer.decision() == pb::Decision::Allow;
    assert_eq!(reads_itself, calls, "{answer:?}");
    if !calls {
        assert_eq!(answer.deny_reason(), pb::DenyReason::KeyUnknown, "no word about what it was");
    }
    calls
}

on_both! {
    async fn the_former_secret_is_good_until_its_grace_ends(backend: Backend) {
        let world = World::builder(backend).at("2025-01-01T00:00:00Z").start().await;
        let (first, key) = world.key(pb::Key { key_alias: Some("ci".into()), max_budget: Some("1".into()), ..Default::default() }).await;
        let (second, after) = rotated(&world.admin, rotate(&first, Some("1h"))).await;
        assert_eq!((&after.key_id, after.rotation_count, &after.key_alias), (&key.key_id, 1, &key.key_alias));
        assert_eq!((after.previous_key_valid_until, after.last_rotated_at), (at("2025-01-01T01:00:00Z"), at("2025-01-01T00:00:00Z")));
        assert!(after.key_hash != key.key_hash && after.key_name.ends_with(&second[second.len() - 4..]));
        // By its hash.
        world.hands().advance(1_800);
        let (third, _) = rotated(&world.admin, rotate(&after.key_hash, Some("20m"))).await;
        for (seconds, good) in [(0, [true, true, true]), (1_199, [true, true, true]), (1, [true, false, true]), (600, [false, false, true])] {
            world.hands().advance(seconds);
            for (secret, good) in [&first, &second, &third].into_iter().zip(good) {
                assert_eq!(is_good(&world, secret).await, good, "after {seconds}");
            }
        }
        // A key is found by each of its secrets; by none twice.
        for name in [&first, &second, &third, &key.key_hash] {
            assert_eq!(get(&world.admin, name).await.key_id, key.key_id);
        }
        assert_eq!(get(&world.admin, &third).await.previous_key_valid_until, None);
        for taken in [&first, &second, &third] {
            let chosen = pb::GenerateKeyRequest { new_secret: Some(taken.clone()), ..Default::default() };
            world.admin.keys().generate_key(chosen).await.refused(Code::AlreadyExists, ErrorReason::KeyExists);
            let chosen = pb::RegenerateKeyRequest { new_secret: Some(taken.clone()), ..rotate(&third, None) };
            world.admin.keys().regenerate_key(chosen).await.refused(Code::AlreadyExists, ErrorReason::KeyExists);
        }
        let gone = world.admin.keys().delete_keys(pb::DeleteKeysRequest { keys: vec![first.clone(), third.clone()], ..Default::default() }).await.answer();
        assert_eq!(gone.deleted_keys.len(), 1);
        assert_eq!(get(&world.admin, &second).await.state(), pb::KeyState::Deleted);
        world.admin.keys().regenerate_key(rotate(&third, None)).await.refused(Code::NotFound, ErrorReason::KeyNotFound);
    }

    async fn everything_that_was_counted_stays(backend: Backend) {
        let world = World::builder(backend).at("2025-01-01T12:00:00Z").start().await;
        let key = pb::Key { max_budget: Some("0.05".into()), budget_duration: Some("1d".into()), rpm_limit: Some(3), ..Default::default() };
        let (first, _) = world.key(key).await;
        record(&world.admin, vec![event("a", &first, 4_000)]).await;
        let open = reserve(&world.with_key(&first), "b", "0.01").await;
        let (second, after) = rotated(&world.admin, rotate(&first, None)).await;
        assert_eq!((after.spend.as_deref(), after.lifetime_spend.as_str()), (Some("0.01"), "0.01"));
        assert_eq!(after.budget_resets_at, at("2025-01-02T00:00:00Z"));
        let client = world.with_key(&second);
        // What was reserved under the former secret is settled under the new one.
        settle(&client, &open, 8_000).await;
        // So is what a gateway tells late, under the hash that it knew.
        record(&world.admin, vec![event("c", &first, 4_000)]).await;
        assert_eq!(get(&world.admin, &second).await.spend.as_deref(), Some("0.04"));
        assert_eq!(denial(&authorize(&client, ask("d", "0.02")).await), (pb::DenyReason::BudgetExceeded, pb::BudgetScope::Key));
        reserve(&client, "e", "0.001").await;
        reserve(&client, "f", "0.001").await;
        assert_eq!(denial(&authorize(&client, ask("g", "0.001")).await).0, pb::DenyReason::RateLimited, "one minute, one key");
        assert!(world.store().verify().await.unwrap().discrepancies.is_empty());
    }

    async fn a_leaked_secret_is_killed_in_spite_of_its_grace(world: World) {
        let (first, _) = world.key(pb::Key::default()).await;
        let (second, _) = rotated(&world.admin, rotate(&first, Some("1d"))).await;
        let (third, key) = rotated(&world.admin, rotate(&second, Some("1d"))).await;
        assert!(is_good(&world, &first).await && is_good(&world, &second).await);
        let mask = FieldMask { paths: vec!["previous_key_valid_until".into()] };
        let named = pb::Key { key_hash: key.key_hash.clone(), ..Default::default() };
        let set = pb::Key { previous_key_valid_until: at("2025-01-01T00:00:00Z"), ..named.clone() };
        let set = pb::UpdateKeyRequest { key: Some(set), update_mask: Some(mask.clone()), ..Default::default() };
        assert_eq!(world.admin.keys().update_key(set).await.bad()[0].0, "key.previous_key_valid_until");
        let echo = pb::UpdateKeyRequest { key: Some(pb::Key { etag: String::new(), ..key }), ..Default::default() };
        world.admin.keys().update_key(echo).await.answer();
        assert!(is_good(&world, &first).await, "an echo ends nothing");
        let end = pb::UpdateKeyRequest { key: Some(named), update_mask: Some(mask), ..Default::default() };
        assert_eq!(world.admin.keys().update_key(end).await.answer().key.unwrap().previous_key_valid_until, None);
        assert!(!is_good(&world, &first).await && !is_good(&world, &second).await && is_good(&world, &third).await);
        // Another rotation brings none of them back.
        let (fourth, _) = rotated(&world.admin, rotate(&third, Some("1d"))).await;
        assert_eq!(
            [is_good(&world, &first).await, is_good(&world, &second).await, is_good(&world, &third).await, is_good(&world, &fourth).await],
            [false, false, true, true]
        );
        world.admin.keys().block_key(pb::BlockKeyRequest { key: first, reason: "leaked".into() }).await.answer();
        for secret in [&third, &fourth] {
            let refused = world.with_key(secret).keys().get_key(pb::GetKeyRequest::default()).await;
            refused.refused(Code::PermissionDenied, ErrorReason::KeyBlocked);
            let request = pb::AuthorizeRequest { key: secret.clone(), model: "gpt-4o".into(), ..Default::default() };
            assert_eq!(authorize(&world.admin, request).await.message, "the key is blocked: leaked");
        }
        assert_eq!(get(&world.admin, &fourth).await.block_reason, "leaked");
        let unblocked = world.admin.keys().unblock_key(pb::UnblockKeyRequest { key: fourth.clone() }).await.answer().key.unwrap();
        assert_eq!(unblocked.block_reason, "");
        assert!(is_good(&world, &fourth).await);
    }

    async fn another_instance_refuses_the_former_secret_too(backend: Backend) {
        let world = World::start(backend).await;
        let other = World::builder(backend).start_on(std::sync::Arc::clone(&world.database)).await;
        let (first, _) = world.key(pb::Key::default()).await;
        let (second, key) = rotated(&world.admin, rotate(&first, Some("1d"))).await;
        assert!(is_good(&other, &first).await && is_good(&other, &second).await, "both are in memory there");
        let (third, _) = rotated(&world.admin, rotate(&key.key_hash, None)).await;
        let ended = async |secret: &str| {
            let client = other.with_key(secret);
            while client.keys().get_key(pb::GetKeyRequest::default()).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            assert!(!is_good(&other, secret).await);
        };
        tokio::time::timeout(Duration::from_secs(20), ended(&second)).await.expect("within the delay of the feed");
        assert!(is_good(&other, &first).await && is_good(&other, &third).await);
        let mask = FieldMask { paths: vec!["previous_key_valid_until".into()] };
        let named = pb::Key { key_hash: third, ..Default::default() };
        world.admin.keys().update_key(pb::UpdateKeyRequest { key: Some(named), update_mask: Some(mask), ..Default::default() }).await.answer();
        tokio::time::timeout(Duration::from_secs(20), ended(&first)).await.expect("within the delay of the feed");
    }

    async fn a_repeat_gets_the_same_secret(world: World) {
        let (first, _) = world.key(pb::Key::default()).await;
        let request = pb::RegenerateKeyRequest { request_id: "r".into(), ..rotate(&first, Some("1h")) };
        let once = world.admin.keys().regenerate_key(request.clone()).await.answer();
        let again = world.admin.keys().regenerate_key(request.clone()).await.answer();
        assert_eq!(once, again);
        assert_eq!(get(&world.admin, &first).await.rotation_count, 1);
        let other = pb::RegenerateKeyRequest { grace_period: None, ..request };
        world.admin.keys().regenerate_key(other).await.refused(Code::AlreadyExists, ErrorReason::RequestIdReused);
    }

    async fn each_of_many_at_once_gets_a_secret_of_its_own(world: World) {
        let (first, key) = world.key(pb::Key::default()).await;
        let mut callers = JoinSet::new();
        for _ in 0..8 {
            let (client, request) = (world.admin.clone(), rotate(&first, Some("1d")));
            callers.spawn(async move { client.keys().regenerate_key(request).await });
        }
        let mut secrets = Vec::new();
        for answer in callers.join_all().await {
            match answer {
                Ok(answer) => secrets.push(answer.into_inner().secret),
                Err(status) => assert_eq!(status.code(), Code::Aborted, "{status:?}"),
            }
        }
        let shown = get(&world.admin, &first).await;
        assert_eq!((shown.rotation_count, shown.key_id), (i64::try_from(secrets.len()).unwrap(), key.key_id));
        for secret in &secrets {
            assert!(is_good(&world, secret).await);
        }
    }

    async fn who_learns_a_secret_gains_nothing(world: World) {
        let (lead, alice) = red(&world, pb::Team::default()).await;
        let (own, _) = world.key(pb::Key { user_id: Some("alice".into()), ..Default::default() }).await;
        let (in_red, _) = world.key(in_team("alice")).await;
        let (calls, _) = world.key(pb::Key { key_type: KeyType::LlmApi.into(), ..in_team("alice") }).await;
        let service = pb::GenerateKeyRequest { key: Some(pb::Key { team_id: Some("red".into()), ..Default::default() }), service_account: true, ..Default::default() };
        let robot = world.admin.keys().generate_key(service).await.answer().secret;
        // Owners rotate their keys, admins of the team what is no person's.
        let (own, _) = rotated(&alice, rotate(&own, None)).await;
        rotated(&alice, rotate(&in_red, Some("1h"))).await;
        rotated(&lead, rotate(&calls, Some("1h"))).await;
        rotated(&lead, rotate(&robot, Some("1h"))).await;
        lead.keys().regenerate_key(rotate(&in_red, None)).await.refused(Code::PermissionDenied, ErrorReason::NotYourKey);
        lead.keys().regenerate_key(rotate(&own, None)).await.refused(Code::NotFound, ErrorReason::KeyNotFound);
        alice.keys().regenerate_key(rotate(&robot, None)).await.refused(Code::PermissionDenied, ErrorReason::NotYourKey);
        rotated(&world.admin, rotate(&in_red, Some("1h"))).await;
        // A key that may rotate, and little else, does not become one that may all.
        let routes = vec!["bursar.v1.KeyService/RegenerateKey".into()];
        let (narrow, _) = world.key(pb::Key { user_id: Some("alice".into()), allowed_routes: routes, ..Default::default() }).await;
        let narrow_client = world.with_key(&narrow);
        narrow_client.keys().regenerate_key(rotate(&own, None)).await.refused(Code::PermissionDenied, ErrorReason::NotYourKey);
        rotated(&narrow_client, rotate(&narrow, None)).await;
        let changes = pb::UpdateKeyRequest { key: Some(pb::Key::default()), duration: Some("-1".into()), ..Default::default() };
        let narrow = rotated(&world.admin, rotate(&narrow, Some("1h"))).await.0;
        let refused = world.with_key(&narrow).keys().regenerate_key(pb::RegenerateKeyRequest { update: Some(changes), ..rotate(&narrow, None) }).await;
        refused.refused(Code::PermissionDenied, ErrorReason::NotYourKey);
        // Nor does one with little to spend become one with more.
        let (poor, _) = world.key(pb::Key { user_id: Some("alice".into()), max_budget: Some("1".into()), ..Default::default() }).await;
        let (rich, _) = world.key(pb::Key { user_id: Some("alice".into()), max_budget: Some("2".into()), ..Default::default() }).await;
        let poor = world.with_key(&poor);
        poor.keys().regenerate_key(rotate(&rich, Some("1h"))).await.refused(Code::PermissionDenied, ErrorReason::AboveOwnBudget);
        poor.keys().regenerate_key(rotate(&own, Some("1h"))).await.refused(Code::PermissionDenied, ErrorReason::AboveOwnBudget);
        rotated(&world.with_key(&rich), rotate(&rich, Some("1h"))).await;
        // What an update may not change, a rotation does not either.
        let raise = pb::UpdateKeyRequest { key: Some(pb::Key { max_budget: Some("5".into()), ..Default::default() }), ..Default::default() };
        let request = pb::RegenerateKeyRequest { update: Some(raise.clone()), ..rotate(&own, None) };
        alice.keys().regenerate_key(request.clone()).await.refused(Code::PermissionDenied, ErrorReason::FieldNotAllowed);
        assert_eq!(rotated(&world.admin, request).await.1.max_budget.as_deref(), Some("5"));
        let chosen = pb::RegenerateKeyRequest { new_secret: Some("sk-alice-alice-alice".into()), ..rotate(&in_red, None) };
        alice.keys().regenerate_key(chosen).await.refused(Code::PermissionDenied, ErrorReason::CustomKeysDisabled);
    }

    async fn a_former_secret_calls_models_and_rotates_nothing(world: World) {
        world.user(pb::User { user_id: "alice".into(), user_role: pb::Role::InternalUser.into(), ..Default::default() }).await;
        let (first, _) = world.key(pb::Key { user_id: Some("alice".into()), ..Default::default() }).await;
        let (second, _) = rotated(&world.admin, rotate(&first, Some("1h"))).await;
        for (credential, named) in [(&first, &first), (&first, &second), (&second, &first), (&second, &second)] {
            let request = pb::AuthorizeRequest { key: named.clone(), reserve: false, ..ask("", "0") };
            assert_eq!(authorize(&world.with_key(credential), request).await.decision(), pb::Decision::Allow);
        }
        let former = world.with_key(&first);
        former.keys().regenerate_key(rotate(&second, None)).await.refused(Code::PermissionDenied, ErrorReason::NotYourKey);
        // The budgets of what was reserved are shown, whatever the secret is by now.
        let (limited, _) = world.key(pb::Key { max_budget: Some("1".into()), ..Default::default() }).await;
        let open = reserve(&world.with_key(&limited), "a", "0.1").await;
        let (limited, _) = rotated(&world.admin, rotate(&limited, None)).await;
        assert_eq!(settle(&world.with_key(&limited), &open, 400).await.budgets[0].spend, "0.001");
    }

    async fn a_repeat_with_another_credential_is_another_request(world: World) {
        world.user(pb::User { user_id: "alice".into(), user_role: pb::Role::InternalUser.into(), ..Default::default() }).await;
        let mine = || pb::Key { user_id: Some("alice".into()), ..Default::default() };
        let (target, _) = world.key(mine()).await;
        let (one, _) = world.key(mine()).await;
        let routes = vec!["bursar.v1.KeyService/RegenerateKey".into()];
        let (narrow, _) = world.key(pb::Key { allowed_routes: routes, ..mine() }).await;
        let request = pb::RegenerateKeyRequest { request_id: "r".into(), ..rotate(&target, Some("1h")) };
        world.with_key(&one).keys().regenerate_key(request.clone()).await.answer();
        world.with_key(&narrow).keys().regenerate_key(request).await.refused(Code::PermissionDenied, ErrorReason::NotYourKey);
    }

    async fn the_setting_is_the_grace_of_who_says_nothing(backend: Backend) {
        let world = World::builder(backend).set("rotation_grace_period", "1h").at("2025-01-01T00:00:00Z").start().await;
        let (first, _) = world.key(pb::Key::default()).await;
        let said_nothing = world.admin.keys().regenerate_key(rotate(&first, None)).await.answer();
        assert_eq!(said_nothing.previous_key_valid_until, at("2025-01-01T01:00:00Z"));
        let none = world.admin.keys().regenerate_key(rotate(&first, Some("0"))).await.answer();
        assert_eq!(none.previous_key_valid_until, None);
        assert!(!is_good(&world, &said_nothing.secret).await && is_good(&world, &first).await);
    }

    async fn bad_requests_change_nothing(world: World) {
        let (secret, key) = world.key(pb::Key { expires_at: None, ..Default::default() }).await;
        let bad = pb::RegenerateKeyRequest {
            key: "what".into(), grace_period: Some("31d".into()), new_secret: Some("sk-short".into()),
            update: Some(pb::UpdateKeyRequest { key: Some(pb::Key { key_hash: key.key_hash.clone(), tpm_limit: Some(-1), ..Default::default() }), duration: Some("x".into()), ..Default::default() }),
            ..Default::default()
        };
        let mut fields: Vec<String> = world.admin.keys().regenerate_key(bad).await.bad().into_iter().map(|fault| fault.0).collect();
        fields.sort_unstable();
        assert_eq!(fields, ["grace_period", "key", "new_secret", "update.duration", "update.key.key_hash", "update.key.tpm_limit"]);
        let half = pb::UpdateKeyRequest { key: Some(pb::Key { temp_budget_increase: Some("1".into()), ..Default::default() }), ..Default::default() };
        let half = pb::RegenerateKeyRequest { update: Some(half), ..rotate(&secret, None) };
        assert_eq!(world.admin.keys().regenerate_key(half).await.bad()[0].0, "update.key.temp_budget_expires_at");
        let masked = pb::UpdateKeyRequest { update_mask: Some(FieldMask { paths: vec!["what".into()] }), ..Default::default() };
        let masked = pb::RegenerateKeyRequest { update: Some(masked), ..rotate(&secret, None) };
        assert_eq!(world.admin.keys().regenerate_key(masked).await.bad()[0].0, "update.update_mask");
        for grace in ["", "0s", "1.5h", "-1", "soon"] {
            assert_eq!(world.admin.keys().regenerate_key(rotate(&secret, Some(grace))).await.bad()[0].0, "grace_period", "{grace:?}");
        }
        assert_eq!(get(&world.admin, &secret).await, key);
        let reason = pb::BlockKeyRequest { key: secret, reason: "x".repeat(513) };
        assert_eq!(world.admin.keys().block_key(reason).await.bad()[0].0, "reason");
    }
}
