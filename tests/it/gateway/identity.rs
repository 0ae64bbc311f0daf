//! Authorize: who the key is, and what it may call.

use bursar::pb;
use pb::{BudgetScope, DenyReason, ErrorReason};
use tonic::Code;

use super::{authorize, denial};
use crate::support::world::{MODEL, World};
use crate::support::{Answer, Backend, on_both};

fn call(secret: &str, model: &str) -> pb::AuthorizeRequest {
    pb::AuthorizeRequest { key: secret.into(), model: model.into(), ..Default::default() }
}

on_both! {
    async fn a_blocked_key_is_denied_at_once_and_lives_again_when_unblocked(world: World) {
        let (secret, _) = world.key(pb::Key::default()).await;
        let sidecar = world.sidecar().await;
        assert_eq!(authorize(&sidecar, call(&secret, MODEL)).await.decision(), pb::Decision::Allow);
        world.admin.keys().block_key(pb::BlockKeyRequest { key: secret.clone(), ..Default::default() }).await.answer();
        let answer = authorize(&sidecar, call(&secret, MODEL)).await;
        assert_eq!(denial(&answer), (DenyReason::KeyBlocked, BudgetScope::Unspecified));
        assert!(answer.identity.is_some(), "the key was found");
        world.with_key(&secret).gateway().authorize(call("", MODEL)).await.refused(Code::PermissionDenied, ErrorReason::KeyBlocked);
        world.admin.keys().unblock_key(pb::UnblockKeyRequest { key: secret.clone() }).await.answer();
        assert_eq!(authorize(&sidecar, call(&secret, MODEL)).await.decision(), pb::Decision::Allow);
    }

    async fn a_deleted_key_is_unknown_at_once(world: World) {
        let (secret, _) = world.key(pb::Key::default()).await;
        let sidecar = world.sidecar().await;
        authorize(&sidecar, call(&secret, MODEL)).await;
        let request = pb::DeleteKeysRequest { keys: vec![secret.clone()], ..Default::default() };
        world.admin.keys().delete_keys(request).await.answer();
        assert_eq!(denial(&authorize(&sidecar, call(&secret, MODEL)).await).0, DenyReason::KeyUnknown);
        world.with_key(&secret).gateway().authorize(call("", MODEL)).await.refused(Code::Unauthenticated, ErrorReason::KeyUnknown);
    }

    async fn a_blocked_team_and_a_blocked_user_stop_their_keys(world: World) {
        world.user(pb::User { user_id: "alice".into(), ..Default::default() }).await;
        world.team(pb::Team { team_id: "red".into(), ..Default::default() }).await;
        let (team_key, _) = world.key(pb::Key { team_id: Some("red".into()), ..Default::default() }).await;
        let (own_key, _) = world.key(pb::Key { user_id: Some("alice".into()), ..Default::default() }).await;
        let sidecar = world.sidecar().await;
        for secret in [&team_key, &own_key] {
            assert_eq!(authorize(&sidecar, call(secret, MODEL)).await.decision(), pb::Decision::Allow);
        }
        world.admin.teams().block_team(pb::BlockTeamRequest { team_id: "red".into() }).await.answer();
        let user = pb::User { user_id: "alice".into(), blocked: Some(true), ..Default::default() };
        world.admin.users().update_user(pb::UpdateUserRequest { user: Some(user), ..Default::default() }).await.answer();
        assert_eq!(denial(&authorize(&sidecar, call(&team_key, MODEL)).await).0, DenyReason::TeamBlocked);
        assert_eq!(denial(&authorize(&sidecar, call(&own_key, MODEL)).await).0, DenyReason::UserDeactivated);
        world.with_key(&team_key).gateway().authorize(call("", MODEL)).await.refused(Code::PermissionDenied, ErrorReason::TeamBlocked);
        world.with_key(&own_key).gateway().authorize(call("", MODEL)).await.refused(Code::PermissionDenied, ErrorReason::UserDeactivated);
        world.admin.teams().unblock_team(pb::UnblockTeamRequest { team_id: "red".into() }).await.answer();
        assert_eq!(authorize(&sidecar, call(&team_key, MODEL)).await.decision(), pb::Decision::Allow);
    }

    async fn a_model_must_be_allowed_by_key_team_and_user(world: World) {
        world.user(pb::User { user_id: "alice".into(), models: vec!["gpt-4o".into()], ..Default::default() }).await;
        let members = vec![pb::TeamMember { user_id: "alice".into(), ..Default::default() }];
        world.team(pb::Team {
            team_id: "red".into(), models: vec!["gpt-4o".into(), "gpt-4o-mini".into()], members, ..Default::default()
        }).await;
        let key = |models: &[&str], user: bool, team: bool| pb::Key {
            models: models.iter().map(ToString::to_string).collect(),
            user_id: user.then(|| "alice".into()),
            team_id: team.then(|| "red".into()),
            ..Default::default()
        };
        let sidecar = world.sidecar().await;
        for (key, model, refused_by) in [
            (key(&["gpt-4o"], false, false), "gpt-4o", None),
            (key(&["gpt-4o"], false, false), "gpt-4o-mini", Some(BudgetScope::Key)),
            (key(&["gpt-*"], false, false), "gpt-4o-mini", None),
            (key(&[], false, true), "gpt-4o-mini", None),
            (key(&[], false, true), "o3", Some(BudgetScope::Team)),
            (key(&[], true, false), "gpt-4o-mini", Some(BudgetScope::User)),
            // In a team, the user's own list does not matter.
            (key(&[], true, true), "gpt-4o-mini", None),
        ] {
            let told = format!("{key:?} {model}");
            let (secret, _) = world.key(key).await;
            let answer = authorize(&sidecar, call(&secret, model)).await;
            match refused_by {
                None => assert_eq!(answer.decision(), pb::Decision::Allow, "{told} {}", answer.message),
                Some(scope) => assert_eq!(denial(&answer), (DenyReason::ModelNotAllowed, scope), "{told}"),
            }
        }
    }

    async fn an_alias_is_resolved_before_the_model_is_checked(world: World) {
        let (secret, _) = world.key(pb::Key {
            models: vec!["gpt-4o".into()],
            model_aliases: [("fast".to_owned(), "gpt-4o".to_owned()), ("gpt-4o-mini".to_owned(), "gpt-4o".to_owned())].into(),
            ..Default::default()
        }).await;
        let sidecar = world.sidecar().await;
        for model in ["fast", "gpt-4o-mini", "gpt-4o"] {
            let answer = authorize(&sidecar, call(&secret, model)).await;
            assert_eq!((answer.decision(), answer.resolved_model.as_str()), (pb::Decision::Allow, "gpt-4o"), "{model}");
        }
    }

    async fn keys_that_are_not_for_calls_are_denied(world: World) {
        let sidecar = world.sidecar().await;
        for (key_type, allowed) in [
            (pb::KeyType::Default, true), (pb::KeyType::LlmApi, true), (pb::KeyType::Management, false),
            (pb::KeyType::ReadOnly, false), (pb::KeyType::Gateway, false),
        ] {
            let (secret, _) = world.key(pb::Key { key_type: key_type.into(), ..Default::default() }).await;
            let answer = authorize(&sidecar, call(&secret, MODEL)).await;
            if allowed {
                assert_eq!(answer.decision(), pb::Decision::Allow, "{key_type:?}");
            } else {
                assert_eq!(denial(&answer).0, DenyReason::CallNotAllowed, "{key_type:?}");
            }
        }
    }

    async fn a_member_who_left_has_no_working_team_key(world: World) {
        world.user(pb::User { user_id: "alice".into(), ..Default::default() }).await;
        let members = vec![pb::TeamMember { user_id: "alice".into(), ..Default::default() }];
        world.team(pb::Team { team_id: "red".into(), members, ..Default::default() }).await;
        let (secret, _) = world.key(pb::Key { user_id: Some("alice".into()), team_id: Some("red".into()), ..Default::default() }).await;
        let sidecar = world.sidecar().await;
        assert_eq!(authorize(&sidecar, call(&secret, MODEL)).await.decision(), pb::Decision::Allow);
        let request = pb::RemoveTeamMemberRequest { team_id: "red".into(), user_id: "alice".into(), ..Default::default() };
        world.admin.teams().remove_team_member(request).await.answer();
        assert_eq!(denial(&authorize(&sidecar, call(&secret, MODEL)).await).0, DenyReason::KeyUnknown, "its keys went with it");
    }

    async fn an_expired_key_is_denied_from_its_last_instant_on(backend: Backend) {
        let world = World::builder(backend).at("2025-01-01T00:00:00Z").start().await;
        let request = pb::GenerateKeyRequest { duration: Some("1h".into()), ..Default::default() };
        let secret = world.admin.keys().generate_key(request).await.answer().secret;
        let sidecar = world.sidecar().await;
        world.hands().set("2025-01-01T00:59:59Z");
        assert_eq!(authorize(&sidecar, call(&secret, MODEL)).await.decision(), pb::Decision::Allow);
        world.hands().set("2025-01-01T01:00:00Z");
        assert_eq!(denial(&authorize(&sidecar, call(&secret, MODEL)).await).0, DenyReason::KeyExpired);
        world.with_key(&secret).gateway().authorize(call("", MODEL)).await.refused(Code::Unauthenticated, ErrorReason::KeyExpired);
    }

    async fn models_without_a_price_are_denied_by_setting(backend: Backend) {
        let world = World::builder(backend).set("deny_unknown_models", "true").start().await;
        let (secret, _) = world.key(pb::Key::default()).await;
        let sidecar = world.sidecar().await;
        assert_eq!(denial(&authorize(&sidecar, call(&secret, "home-grown")).await).0, DenyReason::ModelUnknown);
        assert_eq!(authorize(&sidecar, call(&secret, MODEL)).await.decision(), pb::Decision::Allow);
        let world = World::start(backend).await;
        let (secret, _) = world.key(pb::Key::default()).await;
        let sidecar = world.sidecar().await;
        assert_eq!(authorize(&sidecar, call(&secret, "home-grown")).await.decision(), pb::Decision::Allow);
    }
}
