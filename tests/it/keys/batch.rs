//! `BatchGetKeys` and `BatchUpdateKeys`.

use bursar::pb;
use pb::ErrorReason;
use tonic::Code;

use super::in_team;
use crate::support::world::World;
use crate::support::{Answer, on_both};
use crate::teams::red;

fn named(alias: &str, key: pb::Key) -> pb::Key {
    pb::Key { key_alias: Some(alias.into()), ..key }
}

fn with_tag(key_hash: &str, tag: &str) -> pb::UpdateKeyRequest {
    let key = pb::Key { key_hash: key_hash.into(), tags: vec![tag.into()], ..Default::default() };
    pb::UpdateKeyRequest { key: Some(key), ..Default::default() }
}

on_both! {
    async fn many_keys_are_read_at_once(world: World) {
        let (_, alice) = red(&world, pb::Team::default()).await;
        let (mine, mine_shown) = world.key(named("mine", pb::Key { user_id: Some("alice".into()), ..Default::default() })).await;
        let (_, ours) = world.key(named("ours", in_team("lead"))).await;
        let (other, other_shown) = world.key(named("other", pb::Key::default())).await;
        let rotate = pb::RegenerateKeyRequest { key: mine.clone(), ..Default::default() };
        let mine_now = world.admin.keys().regenerate_key(rotate).await.answer().secret;
        let absent = "0".repeat(64);
        let request = pb::BatchGetKeysRequest {
            keys: vec![ours.key_hash.clone(), mine.clone(), mine_now.clone(), other.clone(), absent.clone(), ours.key_hash.clone()],
            key_aliases: vec!["other".into(), "mine".into(), "nobody".into()],
        };
        let found = alice.keys().batch_get_keys(request.clone()).await.answer();
        assert_eq!(found.keys.iter().map(|key| &key.key_id).collect::<Vec<_>>(), [&ours.key_id, &mine_shown.key_id]);
        assert_eq!(found.not_found, [other_shown.key_name.as_str(), absent.as_str(), "other", "nobody"], "a secret is not repeated");
        assert_eq!(ours.organization_id, "");
        let found = world.admin.keys().batch_get_keys(request).await.answer();
        assert_eq!((found.keys.len(), found.not_found), (3, vec![absent, "nobody".to_owned()]));
        world.admin.keys().delete_keys(pb::DeleteKeysRequest { keys: vec![other.clone()], ..Default::default() }).await.answer();
        let gone = pb::BatchGetKeysRequest { keys: vec![other], key_aliases: vec!["other".into()] };
        let found = world.admin.keys().batch_get_keys(gone).await.answer();
        assert_eq!((found.keys[0].state(), found.not_found), (pb::KeyState::Deleted, vec!["other".to_owned()]));
        assert_eq!(world.admin.keys().batch_get_keys(pb::BatchGetKeysRequest::default()).await.bad()[0].0, "keys");
        let bad = pb::BatchGetKeysRequest { keys: vec![mine, "what".into()], key_aliases: vec!["../x".into()] };
        let fields: Vec<String> = world.admin.keys().batch_get_keys(bad).await.bad().into_iter().map(|fault| fault.0).collect();
        assert_eq!(fields, ["keys[1]", "key_aliases[0]"]);
    }

    async fn a_change_that_fails_stops_no_other(world: World) {
        let (lead, _) = red(&world, pb::Team::default()).await;
        let (_, ours) = world.key(in_team("alice")).await;
        let (secret, other) = world.key(pb::Key::default()).await;
        let requests = vec![with_tag(&ours.key_hash, "a"), with_tag(&secret, "a"), with_tag("what", "a"), with_tag(&ours.key_hash, "b")];
        let answer = lead.keys().batch_update_keys(pb::BatchUpdateKeysRequest { requests, ..Default::default() }).await.answer();
        assert_eq!((answer.total_count, answer.success_count, answer.failed_count), (4, 2, 2));
        let outline = |result: &pb::KeyResult| (result.key.clone(), result.error.as_ref().map(|error| Code::from(error.code)));
        assert_eq!(answer.results.iter().map(outline).collect::<Vec<_>>(), [
            (ours.key_hash.clone(), None), (other.key_name, Some(Code::NotFound)), ("what".into(), Some(Code::InvalidArgument)), (ours.key_hash, None),
        ]);
        assert_eq!(answer.results[3].updated_key.as_ref().unwrap().tags, ["b"]);
    }

    async fn all_active_keys_of_a_team_are_changed(world: World) {
        let (lead, alice) = red(&world, pb::Team::default()).await;
        let mut hashes = Vec::new();
        for _ in 0..3 {
            hashes.push(world.key(in_team("alice")).await.1.key_hash);
        }
        let (_, blocked) = world.key(pb::Key { blocked: Some(true), ..in_team("alice") }).await;
        let (_, outside) = world.key(pb::Key { user_id: Some("alice".into()), ..Default::default() }).await;
        let all = |update| pb::BatchUpdateKeysRequest { all_keys_in_team: true, team_id: "red".into(), update: Some(update), ..Default::default() };
        let answer = lead.keys().batch_update_keys(all(with_tag("", "all"))).await.answer();
        assert_eq!((answer.total_count, answer.success_count, answer.results.len()), (3, 3, 0));
        let tagged = pb::ListKeysRequest { tag: "all".into(), include_total: true, ..Default::default() };
        assert_eq!(world.admin.keys().list_keys(tagged).await.answer().total_size, Some(3));
        let some = pb::BatchUpdateKeysRequest { all_keys_in_team: false, keys: vec![blocked.key_hash.clone(), outside.key_hash, blocked.key_hash], ..all(with_tag("", "some")) };
        let answer = lead.keys().batch_update_keys(some).await.answer();
        assert_eq!((answer.total_count, answer.success_count, answer.results[1].error.as_ref().unwrap().code), (2, 1, Code::NotFound as i32));
        let answer = alice.keys().batch_update_keys(all(with_tag("", "mine"))).await.answer();
        assert_eq!((answer.total_count, answer.success_count), (3, 3), "they are its own");
        world.person("eve", pb::Role::InternalUser).await.keys().batch_update_keys(all(with_tag("", "x"))).await
            .refused(Code::NotFound, ErrorReason::TeamNotFound);
        for (request, field) in [
            (pb::BatchUpdateKeysRequest::default(), "requests"),
            (pb::BatchUpdateKeysRequest { requests: vec![with_tag("x", "x")], ..all(with_tag("", "x")) }, "requests"),
            (pb::BatchUpdateKeysRequest { team_id: String::new(), ..all(with_tag("", "x")) }, "team_id"),
            (pb::BatchUpdateKeysRequest { update: None, ..all(with_tag("", "x")) }, "update"),
            (all(with_tag(&"0".repeat(64), "x")), "update.key.key_hash"),
            (all(pb::UpdateKeyRequest { key: Some(named("x", pb::Key::default())), ..Default::default() }), "update.key.key_alias"),
            (pb::BatchUpdateKeysRequest { requests: vec![with_tag("x", "x"); 501], ..Default::default() }, "requests"),
        ] {
            assert_eq!(lead.keys().batch_update_keys(request).await.bad()[0].0, field);
        }
    }
}
